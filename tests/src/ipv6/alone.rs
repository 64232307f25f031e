//! Networks that have IPv6 alone: everything works without an address of IPv4, and nothing of that gets through.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::json;

use super::{address6, at, flows::flows, host_with, link, over_each, seen_from};
use crate::{
    doctor::is_in_order,
    fwd::{Fwd, Pod, inside, open, pings6, text, try_inside},
    peers::{connect, listen},
};

const ALONE: [&str; 2] = ["--ipv4", "off"];

/// A namespace that `fwd up` connected, which has no address of IPv4.
#[track_caller]
pub(crate) fn up(fwd: &Fwd, role: &str, options: &[&str]) -> Pod {
    let name = fwd.name(role);
    let shown = fwd.json(&[&["up", "--ns", &name], options].concat());
    let (address, gateway) = (Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED);
    Pod { ns: open(&name), name, address, gateway, host_if: text(&shown["host_if"]), shown }
}

#[test]
fn namespaces_of_ipv6_alone_speak_with_everybody() {
    over_each(|options| {
        let fwd = host_with(1);
        let before = fwd.snapshot().expect("a snapshot");
        let one = up(&fwd, "c1", &[options, &ALONE].concat());
        // Who joins has what the network has.
        let other = up(&fwd, "c2", options);
        assert_eq!(one.shown["addresses"].as_array().map(Vec::len), Some(1), "{:#}", one.shown);
        assert_eq!((&one.shown["ipv4"], &one.shown["ipv6"]), (&json!("off"), &json!("masquerade")));
        assert_ne!(address6(&one), address6(&other));
        for pod in [&one, &other] {
            assert_eq!(fwd.ok(&["exec", &pod.name, "--", "ip", "-4", "addr", "show", "dev", "eth0"]), "");
        }
        let (six, outside) = (link(&fwd, 0), link(&fwd, 0).outside);
        let gateway: Ipv6Addr = text(&one.shown["gateways"][0]).parse().expect("an address of IPv6");
        for (who, address) in [
            ("outside", outside),
            ("the host", six.address),
            ("the gateway", gateway),
            ("another namespace", address6(&other)),
        ] {
            assert!(pings6(&one, address), "{who}");
        }
        assert!(pings6(fwd.host(), address6(&one)), "the host reaches it");
        assert_eq!(seen_from(&one, fwd.internet(0), at(outside, 7000)), [IpAddr::from(six.address); 2]);
        if options[1] != "kernel" {
            assert_eq!(flows(&fwd, &one, "tcp").len(), 1);
        }
        assert_eq!(fwd.on_host(&["ip", "-4", "addr", "show", "dev", "fwd0"]), "");
        for name in ["c2", "c1"] {
            fwd.down(name);
        }
        let difference = before.diff(&fwd.snapshot().expect("a snapshot"));
        assert!(difference.is_empty(), "{options:?}: {difference:#?}");
    });
}

/// Whatever root inside gives itself of IPv4, it is nobody's address here.
#[test]
fn ipv4_of_such_a_namespace_is_dropped_and_counted() {
    for spoofs in [false, true] {
        let fwd = host_with(1);
        let pod = up(&fwd, "c1", if spoofs { &["--ipv4", "off", "--allow-spoof"] } else { &ALONE });
        let gateway = text(&pod.shown["gateways"][0]);
        let neighbour = inside(&pod, &["ip", "-6", "neigh", "show", &gateway]);
        let mac = neighbour.split_whitespace().skip_while(|word| *word != "lladdr").nth(1).expect("it is fixed");
        for line in [
            "addr add 10.9.9.9/24 dev eth0".to_owned(),
            format!("neigh add 10.9.9.1 lladdr {mac} dev eth0 nud permanent"),
            "route add default via 10.9.9.1".to_owned(),
        ] {
            inside(&pod, &[&["ip"], &line.split(' ').collect::<Vec<_>>()[..]].concat());
        }
        for address in [fwd.uplink(0).outside[0], fwd.uplink(0).address] {
            let ping = try_inside(&pod, &["ping", "-n", "-c", "1", "-W", "1", &address.to_string()]);
            assert!(!ping.status.success(), "{address}: {}", ping.stdout);
        }
        assert_eq!(fwd.counted("from_ns", "dropped", Some("SpoofedSource")), 2, "--allow-spoof: {spoofs}");
        assert_eq!(fwd.list(&["flows"]), [json!(null); 0]);
    }
}

/// The host's own IPv4 is not needed, nor is any of it taken.
#[test]
fn names_ports_and_commands_work_on_a_host_without_ipv4() {
    let fwd = host_with(1);
    fwd.on_host(&["ip", "-4", "addr", "flush", "dev", "eth0"]);
    fwd.on_host(&["ip", "-4", "route", "flush", "table", "main"]);
    fwd.expect_error(&["up", "--ns", &fwd.name("c1")], 3, &["no default route of IPv4", "--ipv4 off"]);
    fwd.expect_error(&["network", "add", "web", "--ipv4", "off", "--ipv6", "off"], 2, &["no addresses at all"]);
    fwd.ok(&["network", "add", "web", "--ipv4", "off", "--dns"]);
    let pod = up(&fwd, "c1", &["--network", "web", "-p", "8080:80", "--alias", "www"]);
    let other = up(&fwd, "c2", &["--network", "web"]);
    assert_eq!(fwd.list(&["network", "ls"])[0]["ipv4"], "off");
    assert!(fwd.ok(&["network", "ls"]).contains("without IPv4"));
    // By names.
    assert_eq!(pod.shown["name_server"], pod.shown["gateways"][0]);
    let found = fwd.ok(&["exec", &other.name, "--", "getent", "ahosts", "www"]);
    assert!(found.starts_with(&address6(&pod).to_string()), "{found}");
    // By ports of the host.
    let _server = listen(&pod, at(Ipv6Addr::UNSPECIFIED, 80));
    let asked = at(link(&fwd, 0).address, 8080);
    connect(fwd.internet(0), at(Ipv6Addr::UNSPECIFIED, 0), asked).expect("it is published");
    let port = &fwd.list(&["port", "ls"])[0];
    assert_eq!((&port["address"], &port["address6"]), (&json!(null), &json!(address6(&pod))));
    // Everything that shows something.
    for args in [&["ls"][..], &["inspect", &pod.name], &["stats"], &["graph"], &["uplink", "ls"], &["flows"]] {
        fwd.ok(args);
    }
    is_in_order(&fwd);
    let file = fwd.run_dir().join("all.toml");
    std::fs::write(&file, fwd.ok(&["export"])).expect("a file");
    let path = file.to_str().expect("UTF-8");
    assert!(std::fs::read_to_string(&file).expect("a file").contains("ipv4 = \"off\""));
    assert_eq!(fwd.json(&["apply", "-f", path])["changed"], false);
    fwd.ok(&["down", "--all"]);
    fwd.ok(&["apply", "-f", path]);
    assert_eq!(fwd.list(&["network", "ls"])[0]["subnets"].as_array().map(Vec::len), Some(1));
    assert!(pings6(&open(&pod.name), link(&fwd, 0).outside));
}
