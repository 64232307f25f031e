//! Packets take the fast path: the host's own forwarding sees next to none of them.

use std::fs;

use forwarder::{
    Context,
    testbed::{Namespace, http},
};
use serde_json::Value;

use super::fwd::{Fwd, Pod, inside, number, pings};
use crate::peers::{ANY, asked, at, connect, echo_tcp, echo_udp, echoed, listen, udp};

/// A forward hook that counts, and drops everything.
const FORWARD_DROP: &str = "table ip guard { chain forward { \
    type filter hook forward priority filter; policy drop; counter; }; }";

const LENGTH: u64 = 50_000_000;

/// Packets that the kernel of a namespace was asked to forward.
#[track_caller]
fn forwarded(host: &Namespace) -> u64 {
    let read = || fs::read_to_string("/proc/thread-self/net/snmp").doing("read", "/proc/net/snmp");
    let text = host.run(read).expect("readable");
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Ip: "));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    let (_, value) =
        names.split(' ').zip(values.split(' ')).find(|(name, _)| *name == "ForwDatagrams").expect("it is one");
    value.parse().expect("a number")
}

/// Packets that the counter in the forward hook has seen.
#[track_caller]
fn hooked(fwd: &Fwd) -> u64 {
    let listed = fwd.on_host(&["nft", "-j", "list", "table", "ip", "guard"]);
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    let rule = listed["nftables"].as_array().into_iter().flatten().find(|item| item["rule"].is_object());
    number(&rule.expect("there is a rule")["rule"]["expr"][0]["counter"]["packets"])
}

/// Bulk and small packets of all kinds.
#[track_caller]
fn traffic(fwd: &Fwd, pod: &Pod) {
    const REQUESTS: usize = 200;
    let outside = fwd.uplink(0).outside[0];
    let server = http::Server::start(fwd.internet(0), at(outside, 80)).expect("a server");
    let file = fwd.run_dir().join("download");
    let file = file.to_str().expect("UTF-8");
    inside(pod, &["curl", "-sSf", "-o", file, &format!("http://{outside}/{LENGTH}")]);
    http::Body::new(LENGTH).verify(fs::File::open(file).expect("it is there")).expect("it is what was served");
    drop(server);
    let clients = echo_tcp(listen(fwd.internet(0), at(outside, 9000)), REQUESTS);
    for _ in 0..REQUESTS {
        echoed(&connect(pod, ANY, at(outside, 9000)).expect("it connects"), b"request");
    }
    clients.join().expect("the server");
    let replies = echo_udp(udp(fwd.internet(0), at(outside, 53)), REQUESTS);
    let socket = udp(pod, ANY);
    for _ in 0..REQUESTS {
        asked(&socket, at(outside, 53), b"request");
    }
    replies.join().expect("the server");
    inside(pod, &["ping", "-n", "-q", "-c", "100", "-i", "0.01", &outside.to_string()]);
}

#[test]
fn kernel_forwards_less_than_one_packet_of_a_hundred() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    fwd.on_host(&[
        "nft",
        "add table ip guard; add chain ip guard forward { type filter hook forward priority filter; }",
    ]);
    fwd.on_host(&["nft", "add rule ip guard forward counter"]);
    let before = (forwarded(fwd.host()), hooked(&fwd));
    traffic(&fwd, &pod);
    let seen = (forwarded(fwd.host()) - before.0, hooked(&fwd) - before.1);
    let shown = &fwd.list(&["ls"])[0];
    let packets = number(&shown["tx_packets"]) + number(&shown["rx_packets"]);
    assert!(packets > LENGTH / 1500, "the counters of the fast path saw it: {packets}");
    // A packet of the kernel's may stand for as many as a GSO packet has segments: 45 at 64 kB.
    assert!(seen.0 * 100 < packets / 45 && seen.1 * 100 < packets / 45, "kernel forwarded {seen:?}, of {packets}");
}

#[test]
fn a_firewall_that_forwards_nothing_is_no_obstacle() {
    let fwd = Fwd::new();
    fwd.on_host(&["nft", FORWARD_DROP]);
    let (pod, other) = (fwd.up("c1", &[]), fwd.up("c2", &[]));
    assert!(pings(&pod, pod.gateway) && pings(&pod, fwd.uplink(0).address), "the host");
    assert!(pings(&pod, fwd.uplink(0).outside[0]), "the outside");
    assert!(pings(&pod, other.address), "a neighbour");
    traffic(&fwd, &pod);
    traffic(&fwd, &other);
}

/// The counters above mean something: the kernel's own data path is seen by them.
#[test]
fn kernel_data_path_is_seen_by_the_same_counters() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &["--datapath", "kernel"]);
    fwd.on_host(&[
        "nft",
        "add table ip guard; add chain ip guard forward { type filter hook forward priority filter; }",
    ]);
    fwd.on_host(&["nft", "add rule ip guard forward counter"]);
    let before = (forwarded(fwd.host()), hooked(&fwd));
    traffic(&fwd, &pod);
    let seen = (forwarded(fwd.host()) - before.0, hooked(&fwd) - before.1);
    assert!(seen.0 > 1000 && seen.1 > 1000, "kernel forwarded {seen:?}");
}
