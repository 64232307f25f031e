//! Rules that the kernel's own data path keeps, by nftables.

use std::net::Ipv4Addr;

use forwarder_common::wire::emit::Packet;
use serde_json::Value;

use crate::{
    capture::Recording,
    commands::{assert_as_before, snapshot},
    fwd::{Fwd, answers, pings},
    peers::{any, at, listen, udp},
    policy::{connects, rules},
    raw::{frame, mac_of, send},
};

#[test]
fn rules_of_nftables_come_and_go_with_their_endpoint_and_are_mended() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let other = fwd.up("c1", &["--datapath", "kernel"]);
    let pod = fwd.up("c2", &["--deny-in", &other.address.to_string(), "--deny-out", "192.0.2.7:25"]);
    let _listener = listen(&pod, any(7070));
    assert!(!connects(&other, at(pod.address, 7070)) && pings(&pod, other.address));
    let denied = format!("deny-in {}", other.address);
    let counted = |rule: &str| rules(&fwd, &pod).into_iter().find(|(it, _)| it == rule).expect("a rule").1;
    let refused = counted(&denied);
    assert!(refused > 0);
    // By hand they go, and by the next command they are there again.
    fwd.on_host(&["nft", "flush", "chain", "ip", "fwd_nat", "rules_in"]);
    assert!(pings(&other, pod.address));
    assert_eq!(fwd.up("c2", &[]).shown["changed"], true);
    assert!(!answers(&other, pod.address) && counted(&denied) > 0);
    assert_eq!(fwd.up("c2", &[]).shown["changed"], false);
    // One that has none costs nobody else theirs.
    fwd.ok(&["down", "--ns", &other.name]);
    let shown = fwd.on_host(&["nft", "list", "table", "ip", "fwd_nat"]);
    assert!(shown.contains(&format!("ct original ip saddr {}", pod.address)), "{shown}");
    fwd.ok(&["down", "--ns", &pod.name]);
    assert_as_before(&fwd, &before);
}

/// By rules the whole bridge comes under the host's own chains.
#[test]
fn bridge_is_under_the_chains_of_the_host_while_an_endpoint_has_rules_and_that_is_said() {
    let fwd = Fwd::new();
    let other = fwd.up("c1", &["--datapath", "kernel"]);
    let calls = || {
        let shown: Value = serde_json::from_str(&fwd.on_host(&["ip", "-d", "-j", "link", "show", "fwd0"])).unwrap();
        shown[0]["linkinfo"]["info_data"]["nf_call_iptables"].clone()
    };
    let name = fwd.name("c2");
    fwd.ok(&["up", "--ns", &name, "--deny-out", "192.0.2.7"]);
    // It has loaded what bridges call.
    fwd.on_host(&["sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0", "net.bridge.bridge-nf-call-ip6tables=0"]);
    fwd.on_host(&["iptables", "-P", "FORWARD", "DROP"]);
    for args in [&["up", "--ns", &name][..], &["up", "--ns", &other.name]] {
        let warned = fwd.call(args).stderr;
        assert!(warned.contains("nor do its namespaces reach each other (rules of an endpoint"), "{warned}");
    }
    let found = fwd.call(&["doctor", "--json"]).stdout;
    assert!(found.contains("off, but for fwd0"), "{found}");
    assert_eq!(calls(), 1);
    let warned = fwd.call(&["up", "--ns", &name, "--deny-out", "none"]).stderr;
    assert!(warned.contains("nothing gets outside") && !warned.contains("reach each other"), "{warned}");
    assert_eq!(calls(), 0, "the last rules take it along");
    fwd.ok(&["up", "--ns", &name, "--deny-in", "192.0.2.7"]);
    assert_eq!(calls(), 1);
    fwd.ok(&["down", "--ns", &name]);
    assert_eq!(calls(), 0);
    fwd.ok(&["down", "--all"]);
}

/// Root inside chooses addresses and tags as it likes.
#[test]
fn who_has_rules_sends_from_its_own_addresses_alone_and_nothing_with_a_tag() {
    let fwd = Fwd::new();
    let other = fwd.up("c1", &["--datapath", "kernel"]);
    let pod = fwd.up("c2", &["--deny-out", "192.0.2.77"]);
    let (socket, to) = (udp(&other, any(7070)), at(other.address, 7070));
    let [there, own] = [&other, &pod].map(|pod| mac_of(pod, "eth0"));
    let packet = |from: Ipv4Addr, says: &[u8]| frame(there, own, &Packet::udp(at(from, 5555), to).payload(says));
    let forged = packet(Ipv4Addr::from(u32::from(pod.address) + 50), b"forged");
    // Who receives it strips a tag with the number 0.
    let mut tagged = packet(pod.address, b"tagged");
    tagged.splice(12..12, [0x81, 0, 0, 0]);
    send(&pod, "eth0", &[forged, tagged, packet(pod.address, b"own")]);
    let mut buffer = [0; 16];
    let length = socket.recv(&mut buffer).expect("one of them arrives");
    assert_eq!(buffer[..length], *b"own");
    assert!(pings(&pod, fwd.uplink(0).outside[0]));
    // A bridge passes on nothing that is for bridges themselves: its port would be the host's way in, past the guard.
    let (at_host, gateway) = (udp(fwd.host(), at(pod.gateway, 7070)), mac_of(fwd.host(), "fwd0"));
    let to_host = |mac, from: Ipv4Addr, says: &[u8]| {
        frame(mac, own, &Packet::udp(at(from, 5555), at(pod.gateway, 7070)).payload(says))
    };
    let bridges = [0x01, 0x80, 0xc2, 0, 0, 0x0e];
    let stranger = Ipv4Addr::new(203, 0, 113, 9);
    let frames = [
        to_host(bridges, stranger, b"forged"),
        to_host(bridges, pod.address, b"past"),
        to_host(gateway, pod.address, b"own"),
    ];
    send(&pod, "eth0", &frames);
    let length = at_host.recv(&mut buffer).expect("the last one arrives");
    assert_eq!(buffer[..length], *b"own");
    // A neighbour that names another address than the one that the rules are about, and the right hardware address.
    let heard = Recording::start(&fwd, &pod, "eth0");
    let from = at(other.address, 5555);
    let past = |to: Ipv4Addr| frame(own, there, &Packet::udp(from, at(to, 5555)).payload(b"past the rules"));
    let [stranger, group] = [[8, 8, 8, 8], [224, 0, 0, 251]].map(Ipv4Addr::from);
    send(&other, "eth0", &[past(stranger), past(group)]);
    heard.find("what is for a group", |packet| packet.destination() == group);
    assert!(!heard.so_far().iter().any(|packet| packet.destination() == stranger), "no rule was asked about it");
    fwd.ok(&["down", "--ns", &pod.name]);
    assert!(!fwd.on_host(&["nft", "list", "tables"]).contains("bridge"), "the guard goes with it");
}

/// The rule behind the queue inside follows the limit, and is mended; that of the guard beside it stays what it is.
#[test]
fn limits_of_nftables_follow_what_is_asked_for_and_go_with_their_endpoint() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let rules = || {
        let tables = fwd.on_host(&["nft", "list", "tables"]);
        if tables.contains("bridge") {
            fwd.on_host(&["nft", "-s", "list", "table", "bridge", "fwd_nat"])
        } else {
            tables
        }
    };
    let pod = fwd.up("c1", &["--datapath", "kernel", "--rate-out", "40M", "--deny-out", "192.0.2.77"]);
    let limit = |bytes: &str| format!("iif \"{}\" limit rate over {bytes} bytes/second counter drop", pod.host_if);
    assert!(rules().contains(&limit("5000000")), "{}", rules());
    assert_eq!(fwd.up("c1", &["--rate-out", "10M"]).shown["changed"], true);
    assert!(rules().contains(&limit("1250000")) && rules().matches("limit").count() == 1, "{}", rules());
    fwd.on_host(&["nft", "flush", "chain", "bridge", "fwd_nat", "rate"]);
    assert_eq!(fwd.up("c1", &[]).shown["changed"], true);
    assert!(rules().contains(&limit("1250000")));
    assert_eq!(fwd.up("c1", &["--rate-out", "10M"]).shown["changed"], false);
    assert_eq!(fwd.up("c1", &["--deny-out", "none"]).shown["changed"], true);
    assert!(rules().contains(&limit("1250000")) && !rules().contains("saddr"), "{}", rules());
    assert_eq!(fwd.up("c1", &["--rate-out", "none"]).shown["changed"], true);
    assert!(!rules().contains("bridge"), "{}", rules());
    fwd.up("c1", &["--rate-out", "10M"]);
    fwd.ok(&["down", "--all"]);
    assert_as_before(&fwd, &before);
}
