//! IPv6 of a namespace: what passes says nothing in another's name, and nothing is read behind the end.

use forwarder_common::{
    abi::{Endpoint, endpoint_flags},
    decide::validate::ipv6::{Frame, outbound},
    wire::{extension, icmpv6, ipv6, ndisc, packet::L3_OFF},
};

/// The first byte chooses what the endpoint may, the rest is the packet.
///
/// # Panics
/// A packet passes that must not, or a header says something else than its bytes.
pub fn ipv6(input: &[u8]) {
    let ([choices], packet) = crate::split(input);
    let frame = [&[0; L3_OFF][..], packet].concat();
    let (may_spoof, is_segmented) = (choices & 1 != 0, choices & 2 != 0);
    let endpoint = endpoint(if may_spoof { endpoint_flags::ALLOW_SPOOF } else { 0 });
    let code = outbound(&&frame[..], Frame { length: frame.len(), is_segmented }, &endpoint);
    assert!(code.is_drop() || code.is_punt(), "{code:?}");
    let Ok(ip) = ipv6::parse(&packet, 0) else {
        return assert!(code.is_drop(), "no packet: {packet:02x?}");
    };
    assert_eq!((&ip.src[..], &ip.dst[..], ip.hop_limit), (&packet[8..24], &packet[24..40], packet[7]));
    let end = if ip.payload_len == 0 { packet.len() } else { ip.end().min(packet.len()) };
    let walked = extension::walk(&packet, &ip, end);
    if let Ok(upper) = walked {
        assert!((ipv6::LEN..=ipv6::LEN + extension::LONGEST + 2048).contains(&upper.off), "{upper:?}");
    }
    if code.is_drop() {
        return;
    }
    let upper = walked.expect("what passes was walked over");
    let own = [endpoint.v6, ipv6::link_local_of(endpoint.mac)];
    let is_asking = ipv6::is_unspecified(ip.src) && ipv6::is_multicast(ip.dst);
    assert!(may_spoof || own.contains(&ip.src) || is_asking, "another's source: {packet:02x?}");
    if upper.proto != icmpv6::PROTO || upper.is_later_fragment() {
        return;
    }
    let kind = packet[upper.off];
    assert!(!ndisc::is_of_router(kind), "a router's: {packet:02x?}");
    if ndisc::is_discovery(kind) && !may_spoof {
        discovery(packet, upper.off, end, &own, &endpoint);
    }
}

/// Reads what was let through in another way than the decision does.
fn discovery(packet: &[u8], off: usize, end: usize, own: &[[u8; 16]], endpoint: &Endpoint) {
    assert_eq!(packet[7], 255, "{packet:02x?}");
    let message = &packet[off..end];
    let is_solicitation = message[0] == ndisc::kind::ROUTER_SOLICITATION;
    if message[0] == ndisc::kind::NEIGHBOUR_ADVERTISEMENT {
        assert!(own.iter().any(|own| own[..] == message[8..24]), "another's address: {packet:02x?}");
    }
    let mut options = &message[if is_solicitation { 8 } else { 24 }..];
    while let [kind, units, rest @ ..] = options {
        assert_ne!(*units, 0, "{packet:02x?}");
        assert!(!matches!(kind, 1 | 2) || rest[..6] == endpoint.mac, "another's MAC: {packet:02x?}");
        options = &options[usize::from(*units) * 8..];
    }
}

fn endpoint(flags: u32) -> Endpoint {
    Endpoint {
        v4: [10, 77, 0, 2],
        network: 1,
        uplink: 2,
        counters: 1,
        mtu: 1500,
        mac: crate::seeds::MAC,
        gateway_mac: [2, 0x67, 10, 77, 0, 1],
        flags,
        v6: crate::seeds::INSIDE_V6.octets(),
        source: [0; 4],
        sources: 0,
        sources_v6: 0,
        source_v6: [0; 16],
        _pad: 0,
        netns_cookie: 1,
        metadata: 1,
    }
}
