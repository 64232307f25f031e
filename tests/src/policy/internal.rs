//! Networks without a way out, and endpoints without a default route.

use crate::{
    capture::Capture,
    commands::{assert_as_before, assert_reaches_outside, snapshot},
    fwd::{Fwd, Pod, answers, inside, pings},
    peers::at,
    policy::{connects, sends},
};

/// The data paths that an internal network can have.
const DATAPATHS: [&str; 2] = ["tc", "kernel"];

fn internal(fwd: &Fwd, role: &str, datapath: &str) -> Pod {
    fwd.up(role, &["--network", "vault", "--internal", "--datapath", datapath])
}

/// What root inside may do to get out: a route by the gateway.
#[track_caller]
fn route_by_gateway(pod: &Pod) {
    inside(pod, &["ip", "route", "add", "default", "via", &pod.gateway.to_string()]);
}

#[test]
fn namespaces_of_an_internal_network_reach_each_other_and_the_gateway() {
    for datapath in DATAPATHS {
        let fwd = Fwd::new();
        let before = snapshot(&fwd);
        let (one, two) = (internal(&fwd, "c1", datapath), internal(&fwd, "c2", datapath));
        assert!(pings(&one, two.address) && pings(&two, one.gateway), "{datapath}");
        assert_eq!(inside(&one, &["ip", "route", "show", "default"]), "", "{datapath}");
        for shown in [&one.shown, &fwd.json(&["inspect", &one.name]), &fwd.list(&["ls"])[0]] {
            assert_eq!((&shown["internal"], &shown["default_route"]), (&true.into(), &false.into()));
            assert_eq!((&shown["uplink"], &shown["uplink_state"]), (&"".into(), &"none".into()));
        }
        assert!(fwd.ok(&["ls"]).contains("uplink none (internal)"));
        assert_eq!(fwd.up("c1", &[]).shown["changed"], false);
        fwd.ok(&["down", "--all"]);
        assert_as_before(&fwd, &before);
    }
}

#[test]
fn nothing_leaves_an_internal_network_whatever_root_inside_does() {
    for datapath in DATAPATHS {
        let fwd = Fwd::new();
        // Another network leads out: the host's uplink is guarded and forwards.
        let other = fwd.up("out", &["--datapath", datapath]);
        assert_reaches_outside(&fwd, &other);
        let pod = internal(&fwd, "c1", datapath);
        route_by_gateway(&pod);
        // As if something else on the host (docker) had switched on forwarding of every interface.
        fwd.on_host(&["sysctl", "-qw", "net.ipv4.conf.all.forwarding=1"]);
        let capture = Capture::start(&fwd);
        let (outside, router) = (fwd.uplink(0).outside[0], fwd.uplink(0).gateway);
        for address in [outside, router, other.address] {
            assert!(!answers(&pod, address), "{datapath}: {address} answers");
        }
        assert!(!connects(&pod, at(outside, 80)), "{datapath}");
        sends(&pod, at(outside, 80));
        capture.assert_empty();
        if datapath == "tc" {
            assert!(fwd.counted("from_ns", "dropped", Some("Internal")) >= 3);
        }
        assert_reaches_outside(&fwd, &other);
    }
}

#[test]
fn nothing_enters_an_internal_network_from_outside() {
    for datapath in DATAPATHS {
        let fwd = Fwd::new();
        let pod = internal(&fwd, "c1", datapath);
        route_by_gateway(&pod);
        fwd.on_host(&["sysctl", "-qw", "net.ipv4.conf.all.forwarding=1"]);
        let host = fwd.uplink(0).address.to_string();
        inside(fwd.internet(0), &["ip", "route", "add", "10.77.0.0/16", "via", &host]);
        assert!(!answers(fwd.internet(0), pod.address), "{datapath}");
        assert!(pings(fwd.host(), pod.address), "the host itself does: {datapath}");
    }
}

#[test]
fn internal_network_needs_no_uplink() {
    let fwd = Fwd::new();
    fwd.on_host(&["ip", "link", "set", "eth0", "down"]);
    let pod = internal(&fwd, "c1", "tc");
    assert!(pings(&pod, pod.gateway));
    assert_eq!(pod.shown["mtu"], 1500);
}

#[test]
fn internal_and_what_needs_a_way_out_contradict_each_other() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let name = fwd.name("c1");
    let refused = |options: &[&str], code, words: &[&str]| {
        fwd.expect_error(&[&["up", "--ns", &name], options].concat(), code, words);
    };
    refused(&["--internal", "--uplink", "eth0"], 2, &["--internal", "--uplink"]);
    refused(&["--internal", "--nat", "eim"], 2, &["--nat eim", "--internal"]);
    refused(&["--internal", "--clamp-mss"], 2, &["--clamp-mss", "--internal"]);
    refused(&["--internal", "--datapath", "xdp"], 2, &["--datapath xdp", "--internal"]);
    assert_as_before(&fwd, &before);
    let conflict = 4;
    fwd.up("out", &[]);
    refused(&["--internal"], conflict, &["network fwd0", "uplink is eth0", "none (--internal)"]);
    internal(&fwd, "in", "tc");
    refused(&["--network", "vault", "--uplink", "eth0"], conflict, &["network vault", "none (--internal)", "eth0"]);
}

#[test]
fn endpoint_without_default_route_leaves_routing_to_its_namespace() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &["--no-default-route"]);
    assert_eq!(inside(&pod, &["ip", "route", "show", "default"]), "");
    assert!(pings(&pod, pod.gateway) && !answers(&pod, fwd.uplink(0).outside[0]));
    assert_eq!(pod.shown["default_route"], false);
    // It stays so, whether that is said again or not.
    for options in [&["--no-default-route"][..], &[]] {
        assert_eq!(fwd.up("c1", options).shown["changed"], false);
    }
    route_by_gateway(&pod);
    assert_reaches_outside(&fwd, &pod);
    let other = fwd.up("c2", &[]);
    fwd.expect_error(&["up", "--ns", &other.name, "--no-default-route"], 4, &["--no-default-route"]);
}

#[test]
fn namespace_keeps_a_default_route_of_its_own() {
    let fwd = Fwd::new();
    let name = fwd.name("c1");
    fwd.ok(&["ns", "add", &name]);
    let own = "ip link add own0 type veth peer name own1 && ip addr add 192.0.2.1/24 dev own0 && ip link set own0 up
        ip link set own1 up && ip route add default via 192.0.2.2 dev own0";
    fwd.ok(&["exec", &name, "--", "sh", "-ec", own]);
    fwd.expect_error(&["up", "--ns", &name], 4, &["default route", "--no-default-route"]);
    let pod = fwd.up("c1", &["--no-default-route"]);
    assert!(inside(&pod, &["ip", "route", "show", "default"]).contains("dev own0"));
    assert!(pings(&pod, pod.gateway));
}
