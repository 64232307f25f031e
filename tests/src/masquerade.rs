//! Namespaces of `fwd` beside others that the kernel's own masquerade serves on the same uplink: first come, first served.

use std::net::UdpSocket;

use forwarder::{dataplane::asks_conntrack, netns::Netns, testbed::Namespace};

use crate::{
    fwd::{Fwd, inside, pings},
    nat::{PORT, assert_both_talk, assert_connected, echo},
    peers::{any, asked, at, udp},
};

/// A namespace behind the kernel's own masquerade on the same uplink, as docker would have it.
#[track_caller]
fn masqueraded(fwd: &Fwd) -> Namespace {
    let other = Namespace::create(&fwd.name("docker")).expect("a namespace");
    let name = other.name();
    for line in [
        format!("ip link add docker0 type veth peer name eth0 netns {name}"),
        "ip addr add 172.31.9.1/24 dev docker0".to_owned(),
        "ip link set docker0 up".to_owned(),
        "sysctl -q net.ipv4.ip_forward=1".to_owned(),
        "nft add table ip docker".to_owned(),
        "nft add chain ip docker post { type nat hook postrouting priority 100 ; }".to_owned(),
        "nft add rule ip docker post ip saddr 172.31.9.0/24 oifname eth0 masquerade".to_owned(),
    ] {
        fwd.on_host(&line.split(' ').collect::<Vec<_>>());
    }
    for line in ["addr add 172.31.9.2/24 dev eth0", "link set eth0 up", "route add default via 172.31.9.1"] {
        inside(&other, &[&["ip"], &line.split(' ').collect::<Vec<_>>()[..]].concat());
    }
    other
}

#[test]
fn kernels_own_masquerade_that_comes_later_gets_another_port() {
    let fwd = Fwd::new();
    let (pod, other) = (fwd.up("c1", &[]), masqueraded(&fwd));
    let server = echo(&fwd, 7000);
    assert_both_talk(server, (&pod, any(PORT)), (&other, any(PORT)));
    let seen = assert_connected(&fwd, 9000, &[(&pod, any(PORT + 1)), (&other, any(PORT + 1))]);
    assert_eq!(seen[0].port(), PORT + 1, "who was first keeps the port");
    assert!(pings(&pod, *server.ip()) && pings(&other, *server.ip()));
}

/// Where the programs cannot ask conntrack, docs/kernels.md says so.
#[test]
fn kernels_own_masquerade_that_came_first_keeps_its_port() {
    let fwd = Fwd::new();
    let (pod, other) = (fwd.up("c1", &["--max-flows", "32"]), masqueraded(&fwd));
    let server = echo(&fwd, 7000);
    // Many more than the table holds: they are none of its flows.
    for port in (PORT + 100..).take(100) {
        asked(&udp(&other, any(port)), server, b"forwarded");
    }
    assert_eq!(fwd.list(&["flows"]), [serde_json::Value::Null; 0]);
    if asks_conntrack() {
        assert_both_talk(server, (&other, any(PORT)), (&pod, any(PORT)));
    }
    let seen = assert_connected(&fwd, 9000, &[(&other, any(PORT + 1)), (&pod, any(PORT + 2))]);
    assert_eq!((seen[0].port(), seen[1].port()), (PORT + 1, PORT + 2));
    if asks_conntrack() {
        let seen = assert_connected(&fwd, 9001, &[(&other, any(PORT + 3)), (&pod, any(PORT + 3))]);
        assert_eq!(seen[0].port(), PORT + 3, "who was first keeps the port");
    }
}

/// The external port from which a datagram from `port` of `ns` arrives at `server`, which does not answer.
#[track_caller]
fn seen_from(ns: &Netns, port: u16, server: &UdpSocket) -> u16 {
    let client = udp(ns, any(port));
    client.send_to(b"question", server.local_addr().expect("a socket")).expect("it leaves");
    server.recv_from(&mut [0; 16]).expect("it arrives").1.port()
}

#[test]
fn what_comes_in_unasked_makes_no_port_unusable() {
    let fwd = Fwd::new();
    let (pod, other) = (fwd.up("c1", &[]), masqueraded(&fwd));
    let server = udp(fwd.internet(0), at(fwd.uplink(0).outside[0], 7000));
    // With the masquerade the host keeps track of what comes in.
    assert_eq!(seen_from(&other, PORT, &server), PORT);
    for port in PORT + 1..PORT + 50 {
        server.send_to(b"unasked", at(fwd.uplink(0).address, port)).expect("it leaves");
    }
    for port in [PORT + 1, PORT + 20, PORT + 49] {
        assert_eq!(seen_from(&pod, port, &server), port, "a stranger took it");
    }
}

#[test]
fn what_nobody_answers_makes_no_port_unusable() {
    let fwd = Fwd::new();
    let (pod, other) = (fwd.up("c1", &["--nat-ports", "2000-2063"]), masqueraded(&fwd));
    let server = udp(fwd.internet(0), at(fwd.uplink(0).outside[0], 7000));
    for port in 2000..2064 {
        assert_eq!(seen_from(&other, port, &server), port, "the kernel leaves it as it is");
    }
    let port = seen_from(&pod, PORT, &server);
    assert!((2000..2064).contains(&port), "{port}");
    // Whose port it was goes on from another one.
    assert_ne!(seen_from(&other, port, &server), port, "it is the namespace's now");
}
