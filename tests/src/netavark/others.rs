//! What is somebody else's where `fwd` is in netavark's place: what the host has itself, networks of users who are not root, and another netavark.

use forwarder::testbed;
use serde_json::{Value, json};

use super::replacement::{Podman, container, network};
use crate::{
    commands::{assert_as_before, snapshot},
    fwd::{Fwd, LIMIT, binary, inside},
    runtimes::{Container, plugin_command},
};

/// The host itself is a namespace that may be named, and its uplink may have the name that a network's bridge is to have.
#[test]
fn nothing_of_the_host_is_changed_that_is_called_or_placed_as_a_networks() {
    let fwd = Fwd::new();
    let podman = Podman::new(&fwd);
    let one = Container::new(&fwd, "c1");
    let uplink = fwd.uplink(0).name.as_str();
    let strict = |interface: &str| format!("/proc/sys/net/ipv4/conf/{interface}/rp_filter");
    let checked = |interface: &str| inside(fwd.host(), &["cat", &strict(interface)]).trim().to_owned();
    inside(fwd.host(), &["sh", "-c", &format!("echo 1 >{}", strict(uplink))]);
    inside(fwd.host(), &["ip", "route", "add", "blackhole", "10.9.0.0/24", "metric", "100", "proto", "static"]);
    let before = snapshot(&fwd);
    let routes = json!([{ "destination": "10.9.0.0/24", "route_type": "blackhole" }]);
    let front = network("front", 1, json!({ "network_interface": uplink, "routes": routes }));
    let asked = container(&one, &[&front], 9, json!({}));
    podman.ok(&["setup", &one.path()], &asked, &[]);
    assert_eq!(checked(uplink), "1", "{uplink} is not the bridge");
    let bridge = inside(fwd.host(), &["sh", "-c", "ip -o link show type bridge | cut -d ' ' -f 2 | tr -d :"]);
    assert_eq!(checked(bridge.trim()), "2", "{bridge} is");
    assert!(inside(&one, &["ip", "route"]).contains("blackhole 10.9.0.0/24"));
    // The namespace that is named is the host's, in which the container is not.
    podman.ok(&["teardown", "/proc/self/ns/net"], &asked, &[]);
    podman.ok(&["teardown", &one.path()], &asked, &[]);
    assert_as_before(&fwd, &before);
    assert!(inside(fwd.host(), &["ip", "route"]).contains("blackhole 10.9.0.0/24"), "it is the host's own");
    assert_eq!(checked(uplink), "1");
}

/// Another netavark, which answers who called it.
const OTHER: &str = "#!/bin/sh\ncat >/dev/null\necho '{ \"words\": \"'\"$*\"'\" }'\n";

/// Who is root in a namespace of users alone can load no programs.
#[test]
fn networks_of_rootless_podman_are_left_to_netavark() {
    let fwd = Fwd::new();
    let podman = Podman::new(&fwd);
    let other = podman.program("other", OTHER);
    let one = Container::new(&fwd, "c1");
    let asked = container(&one, &[&network("front", 1, json!({}))], 9, json!({}));
    let (binary, path) = (binary(), one.path());
    let rootless = |other: &str, words: &[&str]| {
        let own = ["unshare", "--user", "--map-root-user", binary.to_str().expect("a plain path"), "netavark"];
        let whole = [&own, ["--config", "/nowhere", "--rootless=true"].as_slice(), words].concat();
        let mut command = plugin_command(&fwd, &whole, &asked.to_string());
        command.env("FWD_NETAVARK", other);
        testbed::run(command, LIMIT).expect("it runs")
    };
    let other = other.to_str().expect("a plain path");
    for words in [&["setup", &path][..], &["teardown", &path], &["create"]] {
        let output = rootless(other, words);
        assert!(output.status.success(), "{words:?}: {}{}", output.stdout, output.stderr);
        let answer: Value = serde_json::from_str(&output.stdout).expect("one document");
        assert!(answer["words"].as_str().is_some_and(|called| called.ends_with(&words.join(" "))), "{answer}");
    }
    let alone = rootless("/nowhere/netavark", &["setup", &path]);
    assert_eq!(alone.status.code(), Some(1));
    assert!(alone.stdout.contains("rootless podman has its networks by netavark itself"), "{}", alone.stdout);
    assert_eq!(fwd.list(&["ls"]).len(), 0);
}

#[test]
fn another_netavark_that_leads_back_is_not_called_without_end() {
    let fwd = Fwd::new();
    let podman = Podman::new(&fwd);
    let one = Container::new(&fwd, "c1");
    let lan = network("lan", 2, json!({ "driver": "macvlan", "network_interface": "eth0" }));
    let text = format!("#!/bin/sh\nexec {} netavark \"$@\"\n", binary().display());
    let leading_back = podman.program("leading-back", &text);
    let (asked, set) = (container(&one, &[&lan], 9, json!({})), [("FWD_NETAVARK", leading_back.as_path())]);
    podman.fails(&["setup", &one.path()], &asked, &set, "the other netavark that fwd has called is fwd itself");
}
