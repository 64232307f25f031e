//! IPv6 where programs look at it: what passes, and what is counted for its reason instead.

use std::net::Ipv6Addr;

use super::{
    address6,
    guard::{answer_everybody, leaked},
    host_with, link,
};
use crate::fwd::{Fwd, Pod, answers6, inside, pings6, text, try_inside};

/// How often a namespace's packet was dropped for `reason`.
#[track_caller]
pub(super) fn dropped(fwd: &Fwd, reason: &str) -> u64 {
    fwd.counted("from_ns", "dropped", Some(reason))
}

/// It does not get through, and is counted for `reason`.
#[track_caller]
fn kept_from(fwd: &Fwd, pod: &Pod, address: Ipv6Addr, reason: &str) {
    let before = dropped(fwd, reason);
    assert!(!answers6(pod, address), "{address}");
    assert!(dropped(fwd, reason) > before, "{reason}");
}

/// They are told so by no firewall, but by the statistics.
#[test]
fn what_is_not_for_the_uplink_is_counted_for_its_reason() {
    let fwd = host_with(2);
    answer_everybody(&fwd, 1);
    let bound = ["--uplink", "eth0"];
    let (one, other) = (fwd.up("c1", &bound), fwd.up("c2", &["--network", "web"]));
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
    assert!(!answers6(fwd.internet(0), address6(&one)));
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
