//! Networks whose endpoints do not reach each other, whatever they try.

use std::net::Ipv4Addr;

use forwarder_common::wire::emit::Packet;

use crate::{
    capture::Recording,
    commands::{assert_as_before, assert_reaches_outside, snapshot},
    fwd::{Fwd, Pod, answers, inside, pings},
    peers::at,
    policy::connects,
    raw,
};

/// The data paths, each with what its endpoints are refused by.
const DATAPATHS: [&str; 3] = ["tc", "xdp", "kernel"];

/// As a broadcast has it.
const EVERYBODY: [u8; 6] = [0xff; 6];

fn isolated(fwd: &Fwd, role: &str, datapath: &str, options: &[&str]) -> Pod {
    fwd.up(role, &[&["--no-icc", "--datapath", datapath], options].concat())
}

/// What `from` sends to `to` by itself: nothing is answered. The neighbour is known, so that no ARP is in the way.
#[track_caller]
fn assert_apart(from: &Pod, to: &Pod) {
    let mac = raw::mac_of(to, "eth0").map(|byte| format!("{byte:02x}")).join(":");
    let address = to.address.to_string();
    assert!(!answers(from, to.address), "by ARP");
    // Straight to the other's hardware address, and by the gateway.
    for by in [
        format!("neigh replace {address} lladdr {mac} dev eth0"),
        format!("route replace {address} via {}", from.gateway),
    ] {
        inside(from, &["sh", "-c", &format!("ip {by}")]);
        assert!(!answers(from, to.address), "{by}");
        assert!(!connects(from, at(to.address, 7777)), "{by}");
    }
}

#[test]
fn namespaces_of_a_network_without_icc_reach_gateway_and_outside_but_not_each_other() {
    for datapath in DATAPATHS {
        let fwd = Fwd::new();
        let before = snapshot(&fwd);
        let (one, two) = (isolated(&fwd, "c1", datapath, &[]), isolated(&fwd, "c2", datapath, &[]));
        let _listener = crate::peers::listen(&two, at(two.address, 7777));
        assert!(connects(fwd.host(), at(two.address, 7777)), "the host reaches it");
        for (from, to) in [(&one, &two), (&two, &one)] {
            assert!(pings(from, from.gateway), "{datapath}");
            assert_reaches_outside(&fwd, from);
            assert_apart(from, to);
        }
        assert_eq!(fwd.json(&["inspect", &one.name])["no_icc"], true);
        assert!(fwd.ok(&["ls"]).contains(", no-icc"));
        assert_eq!(fwd.up("c1", &["--no-icc"]).shown["changed"], false);
        if datapath != "kernel" {
            assert!(fwd.counted("from_ns", "dropped", Some("PeerIsolated")) > 0);
        }
        fwd.ok(&["down", "--all"]);
        assert_as_before(&fwd, &before);
    }
}

/// Frames of root inside: none that the bridge would pass on arrives, to whomever it says it is.
#[test]
fn frames_of_a_raw_socket_reach_no_other_namespace() {
    for datapath in ["tc", "kernel"] {
        for spoofs in [false, true] {
            let fwd = Fwd::new();
            let options: &[&str] = if spoofs { &["--allow-spoof"] } else { &[] };
            let (one, two) = (isolated(&fwd, "c1", datapath, options), isolated(&fwd, "c2", datapath, options));
            let recording = Recording::start(&fwd, &two, "eth0");
            let (mac, other) = (raw::mac_of(&one, "eth0"), raw::mac_of(&two, "eth0"));
            let bridge = raw::mac_of(fwd.host(), "fwd0");
            let from = at(one.address, 7);
            let to = [
                two.address,
                one.gateway,
                Ipv4Addr::BROADCAST,
                Ipv4Addr::new(224, 0, 0, 251),
                Ipv4Addr::new(10, 77, 0, 255),
                Ipv4Addr::new(10, 77, 0, 99),
            ];
            let packets = to.map(|to| Packet::udp(from, at(to, 7)));
            // Of no conversation, for conntrack: an answer that nobody has asked for.
            let answer = Packet::icmp(one.address, two.address, 0, 0);
            let frames: Vec<Vec<u8>> = packets
                .into_iter()
                .chain([answer])
                .map(|packet| packet.payload(b"let me in"))
                .flat_map(|packet| [other, EVERYBODY, bridge].map(|mac_to| raw::frame(mac_to, mac, &packet)))
                .collect();
            raw::send(&one, "eth0", &frames);
            let seen: Vec<_> = recording.all().into_iter().filter(|packet| packet.source() == one.address).collect();
            assert!(seen.is_empty(), "{datapath}, spoofs: {spoofs}: {seen:#?}");
            assert!(pings(&two, two.gateway));
        }
    }
}

#[test]
fn isolation_of_endpoints_outlives_their_bridge() {
    let fwd = Fwd::new();
    let (one, two) = (isolated(&fwd, "c1", "tc", &[]), isolated(&fwd, "c2", "tc", &[]));
    fwd.on_host(&["ip", "link", "del", "fwd0"]);
    fwd.up("c1", &[]);
    assert_apart(&one, &two);
    let ports = fwd.on_host(&["bridge", "-d", "link", "show"]);
    assert_eq!(ports.matches("isolated on").count(), 2, "{ports}");
    assert_reaches_outside(&fwd, &two);
}

#[test]
fn network_that_exists_is_not_isolated_afterwards() {
    let fwd = Fwd::new();
    fwd.up("c1", &[]);
    let name = fwd.name("c2");
    fwd.expect_error(
        &["up", "--ns", &name, "--no-icc"],
        4,
        &["network fwd0", "reach between namespaces is on, not off"],
    );
}
