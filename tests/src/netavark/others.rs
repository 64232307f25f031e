//! What is somebody else's where `fwd` is in netavark's place: what the host has itself, networks of users who are not root, and another netavark.

use std::fs;

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
