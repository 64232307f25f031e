//! `fwd` in netavark's place, called as podman calls netavark: containers are attached to all of their networks or to none, aardvark-dns knows their
//! names, and another netavark makes networks of other drivers.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use forwarder::testbed::{self, Output};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::podman::with;
use crate::{
    commands::{assert_as_before, snapshot},
    fwd::{Fwd, LIMIT, binary, inside, pings},
    peers::{ANY, at, connect},
    runtimes::{Container, plugin_command, served},
};

/// podman that has `fwd` in netavark's place, and a directory for its networks.
pub(super) struct Podman<'a> {
    fwd: &'a Fwd,
    dir: TempDir,
}

impl<'a> Podman<'a> {
    pub(super) fn new(fwd: &'a Fwd) -> Self {
        Self { fwd, dir: tempfile::tempdir().expect("a directory") }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A program of others.
    pub(super) fn program(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("it is written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it may be run");
        path
    }

    /// Calls `fwd netavark` to its end; `set` in the environment.
    #[track_caller]
    pub(super) fn call(&self, words: &[&str], input: &Value, set: &[(&str, &Path)]) -> Output {
        let (binary, config) = (binary(), self.dir.path().to_str().expect("a plain path"));
        let own = [binary.to_str().expect("a plain path"), "netavark", "--config", config, "--rootless=false"];
        let mut command = plugin_command(self.fwd, &[&own, words].concat(), &input.to_string());
        // None of this machine's: what a test needs it names.
        command.env("FWD_NETAVARK", "/nowhere/netavark").envs(set.iter().copied());
        testbed::run(command, LIMIT).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// What it succeeds with; null if there is none.
    #[track_caller]
    pub(super) fn ok(&self, words: &[&str], input: &Value, set: &[(&str, &Path)]) -> Value {
        let output = self.call(words, input, set);
        assert!(output.status.success(), "{words:?} {input}: {}{}", output.stdout, output.stderr);
        if output.stdout.is_empty() {
            return Value::Null;
        }
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error} in {}", output.stdout))
    }

    /// The call must fail with one document that says `text`.
    #[track_caller]
    pub(super) fn fails(&self, words: &[&str], input: &Value, set: &[(&str, &Path)], text: &str) {
        let output = self.call(words, input, set);
        let shown = format!("{words:?} {input}: {}\n{}{}", output.status, output.stdout, output.stderr);
        assert_eq!(output.status.code(), Some(1), "{shown}");
        let error: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {shown}"));
        assert_eq!(error.as_object().map(serde_json::Map::len), Some(1), "{shown}");
        assert!(error["error"].as_str().is_some_and(|said| said.contains(text)), "{text:?}: {shown}");
    }
}

/// A network with one subnet, 10.7.`number`.0/24.
pub(super) fn network(name: &str, number: u8, members: Value) -> Value {
    let subnets = json!([{ "subnet": format!("10.7.{number}.0/24"), "gateway": format!("10.7.{number}.1") }]);
    let usual = json!({ "name": name, "id": "2f259bab93aaaaa2542ba43ef33eb990d0999ee1b9924b557b7be53c0b7a1bb9", "driver": "bridge",
        "network_interface": format!("{name}0"), "subnets": subnets, "ipv6_enabled": false, "internal": false,
        "dns_enabled": false, "ipam_options": { "driver": "host-local" } });
    with(&usual, members)
}

/// A container in these networks, in the order of its interfaces: with the address 10.7.N.`host` in each.
pub(super) fn container(container: &Container, networks: &[&Value], host: u8, members: Value) -> Value {
    let options = networks.iter().enumerate().map(|(place, network)| {
        let subnet = network["subnets"][0]["subnet"].as_str().unwrap_or("10.7.9.0/24");
        let ip = subnet.replace(".0/24", &format!(".{host}"));
        json!({ "name": network["name"], "interface_name": format!("eth{place}"), "static_ips": [ip] })
    });
    let info: Value = networks
        .iter()
        .map(|network| (network["name"].as_str().expect("a name").to_owned(), (*network).clone()))
        .collect();
    let asked = json!({ "container_id": container.id, "container_name": "shop", "networks": options.collect::<Vec<_>>(),
        "network_info": info });
    with(&asked, members)
}

#[test]
fn container_is_attached_to_its_networks_in_their_order_and_detached() {
    let fwd = Fwd::new();
    let podman = Podman::new(&fwd);
    let before = snapshot(&fwd);
    let one = Container::new(&fwd, "c1");
    let (back, front) = (
        network("back", 2, json!({ "options": { "mtu": "1400", "mode": "managed" } })),
        network("front", 1, json!({})),
    );
    let ports = json!([{ "host_ip": "", "host_port": 8080, "container_port": 80, "protocol": "tcp", "range": 1 }]);
    let asked = container(&one, &[&back, &front], 9, json!({ "port_mappings": ports, "dns_servers": ["192.0.2.53"] }));
    // By its other name, and with the document in a file.
    let (called, file) = (podman.path("netavark"), podman.path("asked.json"));
    symlink(binary(), &called).expect("a link");
    fs::write(&file, asked.to_string()).expect("it is written");
    let words = [called.to_str(), Some("--config"), podman.dir.path().to_str(), Some("-f"), file.to_str()];
    let path = one.path();
    // podman that has found no aardvark-dns says so by an empty path.
    let rest = ["--aardvark-binary", "", "setup", path.as_str()];
    let words = [words.map(|word| word.expect("a plain path")).as_slice(), &rest].concat();
    let output =
        testbed::run(plugin_command(&fwd, &words, ""), LIMIT).expect("it runs").success().expect("it succeeds");
    let status: Value = serde_json::from_str(&output.stdout).expect("one document");
    assert_eq!(status.as_object().map(serde_json::Map::len), Some(2), "{status}");
    let subnets = &status["front"]["interfaces"]["eth1"]["subnets"];
    assert_eq!(subnets, &json!([{ "ipnet": "10.7.1.9/24", "gateway": "10.7.1.1" }]));
    assert_eq!(status["back"]["dns_server_ips"], json!(["192.0.2.53"]), "nobody here answers names");
    let links: Value = serde_json::from_str(&inside(&one, &["ip", "-j", "link"])).expect("JSON");
    let named: Vec<_> =
        links.as_array().expect("a list").iter().map(|link| (link["ifname"].clone(), link["mtu"].clone())).collect();
    assert_eq!(named[1..], [(json!("eth0"), json!(1400)), (json!("eth1"), json!(1500))]);
    assert!(inside(fwd.host(), &["ip", "-br", "link", "show", "type", "bridge"]).contains("front0"));
    assert!(pings(&one, fwd.uplink(0).outside[0]) && pings(fwd.host(), "10.7.2.9".parse().expect("an address")));
    served(fwd.internet(0), fwd.uplink(0).address, 8080, &one);
    let listed = fwd.list(&["ls"]);
    assert!(
        listed.len() == 2 && listed.iter().all(|it| it["owner"] == "netavark" && it["container"] == one.id.as_str())
    );
    let drawn = fwd.ok(&["graph"]);
    assert!(drawn.contains(&format!("container {}  eth0", one.id.chars().take(12).collect::<String>())), "{drawn}");
    for _ in 0..2 {
        assert_eq!(podman.ok(&["teardown", &one.path()], &asked, &[]), Value::Null);
        assert_eq!((fwd.list(&["ls"]).len(), fwd.list(&["network", "ls"]).len()), (0, 0));
    }
    assert!(connect(fwd.internet(0), ANY, at(fwd.uplink(0).address, 8080)).is_err());
    drop(one);
    assert_as_before(&fwd, &before);
}

/// What may be known before anything is made, and what turns out at the last network.
#[test]
fn container_that_cannot_be_in_one_network_is_in_none() {
    let fwd = Fwd::new();
    let podman = Podman::new(&fwd);
    let one = Container::new(&fwd, "c1");
    let before = snapshot(&fwd);
    let (front, path) = (network("front", 1, json!({})), one.path());
    let setup = |other: &Value, members: Value, text: &str| {
        podman.fails(&["setup", &path], &container(&one, &[&front, other], 9, members), &[], text);
        assert_as_before(&fwd, &before);
    };
    let other = |members: Value| network("other", 2, members);
    let taken = json!({ "subnets": [{ "subnet": "198.51.100.0/24", "gateway": "198.51.100.1" }] });
    setup(&other(taken), json!({}), "198.51.100.0/24");
    setup(&other(json!({ "options": { "mtu": "big" } })), json!({}), "mtu=big");
    setup(&other(json!({ "options": { "isolate": "false" } })), json!({}), "always isolated");
    setup(&other(json!({ "ipam_options": { "driver": "x" } })), json!({}), "unsupported ipam driver x");
    setup(
        &other(json!({ "driver": "macvlan" })),
        json!({}),
        "there is no other netavark (looked for: /nowhere/netavark)",
    );
    let host =
        json!({ "port_mappings": [{ "host_ip": "abcd", "host_port": 8080, "container_port": 80, "protocol": "tcp" }] });
    setup(&other(json!({})), host, "invalid host ip \"abcd\" provided for port 8080");
    let alone = |members: Value| container(&one, &[&front], 9, members);
    podman.fails(
        &["setup", "/test/1"],
        &alone(json!({})),
        &[],
        "invalid namespace path: IO error: No such file or directory (os error 2)",
    );
    podman.fails(
        &["setup", &path],
        &alone(json!({ "network_info": {} })),
        &[],
        "network info for network front not found",
    );
    podman.fails(
        &["-f", "/test/1", "setup", &path],
        &json!({}),
        &[],
        "failed to load network options: IO error: No such file",
    );
    inside(&one, &["ip", "link", "add", "eth0", "type", "bridge"]);
    podman.fails(&["setup", &path], &alone(json!({})), &[], "interface eth0 already exists on container namespace");
    assert_eq!(fwd.list(&["ls"]).len(), 0);
    // Who leaves is not kept from it.
    let renamed = container(&one, &[&network("front", 1, json!({ "options": { "x": "y" } }))], 9, json!({}));
    assert_eq!(podman.ok(&["teardown", "/nowhere"], &renamed, &[]), Value::Null);
}

/// As aardvark-dns does: reads its directory when it starts and at each signal, and ends when no file is left.
const AARDVARK: &str = r#"#!/usr/bin/env python3
import os, signal, sys
directory = sys.argv[sys.argv.index("--config") + 1]
if os.fork():
    os._exit(0)
os.setsid()
for descriptor in (0, 1, 2):
    os.close(descriptor)
signals = {signal.SIGHUP}
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
note = lambda: [open(os.path.join(directory, "..", "read"), "a").write(name + "\n") for name in sorted(os.listdir(directory))]
open(os.path.join(directory, "aardvark.pid"), "w").write(str(os.getpid()))
note()
while signal.sigwait(signals):
    note()
    if os.listdir(directory) == ["aardvark.pid"]:
        os.unlink(os.path.join(directory, "aardvark.pid"))
        break
"#;

#[test]
fn aardvark_is_started_told_of_names_and_left_alone_with_the_last() {
    let fwd = Fwd::new();
    let podman = Podman::new(&fwd);
    let server = podman.program("server", AARDVARK);
    let server = server.to_str().expect("a plain path");
    let call = |words: &[&str], asked: &Value| podman.ok(&[&["--aardvark-binary", server], words].concat(), asked, &[]);
    let file = |name: &str| fs::read_to_string(podman.path("aardvark-dns").join(name)).ok();
    let front = network("front", 1, json!({ "dns_enabled": true, "network_dns_servers": ["192.0.2.1"] }));
    let [one, two] = ["c1", "c2"].map(|role| Container::new(&fwd, role));
    let first = container(&one, &[&front], 9, json!({ "dns_servers": ["192.0.2.2", "192.0.2.3"] }));
    let mut second = container(&two, &[&front], 10, json!({ "container_name": "db" }));
    second["networks"][0]["aliases"] = json!(["sql", "not one"]);
    let status = call(&["setup", &one.path()], &first);
    assert_eq!(
        (&status["front"]["dns_server_ips"], &status["front"]["dns_search_domains"]),
        (&json!(["10.7.1.1"]), &json!(["dns.podman"]))
    );
    until(|| file("aardvark.pid").is_some_and(|pid| !pid.is_empty()));
    let pid = file("aardvark.pid");
    let said = podman.call(&["--aardvark-binary", server, "setup", &two.path()], &second, &[]);
    assert!(
        said.status.success() && said.stderr.contains("invalid network alias \"not one\""),
        "{}{}",
        said.stdout,
        said.stderr
    );
    let (id, other) = (&one.id, &two.id);
    let lines = format!("{id} 10.7.1.9  shop 192.0.2.2,192.0.2.3\n{other} 10.7.1.10  db,sql\n");
    assert_eq!(file("front"), Some(format!("10.7.1.1 192.0.2.1\n{lines}")));
    call(&["update", "front", "--network-dns-servers", "192.0.2.7,192.0.2.8"], &Value::Null);
    assert_eq!(file("front"), Some(format!("10.7.1.1 192.0.2.7,192.0.2.8\n{lines}")));
    let wrong = ["update", "front", "--network-dns-servers", "192.0.2.9,x"];
    podman.fails(&wrong, &Value::Null, &[], "unable to parse network dns server \"x\"");
    assert_eq!(file("front"), Some(format!("10.7.1.1 192.0.2.7,192.0.2.8\n{lines}")));
    call(&["update", "front", "--network-dns-servers", ""], &Value::Null);
    call(&["update", "none", "--network-dns-servers", "192.0.2.7"], &Value::Null);
    assert_eq!(
        (file("front"), file("aardvark.pid")),
        (Some(format!("10.7.1.1\n{lines}")), pid),
        "it is the same server"
    );
    call(&["teardown", &one.path()], &first);
    assert_eq!(file("front"), Some(format!("10.7.1.1\n{other} 10.7.1.10  db,sql\n")));
    call(&["teardown", &two.path()], &second);
    until(|| file("aardvark.pid").is_none());
    assert_eq!(file("front"), None);
    // Asked once when it started, and by each signal since.
    let read = fs::read_to_string(podman.path("read")).expect("it has read");
    assert!(read.lines().filter(|name| *name == "front").count() >= 2, "{read}");
}

#[test]
fn nobody_stays_attached_without_the_names_he_is_to_have() {
    let fwd = Fwd::new();
    let podman = Podman::new(&fwd);
    let one = Container::new(&fwd, "c1");
    let front = network("front", 1, json!({ "dns_enabled": true }));
    let asked = |members: Value| container(&one, &[&front], 9, members);
    let path = one.path();
    let setup = |server: &str, members: Value, text: &str| {
        podman.fails(&["-a", server, "setup", &path], &asked(members), &[], text);
        assert_eq!(fwd.list(&["ls"]).len(), 0, "{text}");
    };
    setup(
        "/bin/false",
        json!({}),
        "error while applying dns entries: aardvark-dns exited unexpectedly without error message",
    );
    let failing = podman.program("failing", "#!/bin/sh\necho 'address in use' >&2\nexit 1\n");
    setup(failing.to_str().expect("a plain path"), json!({}), "aardvark-dns failed to start: address in use");
    setup("/bin/true", json!({ "dns_servers": ["10.7.1.1"] }), "would cause aardvark-dns to forward queries to itself");
    assert_eq!(fs::read_dir(podman.path("aardvark-dns")).expect("it is there").count(), 0);
    // Where it is not installed, containers go without names, which the user is told.
    let none = |word: &str| {
        let said = podman.call(
            &["-a", "/nowhere/aardvark-dns", word, &path],
            &asked(json!({ "dns_servers": ["192.0.2.53"] })),
            &[],
        );
        assert!(said.status.success(), "{}{}", said.stdout, said.stderr);
        said
    };
    let said = none("setup");
    assert!(said.stderr.contains("there is no /nowhere/aardvark-dns"), "{}", said.stderr);
    let status: Value = serde_json::from_str(&said.stdout).expect("one document");
    assert_eq!(status["front"]["dns_server_ips"], json!(["192.0.2.53"]), "nobody answers at the gateway");
    none("teardown");
    // At another port than containers ask at.
    let at_port = |word: &str, port: &str| {
        podman.call(&["-a", "/bin/true", word, &path], &asked(json!({})), &[("NETAVARK_DNS_PORT", Path::new(port))])
    };
    let said = at_port("setup", "5353");
    assert!(said.status.success() && said.stderr.contains("leave dns_bind_port"), "{}{}", said.stdout, said.stderr);
    assert!(at_port("teardown", "5353").status.success());
    podman.fails(
        &["setup", &path],
        &asked(json!({})),
        &[("NETAVARK_DNS_PORT", Path::new("x"))],
        "NETAVARK_DNS_PORT \"x\"",
    );
    podman.ok(&["version"], &Value::Null, &[("NETAVARK_DNS_PORT", Path::new("x"))]);
}

/// Another netavark, which notes how it was called, and makes nothing.
const OTHER: &str = r#"#!/bin/sh
here=$(dirname "$0")
echo "$@" >>"$here/called"
cat >"$here/given"
case "$*" in
*setup*) echo '{ "lan": { "dns_search_domains": [], "dns_server_ips": [], "interfaces": { "eth1": { "mac_address": "02:00:00:00:00:01" } } } }' ;;
*create*) echo '{ "name": "made by another" }' ;;
*) [ -e "$here/fails" ] && { echo '{ "error": "no lease" }'; exit 1; } ;;
esac
exit 0
"#;

#[test]
fn networks_of_other_drivers_are_made_by_another_netavark() {
    let fwd = Fwd::new();
    let podman = Podman::new(&fwd);
    let other = podman.program("other", OTHER);
    let set = [("FWD_NETAVARK", other.as_path())];
    let one = Container::new(&fwd, "c1");
    let (front, lan) = (
        network("front", 1, json!({})),
        network("lan", 2, json!({ "driver": "macvlan", "network_interface": "eth0" })),
    );
    let asked = container(&one, &[&front, &lan], 9, json!({}));
    let status = podman.ok(&["--plugin-directory", "/p", "setup", &one.path()], &asked, &set);
    assert_eq!(status["lan"]["interfaces"]["eth1"]["mac_address"], "02:00:00:00:00:01");
    assert_eq!(status["front"]["interfaces"]["eth0"]["subnets"][0]["ipnet"], "10.7.1.9/24");
    let read = |name: &str| fs::read_to_string(podman.path(name)).expect("it was called");
    let given: Value = serde_json::from_str(&read("given")).expect("JSON");
    let names: Vec<&String> = given["network_info"].as_object().expect("an object").keys().collect();
    assert_eq!(names, ["lan"], "it is told of its own alone");
    assert!(read("called").contains("--plugin-directory /p setup /run/netns/"), "{}", read("called"));
    podman.program("fails", "");
    podman.fails(&["teardown", &one.path()], &asked, &set, "network lan (driver macvlan)");
    assert_eq!(fwd.list(&["ls"]).len(), 0, "ours is gone all the same");
    let document = json!({ "network": with(&network("p", 3, json!({})), json!({ "driver": "fwd" })) });
    assert_eq!(podman.ok(&["create"], &document, &set)["name"], "made by another");
    // The program itself is no other one.
    let binary = binary();
    let own = [("FWD_NETAVARK", binary.as_path())];
    podman.fails(&["setup", &one.path()], &container(&one, &[&lan], 9, json!({})), &own, "there is no other netavark");
}

#[test]
fn version_and_networks_are_told_to_anybody() {
    let fwd = Fwd::new();
    let podman = Podman::new(&fwd);
    let version = podman.ok(&["version"], &Value::Null, &[]);
    assert!(version["version"].as_str().is_some_and(|version| version.starts_with("2.")), "{version}");
    let shown = podman.call(&["--version"], &Value::Null, &[]);
    assert!(shown.stdout.contains("netavark 2."), "{}{}", shown.stdout, shown.stderr);
    let options = json!({ "subnet_pools": [{ "base": "10.89.0.0/16", "size": 24 }], "default_interface_name": "podman", "check_used_subnets": true });
    let plain = with(&network("web", 1, json!({})), json!({ "subnets": null, "network_interface": null }));
    let created = podman.ok(&["create"], &json!({ "network": plain, "used": { "interfaces": [], "names": {}, "subnets": ["10.89.0.0/24"] }, "options": options }), &[]);
    assert_eq!(created["subnets"], json!([{ "subnet": "10.89.1.0/24", "gateway": "10.89.1.1" }]));
    let unnamed = json!({ "network": with(&plain, json!({ "name": "" })), "used": {}, "options": options });
    podman.fails(&["create"], &unnamed, &[], "Network name must be supplied");
    assert_eq!(podman.call(&["setup"], &Value::Null, &[]).status.code(), Some(2), "no namespace is named");
}

/// Waits until it is so.
#[track_caller]
fn until(is_so: impl Fn() -> bool) {
    testbed::wait_until(LIMIT, "aardvark-dns", || Ok(is_so().then_some(()))).expect("it is so");
}
