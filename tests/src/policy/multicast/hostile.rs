//! `--multicast` where somebody on either side means ill, or nobody asked for so much.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};

use forwarder::{
    Context as _,
    netns::Netns,
    testbed::{TestbedSpec, wait_until},
};

use nix::sys::signal::Signal;
use serde_json::json;

use super::{GROUP, GROUP6, PORT, index, reaches};
use crate::{
    fwd::{Fwd, LIMIT, inside, open},
    peers::{any, at, udp},
    raw,
    trace::Trace,
};

/// A group that is routed, and the hardware address that belongs to it (RFC 1112 §6.4).
const ROUTED: Ipv4Addr = Ipv4Addr::new(239, 129, 2, 3);
const ROUTED_MAC: &str = "01:00:5e:01:02:03";
/// A port by which programs of a cluster know each other.
const CLUSTER: u16 = 5405;

/// Counts what arrives at an interface that rules of nftables are about.
struct Seen<'a>(&'a Netns);

impl<'a> Seen<'a> {
    fn at(ns: &'a Netns, interface: &str, rules: &[&str]) -> Self {
        let rules: String = rules.iter().map(|rule| format!("{rule} counter; ")).collect();
        let chain = format!("type filter hook ingress device {interface} priority 0; {rules}");
        inside(ns, &["nft", &format!("table netdev seen {{ chain seen {{ {chain} }}; }}")]);
        Self(ns)
    }

    /// How many packets each rule has seen.
    fn counts(&self) -> Vec<u64> {
        let listed = inside(self.0, &["nft", "list", "table", "netdev", "seen"]);
        let counters = listed.split("counter packets ").skip(1);
        counters.map(|it| it.split(' ').next().and_then(|it| it.parse().ok()).expect("a counter")).collect()
    }

    /// Does something again and again, until the first rule has seen a packet.
    #[track_caller]
    fn await_first(&self, mut sends: impl FnMut()) {
        let seen = || {
            sends();
            Ok((self.counts().first() > Some(&0)).then_some(()))
        };
        wait_until(LIMIT, "it arrives", seen).unwrap_or_else(|error| panic!("{error}"));
    }
}

fn speaks(ns: &Netns, port: u16) -> UdpSocket {
    let socket = udp(ns, any(port));
    socket.set_multicast_ttl_v4(4).expect("a socket");
    socket
}

fn member(ns: &Netns, address: Ipv4Addr) -> UdpSocket {
    let socket = udp(ns, any(PORT));
    ns.run(|| socket.join_multicast_v4(&ROUTED, &address).doing("join", ROUTED.to_string())).expect("a member");
    socket
}

#[test]
fn the_link_does_not_flood_namespaces() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &["--multicast"]);
    let speaker = udp(fwd.internet(0), at(fwd.uplink(0).gateway, 0));
    speaker.set_multicast_ttl_v4(4).expect("a socket");
    reaches(&speaker, at(ROUTED, PORT).into(), &[&member(&pod, pod.address)]);
    assert!(fwd.counted("from_uplink", "forwarded", None) > 0, "what comes in is counted at the uplink");
    let floods = || {
        (0..4_000).for_each(|_| drop(speaker.send_to(b"listen!", at(ROUTED, PORT))));
        Ok((fwd.counted("from_uplink", "dropped", Some("RateExceeded")) > 0).then_some(()))
    };
    wait_until(LIMIT, "it is too much", floods).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_namespace_does_not_pass_for_a_program_of_the_host() {
    let fwd = Fwd::with(&TestbedSpec { ipv6: true, ..TestbedSpec::default() });
    let pod = fwd.up("c1", &["--multicast"]);
    let own = fwd.uplink(0).address;
    let by_host = format!("udp sport {CLUSTER}");
    let seen = Seen::at(fwd.internet(0), "inet0", &[&format!("ip daddr {ROUTED} udp sport {}", CLUSTER + 1), &by_host]);
    let refused = || fwd.counted("to_uplink", "dropped", Some("MulticastOutside"));
    let on_link = SocketAddr::from(SocketAddrV6::new(GROUP6, PORT, 0, index(&pod, "eth0")));
    let any6 = |port| SocketAddr::from(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0));
    let other = speaks(&pod, CLUSTER + 1);

    // However the host has the port, and of either family.
    for address in [Ipv4Addr::UNSPECIFIED, own, ROUTED] {
        let (_holder, same, before) = (udp(fwd.host(), at(address, CLUSTER)), speaks(&pod, CLUSTER), refused());
        let speaks = || {
            same.send_to(b"I am the host", at(ROUTED, PORT)).expect("it is sent");
            Ok((refused() > before).then_some(()))
        };
        wait_until(LIMIT, "it is refused", speaks).unwrap_or_else(|error| panic!("{address}: {error}"));
    }
    let (_holder, before, same) = (udp(fwd.host(), any6(CLUSTER)), refused(), udp(&pod, any6(CLUSTER)));
    let speaks6 = || {
        same.send_to(b"I am the host", on_link).expect("it is sent");
        Ok((refused() > before).then_some(()))
    };
    wait_until(LIMIT, "it is refused of IPv6", speaks6).unwrap_or_else(|error| panic!("{error}"));

    // By ports of its own, and by those that everybody speaks by.
    seen.await_first(|| {
        other.send_to(b"I am somebody", at(ROUTED, PORT)).expect("it is sent");
    });
    assert_eq!(seen.counts()[1], 0, "nobody outside takes it for the host");
    let names = [
        super::hears(fwd.host(), own),
        super::hears(&pod, pod.address),
        super::hears(fwd.internet(0), fwd.uplink(0).gateway),
    ];
    reaches(&names[1], at(GROUP, PORT).into(), &[&names[2]]);
}

/// Who asks why nobody hears a group sees the packet go on, and its copy end.
#[test]
fn a_trace_tells_of_a_copy_that_does_not_leave() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &["--multicast"]);
    let (_holder, same) = (udp(fwd.host(), at(ROUTED, CLUSTER)), speaks(&pod, CLUSTER));
    let trace = Trace::start(&fwd, &pod, &["--ns", &pod.name]);
    same.send_to(b"I am the host", at(ROUTED, PORT)).expect("it is sent");
    let copy = trace.shows("the copy", |line| line["reason"] == "MulticastOutside");
    assert_eq!((&copy["hook"], &copy["verdict"]), (&json!("to_uplink"), &json!("dropped")), "{copy:#}");
    let packet = trace.shows("the packet itself", |line| line["hook"] == "from_ns" && line["reason"] == "Multicast");
    assert_eq!((&packet["verdict"], &packet["dst_addr"]), (&json!("punted"), &copy["dst_addr"]), "{packet:#}");
    trace.end(Signal::SIGINT);
}

#[test]
fn a_copy_is_addressed_to_its_group() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &["--multicast"]);
    let own = raw::mac_of(fwd.host(), "eth0");
    let own = own.map(|byte| format!("{byte:02x}")).join(":");
    let rule = format!("ip daddr {ROUTED} ether saddr {own} ether daddr");
    let [right, wrong] = [format!("{rule} {ROUTED_MAC}"), format!("{rule} != {ROUTED_MAC}")];
    let seen = Seen::at(fwd.internet(0), "inet0", &[&right, &wrong]);
    let mut packet = raw::udp(at(pod.address, 4000), at(ROUTED, PORT), b"to all switches");
    packet.ttl = 4;
    let frames = [raw::frame([0xff; 6], raw::mac_of(&pod, "eth0"), &packet)];
    seen.await_first(|| raw::send(&pod, "eth0", &frames));
    assert_eq!(seen.counts()[1], 0, "{:?}", seen.counts());
}

/// The host's own fragments to that group are told apart by identifications that a namespace may guess.
#[test]
fn nothing_leaves_in_pieces() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &["--multicast"]);
    let rules = [format!("ip daddr {ROUTED}"), format!("ip daddr {ROUTED} ip frag-off & 0x3fff != 0")];
    let (arrives, sent) =
        (Seen::at(fwd.internet(0), "inet0", &[&rules[0], &rules[1]]), Seen::at(fwd.host(), &pod.host_if, &[&rules[1]]));
    let speaker = speaks(&pod, CLUSTER);
    arrives.await_first(|| {
        for payload in [&[0; 3_000][..], b"whole"] {
            speaker.send_to(payload, at(ROUTED, PORT)).expect("it is sent");
        }
    });
    assert!(sent.counts()[0] > 0, "it was sent in pieces");
    assert_eq!(arrives.counts()[1], 0, "{:?}", arrives.counts());
}

#[test]
fn nothing_comes_in_that_has_an_address_of_the_host_or_of_nobody() {
    let fwd = Fwd::new();
    let [second, announced] = [7, 8].map(|more| Ipv4Addr::from_bits(fwd.uplink(0).address.to_bits() + more));
    fwd.on_host(&["ip", "address", "add", &format!("{second}/24"), "dev", "eth0"]);
    let pod = fwd.up("c1", &["--multicast", "--source", &announced.to_string(), "--announce"]);
    let forged = [fwd.uplink(0).address, second, announced, Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED, pod.gateway];
    let rule = |address: &Ipv4Addr| format!("ip saddr {address} ip daddr {GROUP}");
    let rules: Vec<String> = [&fwd.uplink(0).gateway].into_iter().chain(&forged).map(rule).collect();
    let seen = Seen::at(&pod, "eth0", &rules.iter().map(String::as_str).collect::<Vec<_>>());
    let to = [0x01, 0, 0x5e, 0, 0, 251];
    let frame = |from: Ipv4Addr| {
        let from_mac = raw::mac_of(fwd.internet(0), "inet0");
        raw::frame(to, from_mac, &raw::udp(at(from, PORT), at(GROUP, PORT), b"I am at home"))
    };
    let frames: Vec<Vec<u8>> = forged.into_iter().chain([fwd.uplink(0).gateway]).map(frame).collect();
    seen.await_first(|| raw::send(fwd.internet(0), "inet0", &frames));
    assert!(seen.counts()[1..].iter().all(|count| *count == 0), "{:?}", seen.counts());
}

#[test]
fn networks_hear_what_is_of_families_that_they_have() {
    let fwd = Fwd::with(&TestbedSpec { ipv6: true, ..TestbedSpec::default() });
    let both = fwd.up("c1", &["--multicast", "--network", "both"]);
    let v4 = fwd.up("c2", &["--multicast", "--network", "v4", "--ipv6", "off"]);
    fwd.ok(&["up", "--ns", &fwd.name("c3"), "--multicast", "--network", "v6", "--ipv4", "off"]);
    let v6 = open(&fwd.name("c3"));
    let rules = [format!("ip daddr {GROUP}"), format!("ip6 daddr {GROUP6}")];
    let rules = [rules[0].as_str(), rules[1].as_str()];
    let [both, v4, v6] = [&*both, &*v4, &v6].map(|ns| Seen::at(ns, "eth0", &rules));
    let speaker = udp(fwd.internet(0), SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0));
    let by4 = udp(fwd.internet(0), at(fwd.uplink(0).gateway, 0));
    let on_link = SocketAddr::from(SocketAddrV6::new(GROUP6, PORT, 0, index(fwd.internet(0), "inet0")));
    let speaks = || {
        speaker.send_to(b"who is there?", on_link).expect("it is sent");
        by4.send_to(b"who is there?", at(GROUP, PORT)).expect("it is sent");
        let heard = [both.counts(), v4.counts(), v6.counts()].concat();
        let all = [0, 1, 2, 5].iter().all(|at| heard[*at] > 0);
        Ok(all.then_some(heard))
    };
    let heard = wait_until(LIMIT, "it is heard", speaks).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((heard[3], heard[4]), (0, 0), "{heard:?}");
}

/// Whoever answers first when the host asks whether its address is free keeps it (RFC 4862 §5.4.5).
#[test]
fn nothing_leaves_from_an_address_that_somebody_else_has() {
    const TAKEN: &str = "fe80::7";
    let fwd = Fwd::with(&TestbedSpec { ipv6: true, ..TestbedSpec::default() });
    inside(fwd.internet(0), &["ip", "address", "add", &format!("{TAKEN}/64"), "dev", "inet0", "nodad"]);
    // The testbed has it off, so that nobody waits for it.
    fwd.on_host(&["sysctl", "-q", "-w", "net.ipv6.conf.eth0.accept_dad=1", "net.ipv6.conf.eth0.dad_transmits=1"]);
    fwd.on_host(&["ip", "address", "add", &format!("{TAKEN}/64"), "dev", "eth0"]);
    let shown = || fwd.on_host(&["ip", "-6", "address", "show", "dev", "eth0", "to", TAKEN]);
    let failed = wait_until(LIMIT, "it is found elsewhere", || Ok(shown().contains("dadfailed").then_some(())));
    failed.unwrap_or_else(|error| panic!("{error}: {}", shown()));
    let pod = fwd.up("c1", &["--multicast"]);
    let rules = [format!("ip6 daddr {GROUP6}"), format!("ip6 saddr {TAKEN} ip6 daddr {GROUP6}")];
    let seen = Seen::at(fwd.internet(0), "inet0", &[&rules[0], &rules[1]]);
    let speaker = udp(&pod, SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0));
    let on_link = SocketAddrV6::new(GROUP6, PORT, 0, index(&pod, "eth0"));
    seen.await_first(|| {
        speaker.send_to(b"who is there?", on_link).expect("it is sent");
    });
    assert_eq!(seen.counts()[1], 0, "{:?}", seen.counts());
}
