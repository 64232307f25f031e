//! What gets in, and what gets out: answers, and what is translated.

use std::net::{IpAddr, Ipv6Addr};

use forwarder::netns::Netns;
use forwarder_common::wire::emit::{Ethernet, Icmp, Ipv6Packet, Sum, Transport};

use super::{ADVERTISE, address6, at, host_with, link, link_local, over_each};
use crate::{
    fwd::{Fwd, answers6, inside, pings6, text, try_inside},
    peers::{connect, listen},
    raw::{mac_of, send},
};

/// Sends to `argv[1]` what conntrack does not know: segments of no connection, and messages of neighbour discovery.
const UNKNOWN: &str = "
import socket, struct, sys
outside = sys.argv[1]
tcp = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_TCP)
tcp.setsockopt(socket.IPPROTO_IPV6, 7, 16)
for flags in (0x04, 0x14, 0x3f):
    tcp.sendto(struct.pack('!HHIIBBHHH', 5000, 7000, 1, 1, 0x50, flags, 1024, 0, 0), (outside, 0))
icmp = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
icmp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 255)
for kind in (133, 134, 135, 136, 137):
    icmp.sendto(struct.pack('!BBHI', kind, 0, 0, 0) + socket.inet_pton(socket.AF_INET6, outside), (outside, 0))";

/// Lets the internet behind an uplink answer whatever comes, also to addresses of namespaces, and count what has one.
#[track_caller]
pub(super) fn answer_everybody(fwd: &Fwd, uplink: usize) {
    let (internet, via) = (fwd.internet(uplink), link(fwd, uplink).address.to_string());
    inside(internet, &["ip", "-6", "route", "add", "default", "via", &via]);
    let table = "table ip6 seen { chain arrived { type filter hook prerouting priority raw; ip6 saddr != 2001:db8::/32 \
        ip6 saddr != fe80::/10 ip6 saddr != ::/128 counter; }; }";
    inside(internet, &["nft", table]);
}

/// How many packets came there with an address that is not the host's.
#[track_caller]
pub(super) fn leaked(fwd: &Fwd, uplink: usize) -> u64 {
    let listed = inside(fwd.internet(uplink), &["nft", "list", "table", "ip6", "seen"]);
    let (_, after) = listed.split_once("counter packets ").expect("a counter");
    after.split(' ').next().and_then(|count| count.parse().ok()).expect("a number")
}

#[test]
fn networks_do_not_reach_each_other_and_nobody_comes_in_unasked() {
    over_each(|options| {
        let fwd = host_with(1);
        answer_everybody(&fwd, 0);
        let (one, other) = (fwd.up("c1", options), fwd.up("c2", &[options, &["--network", "web"]].concat()));
        assert_eq!(address6(&one).octets()[..6], address6(&other).octets()[..6], "of one /48");
        assert_ne!(address6(&one).octets()[..8], address6(&other).octets()[..8]);
        for pod in [&one, &other] {
            assert!(pings6(pod, link(&fwd, 0).outside));
            assert!(!answers6(fwd.internet(0), address6(pod)), "from outside only answers come in");
        }
        assert!(!answers6(&one, address6(&other)) && !answers6(&other, address6(&one)));
        assert_eq!(leaked(&fwd, 0), 0);
    });
}

#[test]
fn nothing_of_a_network_that_is_bound_leaves_by_another_interface_of_the_host() {
    over_each(|options| {
        let fwd = host_with(2);
        answer_everybody(&fwd, 1);
        let pod = fwd.up("c1", &[options, &["--uplink", "eth0"]].concat());
        let elsewhere = link(&fwd, 1);
        assert!(pings6(fwd.host(), elsewhere.outside), "the host leaves by it");
        assert!(!answers6(&pod, elsewhere.outside) && !answers6(&pod, elsewhere.gateway));
        assert_eq!(leaked(&fwd, 1), 0);
        assert!(pings6(&pod, link(&fwd, 0).outside));
    });
}

/// The host forwards for another network.
#[test]
fn namespace_of_a_network_without_ipv6_cannot_give_itself_any() {
    over_each(|options| {
        let fwd = host_with(1);
        answer_everybody(&fwd, 0);
        let other = fwd.up("c1", options);
        let pod = fwd.up("c2", &[options, &["--network", "web", "--ipv6", "off"]].concat());
        let bridge = fwd.host().netlink().unwrap().link("web").unwrap().and_then(|link| link.mac).expect("its bridge");
        let bridge = bridge.map(|byte| format!("{byte:02x}")).join(":");
        for line in [
            "addr add fd99::9/64 dev eth0 nodad",
            "route add default via fd99::1 dev eth0",
            &format!("neigh add fd99::1 lladdr {bridge} dev eth0 nud permanent"),
        ] {
            inside(&pod, &[&["ip", "-6"], &line.split(' ').collect::<Vec<_>>()[..]].concat());
        }
        for address in [link(&fwd, 0).outside, link(&fwd, 0).address, address6(&other)] {
            assert!(!answers6(&pod, address), "{address}");
        }
        assert!(pings6(&other, link(&fwd, 0).outside));
        assert_eq!(leaked(&fwd, 0), 0);
    });
}

/// What goes by the host from one namespace to another is no exception.
#[test]
fn namespaces_that_must_not_reach_each_other_do_not_by_ipv6() {
    over_each(|datapath| {
        let fwd = host_with(1);
        let options = [datapath, &["--no-icc"]].concat();
        let (one, other) = (fwd.up("c1", &options), fwd.up("c2", &options));
        assert!(!answers6(&one, address6(&other)), "by the bridge");
        let (address, gateway) = (address6(&other).to_string(), text(&one.shown["gateways"][1]));
        inside(&one, &["ip", "-6", "route", "add", &address, "via", &gateway]);
        assert!(!answers6(&one, address6(&other)), "by the gateway");
        for pod in [&one, &other] {
            assert!(pings6(pod, link(&fwd, 0).outside));
        }
    });
}

/// What masquerade does not see is not forwarded: addresses that are not the network's, segments of no connection, and messages of neighbour
/// discovery, which conntrack leaves alone.
#[test]
fn nothing_leaves_untranslated() {
    over_each(|options| {
        let fwd = host_with(1);
        answer_everybody(&fwd, 0);
        let pod = fwd.up("c1", options);
        let outside = link(&fwd, 0).outside.to_string();
        inside(&pod, &["ip", "addr", "add", "fd99::9/128", "dev", "eth0", "nodad", "preferred_lft", "0"]);
        let forged = try_inside(&pod, &["ping", "-6", "-n", "-q", "-c", "1", "-W", "1", "-I", "fd99::9", &outside]);
        assert!(!forged.status.success());
        inside(&pod, &["python3", "-c", UNKNOWN, &outside]);
        // What comes later has come after it.
        assert!(pings6(&pod, link(&fwd, 0).outside));
        assert_eq!(leaked(&fwd, 0), 0);
    });
}

/// What bridges pass on to nobody (IEEE 802.1Q 8.6.3) is taken up at the port itself.
const LINK_GROUP: [u8; 6] = [0x01, 0x80, 0xc2, 0, 0, 0x0e];

/// A router advertisement in a frame to that group, with a prefix for addresses, which asks to be preferred.
fn advertisement(own: &str, mac: [u8; 6]) -> Vec<u8> {
    let (from, to) = (own.parse().expect("an address"), Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));
    let rest = [64, 0x08, 0x07, 0x08];
    let header = Transport::Icmpv6(Icmp { kind: 134, code: 0, rest, sum: Sum::Complete });
    let prefix = Ipv6Addr::new(0x2001, 0xdb8, 0xbad, 0, 0, 0, 0, 0).octets();
    let times = [0, 1, 0x51, 0x80, 0, 0, 0x38, 0x40, 0, 0, 0, 0];
    let body = [&[0; 8][..], &[3, 4, 64, 0xc0], &times, &prefix].concat();
    let packet = Ipv6Packet::new(from, to, header).payload(&body).hop_limit(255);
    packet.in_frame(&Ethernet::new(LINK_GROUP, mac))
}

/// From the gateway's address too, by the loopback.
#[test]
fn what_the_host_says_to_itself_is_not_translated() {
    over_each(|options| {
        let fwd = host_with(1);
        let pod = fwd.up("c1", options);
        let gateway: Ipv6Addr = text(&pod.shown["gateways"][1]).parse().expect("an address");
        let server = at(link(&fwd, 0).address, 7000);
        let listener = listen(fwd.host(), server);
        let _stream = connect(fwd.host(), at(gateway, 0), server).expect("it reaches itself");
        assert_eq!(listener.accept().expect("a connection").1.ip(), IpAddr::from(gateway));
    });
}

/// Any namespace of a network can send to all of it, and to the host-side veth alone.
#[test]
fn advertisements_of_a_namespace_are_heeded_by_nobody() {
    over_each(|options| {
        let fwd = host_with(1);
        let (liar, victim) = (fwd.up("c1", options), fwd.up("c2", options));
        let own = link_local(&liar);
        inside(&liar, &["python3", "-c", ADVERTISE, "eth0", &own, "2001:db8:bad::"]);
        send(&liar, "eth0", &[advertisement(&own, mac_of(&liar, "eth0"))]);
        // What comes later has come after it.
        assert!(pings6(&liar, address6(&victim)) && pings6(&liar, link(&fwd, 0).address));
        for ns in [fwd.host(), &victim] as [&Netns; 2] {
            let known = inside(ns, &["sh", "-c", "ip -6 route; ip -6 addr"]);
            assert!(!known.contains("2001:db8:bad") && !known.contains("proto ra"), "{known}");
        }
        assert!(pings6(&victim, link(&fwd, 0).outside));
    });
}
