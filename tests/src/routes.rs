//! What routes and rules of the host ask for beside an interface: an MTU, a type of service, a mark.

use std::net::Ipv4Addr;

use serde_json::Value;

use crate::fwd::{Fwd, Pod, inside, pings, text, try_inside};

/// What the host says of a packet of `size` bytes that nobody may cut.
fn asked(pod: &Pod, size: usize, to: Ipv4Addr) -> String {
    let size = (size - 28).to_string();
    // What a namespace has learnt of the path is of no interest.
    inside(pod, &["ip", "route", "flush", "cache"]);
    let argv = ["ping", "-n", "-c", "1", "-W", "2", "-M", "do", "-s", &size, &to.to_string()];
    let output = try_inside(pod, &argv);
    output.stdout + &output.stderr
}

#[track_caller]
fn assert_carries(pod: &Pod, to: Ipv4Addr, mtu: usize) {
    let fits = asked(pod, mtu, to);
    assert!(fits.contains("1 received"), "{mtu} bytes to {to}: {fits}");
    let too_large = asked(pod, mtu + 1, to);
    assert!(too_large.contains(&format!("mtu = {mtu}")) || too_large.contains(&format!("mtu={mtu}")), "{mtu}: {too_large}");
}

/// The warnings of an `inspect`.
fn warnings(fwd: &Fwd, pod: &Pod) -> Vec<String> {
    let shown: Value = fwd.json(&["inspect", "--ns", &pod.name]);
    shown["warnings"].as_array().expect("a list").iter().map(text).collect()
}

#[test]
fn mtu_of_a_route_holds_without_a_lock() {
    for datapath in ["tc", "kernel"] {
        let fwd = Fwd::new();
        let (gateway, outside) = (fwd.uplink(0).gateway.to_string(), fwd.uplink(0).outside.clone());
        let route = |destination: String, mtu: &[&str]| {
            fwd.on_host(&[&["ip", "route", "replace", &destination, "via", &gateway, "dev", "eth0"], mtu].concat());
        };
        route(format!("{}/32", outside[1]), &[]);
        route("default".into(), &["mtu", "1400"]);
        let pod = fwd.up("c1", &["--datapath", datapath]);
        assert_carries(&pod, outside[0], 1400);
        let whole = asked(&pod, 1500, outside[1]);
        assert!(whole.contains("1 received"), "a route within that asks for nothing: {whole}");
        assert_eq!(warnings(&fwd, &pod), [""; 0]);
        // It changes behind fwd's back.
        route("default".into(), &["mtu", "1300"]);
        if datapath == "tc" {
            assert!(warnings(&fwd, &pod)[0].contains("MTUs"), "{:?}", warnings(&fwd, &pod));
            fwd.ok(&["up", "--ns", &pod.name]);
            assert_eq!(warnings(&fwd, &pod), [""; 0]);
        }
        // Flows take it up as well, within a second.
        forwarder::lab::wait_until(crate::peers::PATIENCE, "the route is looked up again", || {
            Ok(asked(&pod, 1301, outside[0]).contains("1300").then_some(()))
        })
        .unwrap_or_else(|error| panic!("{error}"));
        assert_carries(&pod, outside[0], 1300);
        route("default".into(), &[]);
        fwd.ok(&["up", "--ns", &pod.name]);
        forwarder::lab::wait_until(crate::peers::PATIENCE, "nothing asks for an MTU any more", || {
            Ok(asked(&pod, 1500, outside[0]).contains("1 received").then_some(()))
        })
        .unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn rules_by_the_type_of_service_are_followed() {
    let fwd = Fwd::new();
    let outside = fwd.uplink(0).outside[0];
    // To nobody, but for one type of service.
    fwd.on_host(&["ip", "route", "add", &format!("{outside}/32"), "via", &fwd.uplink(0).gateway.to_string(), "table", "100"]);
    fwd.on_host(&["ip", "rule", "add", "tos", "0x10", "lookup", "100", "priority", "100"]);
    fwd.on_host(&["ip", "route", "add", "prohibit", &format!("{outside}/32")]);
    let pod = fwd.up("c1", &[]);
    let ping = |tos: &str| {
        let argv = ["ping", "-n", "-c", "3", "-i", "0.6", "-W", "2", "-Q", tos, &outside.to_string()];
        try_inside(&pod, &argv).stdout
    };
    assert!(ping("0x10").contains("3 received"));
    assert!(ping("0").contains("0 received"));
    assert!(pings(&pod, fwd.uplink(0).outside[1]));
}

#[test]
fn rules_by_a_mark_are_told() {
    let fwd = Fwd::new();
    fwd.on_host(&["ip", "rule", "add", "not", "fwmark", "0x7", "lookup", "main", "priority", "99"]);
    let pod = fwd.up("c1", &[]);
    assert_eq!(warnings(&fwd, &pod), [""; 0], "what all follow that have no mark is followed");
    fwd.ok(&["down", "--all"]);
    fwd.on_host(&["ip", "rule", "add", "fwmark", "0x1/0xff", "lookup", "100", "priority", "100"]);
    let name = fwd.name("c1");
    let output = fwd.call(&["up", "--ns", &name]);
    assert!(output.status.success() && output.stderr.contains("100: fwmark 0x1/0xff"), "{}", output.stderr);
    assert!(warnings(&fwd, &pod)[0].contains("100: fwmark 0x1/0xff"));
    fwd.ok(&["down", "--all"]);
    let output = fwd.call(&["up", "--ns", &name, "--datapath", "kernel"]);
    assert!(output.status.success() && !output.stderr.contains("fwmark"), "the kernel follows it: {}", output.stderr);
}
