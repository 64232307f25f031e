//! IPv6 where programs look at it: what passes, and what is counted for its reason instead.

use std::net::{IpAddr, Ipv6Addr};

use super::{
    address6, at,
    guard::{answer_everybody, leaked},
    host_with, link, seen_from,
};
use crate::fwd::{Fwd, Pod, inside, pings, pings6, text, try_inside};

/// Whose programs meet IPv6.
const DATAPATHS: [&[&str]; 2] = [&["--datapath", "tc"], &["--datapath", "xdp"]];

/// How often a namespace's packet was dropped for `reason`.
#[track_caller]
fn dropped(fwd: &Fwd, reason: &str) -> u64 {
    fwd.counted("from_ns", "dropped", Some(reason))
}

/// It does not get through, and is counted for `reason`.
#[track_caller]
fn kept_from(fwd: &Fwd, pod: &Pod, address: Ipv6Addr, reason: &str) {
    let before = dropped(fwd, reason);
    assert!(!pings6(pod, address), "{address}");
    assert!(dropped(fwd, reason) > before, "{reason}");
}

#[test]
fn namespaces_speak_with_everybody_by_both_families_past_the_programs() {
    for datapath in DATAPATHS {
        let fwd = host_with(1);
        let (pod, peer) = (fwd.up("c1", datapath), fwd.up("c2", datapath));
        let (six, outside) = (link(&fwd, 0), link(&fwd, 0).outside);
        assert!(pings(&pod, fwd.uplink(0).outside[0]), "IPv4 outside");
        for (who, address) in [
            ("outside", outside),
            ("the router", six.gateway),
            ("the host", six.address),
            ("the gateway", text(&pod.shown["gateways"][1]).parse().expect("an address")),
            ("another namespace", address6(&peer)),
        ] {
            assert!(pings6(&pod, address), "{who}");
        }
        assert!(pings6(fwd.host(), address6(&pod)), "the host reaches it");
        let uplink = IpAddr::from(six.address);
        assert_eq!(seen_from(&pod, fwd.internet(0), at(outside, 7000)), [uplink; 2], "behind the uplink's address");
        let own = IpAddr::from(address6(&pod));
        assert_eq!(seen_from(&pod, &peer, at(address6(&peer), 7000)), [own; 2], "its own within the network");
        for reason in ["KernelIpv6", "ToHost"] {
            assert!(fwd.counted("from_ns", "punted", Some(reason)) > 0, "{reason}");
        }
        for reason in ["SpoofedSource", "NdSpoof", "Malformed", "ExtensionHeaders", "RouteNotViaUplink"] {
            assert_eq!(dropped(&fwd, reason), 0, "{reason}");
        }
        assert_eq!(fwd.counted("to_network", "dropped", None), 0);
    }
}

/// They are told so by no firewall, but by the statistics.
#[test]
fn what_is_not_for_the_uplink_is_counted_for_its_reason() {
    let fwd = host_with(2);
    answer_everybody(&fwd, 1);
    let (one, other) = (fwd.up("c1", &[]), fwd.up("c2", &["--network", "web"]));
    kept_from(&fwd, &one, address6(&other), "OtherNetwork");
    kept_from(&fwd, &one, link(&fwd, 1).outside, "RouteNotViaUplink");
    assert_eq!(leaked(&fwd, 1), 0);
    assert!(pings6(&one, link(&fwd, 0).outside) && pings6(&other, link(&fwd, 0).outside));
}

#[test]
fn namespaces_come_in_unasked_nowhere_and_nobody_to_them() {
    let fwd = host_with(1);
    answer_everybody(&fwd, 0);
    let options = ["--no-icc"];
    let (one, other) = (fwd.up("c1", &options), fwd.up("c2", &options));
    // By the bridge nobody is found; who goes by the gateway gets no further.
    let (address, gateway) = (address6(&other).to_string(), text(&one.shown["gateways"][1]));
    inside(&one, &["ip", "-6", "route", "add", &address, "via", &gateway]);
    kept_from(&fwd, &one, address6(&other), "PeerIsolated");
    assert!(!pings6(fwd.internet(0), address6(&one)));
    assert!(fwd.counted("from_uplink", "dropped", Some("DirectToEndpoint")) > 0);
    assert!(pings6(&one, link(&fwd, 0).outside));
    assert_eq!(leaked(&fwd, 0), 0);
}

#[test]
fn a_namespace_speaks_in_its_own_name_alone() {
    let fwd = host_with(1);
    let (liar, victim) = (fwd.up("c1", &[]), fwd.up("c2", &[]));
    let outside = link(&fwd, 0).outside.to_string();
    inside(&liar, &["ip", "addr", "add", "fd99::9/128", "dev", "eth0", "nodad", "preferred_lft", "0"]);
    let before = dropped(&fwd, "SpoofedSource");
    let forged = try_inside(&liar, &["ping", "-6", "-n", "-q", "-c", "1", "-W", "1", "-I", "fd99::9", &outside]);
    assert!(!forged.status.success());
    assert!(dropped(&fwd, "SpoofedSource") > before);
    // An advertisement of the victim's address, one of a router, and a redirect.
    let script = "
import socket, struct, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
target = socket.inet_pton(socket.AF_INET6, sys.argv[1])
for kind, body in ((136, target), (134, bytes(8)), (137, target + target)):
    s.sendto(struct.pack('!BBHI', kind, 0, 0, 0) + body, ('ff02::1', 0, 0, socket.if_nametoindex('eth0')))";
    inside(&liar, &["python3", "-c", script, &address6(&victim).to_string()]);
    assert_eq!((dropped(&fwd, "NdSpoof"), dropped(&fwd, "NdRouter")), (1, 2));
    assert!(pings6(&liar, address6(&victim)) && pings6(&victim, link(&fwd, 0).outside));
}
