use proptest::prelude::*;

use super::*;

const UPLINK: u32 = 7;
const BRIDGE: u32 = 8;
const OWN: [u8; 4] = [10, 77, 0, 2];
const LOOKUPS: [Lookup; 6] =
    [Lookup::Resolved, Lookup::NoNeighbour, Lookup::Tunnel, Lookup::Elsewhere, Lookup::NotForwarded, Lookup::Refused];

/// An endpoint of a network that is led by an uplink.
pub(crate) fn endpoint(flags: u32) -> Endpoint {
    Endpoint {
        v4: OWN,
        network: BRIDGE,
        uplink: UPLINK,
        counters: 1,
        mtu: 1500,
        mac: [2, 0, 0, 0, 0, 7],
        gateway_mac: [2, 0x67, 10, 77, 0, 1],
        flags,
        v6: [0; 16],
        source: [0; 4],
        sources: 0,
        sources_v6: 0,
        source_v6: [0; 16],
        _pad: 0,
        netns_cookie: 1,
        metadata: 1,
    }
}

fn packet(saddr: [u8; 4], daddr: [u8; 4]) -> Tuple {
    Tuple { saddr, daddr, ..Tuple::default() }
}

#[test]
fn only_who_may_spoof_sends_from_another_address() {
    let other = packet([10, 77, 0, 9], [198, 51, 100, 7]);
    assert_eq!(admit(&other, &endpoint(0)), Err(DropReason::SpoofedSource.into()));
    assert_eq!(admit(&other, &endpoint(endpoint_flags::ALLOW_SPOOF)), Ok(()));
}

/// As little as a request for an address, which has that of nobody (RFC 2131 §4.1).
#[test]
fn who_has_no_ipv4_sends_from_none() {
    for flags in [0, endpoint_flags::ALLOW_SPOOF] {
        let alone = Endpoint { v4: [0; 4], ..endpoint(flags) };
        for source in [[0; 4], OWN, [10, 77, 0, 9]] {
            let judged = admit(&packet(source, [255; 4]), &alone);
            assert_eq!(judged, Err(DropReason::SpoofedSource.into()), "{source:?}");
        }
    }
}

#[test]
fn what_is_wrong_with_the_sender_comes_before_what_is_wrong_with_the_destination() {
    let judge = |saddr, daddr, flags| admit(&packet(saddr, daddr), &endpoint(flags));
    assert_eq!(judge([10, 77, 0, 9], [127, 0, 0, 1], 0), Err(DropReason::SpoofedSource.into()));
    assert_eq!(judge(OWN, [127, 0, 0, 1], 0), Err(DropReason::Martian.into()));
    assert_eq!(judge([127, 0, 0, 1], [224, 0, 0, 251], endpoint_flags::ALLOW_SPOOF), Err(DropReason::Martian.into()));
    assert_eq!(judge(OWN, [224, 0, 0, 251], 0), Err(PuntReason::Multicast.into()));
    assert_eq!(judge(OWN, [255; 4], 0), Err(PuntReason::Multicast.into()));
}

#[test]
fn an_internal_network_shows_its_gateway_and_itself() {
    let judge = |addr, prefix| inward(addr, 0, ([10, 77, 0, 1], prefix));
    assert_eq!(judge([10, 77, 0, 1], 24), PuntReason::ToHost.into());
    assert_eq!(judge([10, 77, 0, 9], 24), PuntReason::OwnNetwork.into());
    assert_eq!(judge([10, 77, 0, 255], 24), PuntReason::OwnNetwork.into());
    for (addr, prefix) in [([10, 77, 1, 1], 24), ([198, 51, 100, 7], 24), ([10, 77, 0, 2], 31), ([10, 77, 0, 2], 32)] {
        assert_eq!(judge(addr, prefix), DropReason::Internal.into(), "{addr:?}/{prefix}");
    }
    assert_eq!(judge([198, 51, 100, 7], 0), PuntReason::OwnNetwork.into());
}

#[test]
fn who_must_not_reach_others_is_kept_from_all_of_its_network_but_the_gateway() {
    let flags = endpoint_flags::NO_ICC;
    let judge = |addr| inward(addr, flags, ([10, 77, 0, 1], 24));
    assert_eq!(judge([10, 77, 0, 1]), PuntReason::ToHost.into());
    assert_eq!(judge([10, 77, 0, 9]), DropReason::PeerIsolated.into());
    let routed = egress(Lookup::NoNeighbour, BRIDGE, 0, &endpoint(flags), || true, || true);
    assert_eq!(routed, DropReason::PeerIsolated.into());
    assert_eq!(egress(Lookup::NotForwarded, 0, 0, &endpoint(flags), || true, || true), PuntReason::ToHost.into());
    assert_eq!(egress(Lookup::Resolved, UPLINK, 0, &endpoint(flags), || true, || true), Code::FORWARDED);
}

proptest! {
    #[test]
    fn a_packet_leaves_by_what_is_guarded_and_by_one_uplink_alone_where_it_has_to(
        lookup in prop::sample::select(&LOOKUPS),
        out_if in 5_u32..12,
        only in prop::sample::select(&[0, UPLINK]),
        is_guarded: bool,
        is_bridge: bool,
    ) {
        let code = egress(lookup, out_if, only, &endpoint(0), || is_guarded, || is_bridge);
        let leads = matches!(lookup, Lookup::Resolved | Lookup::NoNeighbour);
        let may = only == 0 || out_if == only;
        prop_assert_eq!(code == Code::FORWARDED, leads && out_if != BRIDGE && may && is_guarded);
        prop_assert!(code == Code::FORWARDED || code.is_punt() || code.is_drop());
        // What has no route the kernel answers; what has one by another interface it would not translate.
        let answers = lookup.is_missing() && lookup != Lookup::Elsewhere;
        prop_assert_eq!(answers || out_if == BRIDGE && leads, code.is_punt());
        // Who follows the host's routes is told by what it could go.
        let unguarded = leads && out_if != BRIDGE && !is_guarded && !is_bridge && only == 0;
        prop_assert_eq!(code == DropReason::UplinkUnguarded.into(), unguarded);
    }

    #[test]
    fn only_what_the_host_would_send_elsewhere_is_diverted(
        lookup in prop::sample::select(&LOOKUPS),
        out_if in 5_u32..12,
        is_bridge: bool,
    ) {
        let bound = endpoint(endpoint_flags::UPLINK_BOUND);
        prop_assert!(!is_diverted(lookup, out_if, bound_to(&endpoint(0)), &bound, || is_bridge), "it follows the host");
        let code = egress(lookup, out_if, bound_to(&bound), &bound, || true, || is_bridge);
        let dropped = code == DropReason::RouteNotViaUplink.into();
        // It is looked up once.
        let diverted = is_diverted(lookup, out_if, bound_to(&bound), &bound, || is_bridge);
        prop_assert_eq!(diverted, dropped && lookup != Lookup::Elsewhere);
    }

    #[test]
    fn nothing_is_asked_that_is_not_needed(
        lookup in prop::sample::select(&LOOKUPS),
        out_if in 5_u32..12,
        only in prop::sample::select(&[0, UPLINK]),
    ) {
        let never = || -> bool { panic!("asked in vain") };
        let leads = matches!(lookup, Lookup::Resolved | Lookup::NoNeighbour);
        let decision = if !leads || out_if == BRIDGE {
            egress(lookup, out_if, only, &endpoint(0), never, never)
        } else if only == 0 || out_if == only {
            egress(lookup, out_if, only, &endpoint(0), || true, never)
        } else {
            egress(lookup, out_if, only, &endpoint(0), never, || true)
        };
        // Asked or not, it is the same as with what would have been said.
        prop_assert_eq!(decision, egress(lookup, out_if, only, &endpoint(0), || true, || true));
    }

    #[test]
    fn a_flow_stays_only_where_it_leaves_by_the_same_interface_and_address(
        lookup in prop::sample::select(&LOOKUPS),
        code in 0_u32..64,
        out_if in 7_u32..9,
        source: [u8; 4],
        addr: [u8; 4],
        is_local: bool,
    ) {
        let decided = again(lookup, Code::from_raw(code), (out_if, UPLINK), (source, addr), || is_local);
        prop_assert_eq!(decided == Again::Waits, lookup.is_missing());
        if decided == Again::Stays {
            prop_assert!(code == Code::FORWARDED.raw() && out_if == UPLINK && (source == addr || is_local));
        }
    }

    #[test]
    fn the_range_of_all_networks_is_inclusive(addr: u32, a: u32, b: u32) {
        let (min, max) = (a.min(b), a.max(b));
        prop_assert_eq!(is_outside(addr.to_be(), (min, max)), !(min..=max).contains(&addr));
    }
}

#[test]
fn a_flow_begins_behind_the_address_of_its_route_or_of_its_uplink() {
    let (route, uplink, none) = ([198, 51, 100, 9], [198, 51, 100, 7], [0; 4]);
    assert_eq!(nat_address(tcp_flag::SYN, none, route, uplink), Ok(route));
    assert_eq!(nat_address(0, none, none, uplink), Ok(uplink));
    assert_eq!(nat_address(0, none, none, none), Err(DropReason::NoUplinkAddress));
    assert_eq!(nat_address(0, [192, 0, 2, 7], route, uplink), Ok([192, 0, 2, 7]), "asked for");
    assert_eq!(nat_address(tcp_flag::RST | tcp_flag::ACK, none, route, uplink), Err(DropReason::NoFlow));
}

#[test]
fn ports_are_counted_while_some_network_maps_them() {
    assert_eq!(port_use_of(0, endpoint_flags::NAT_EIM), port_use::BY_TUPLE);
    assert_eq!(port_use_of(feature::EIM, endpoint_flags::NAT_EIM), port_use::MAPPING);
    assert_eq!(port_use_of(feature::EIM | feature::EIF, 0), port_use::SHARED);
}

#[test]
fn only_the_endpoints_own_packets_wait_for_a_neighbour_at_the_kernel() {
    let endpoint = endpoint(endpoint_flags::ALLOW_SPOOF);
    assert!(is_unresolved(Lookup::NoNeighbour, OWN, &endpoint, false));
    assert!(!is_unresolved(Lookup::NoNeighbour, OWN, &endpoint, true));
    assert!(!is_unresolved(Lookup::NoNeighbour, [10, 77, 0, 9], &endpoint, false));
    assert!(!is_unresolved(Lookup::Resolved, OWN, &endpoint, false));
}

#[test]
fn addresses_that_are_routed_are_the_endpoints_own_and_leave_by_its_network_alone() {
    let (own, other, chosen) = ([1; 16], [2; 16], [3; 16]);
    let of = |flags| Endpoint { v6: own, network: 8, ..endpoint(flags) };
    assert_eq!(external_v6(own, chosen, &of(0)), Ok(chosen));
    for flags in [endpoint_flags::ROUTED_V6, endpoint_flags::ROUTED_V6 | endpoint_flags::ALLOW_SPOOF] {
        assert_eq!(external_v6(own, chosen, &of(flags)), Ok(own));
        assert_eq!(external_v6(other, chosen, &of(flags)), Err(DropReason::SpoofedSource));
        assert!(may_leave_v6(&of(flags), 5, 8) && may_leave_v6(&of(flags), 5, 5), "by the kernel, and by a flow");
        assert!(!may_leave_v6(&of(flags), 5, 9) && !may_leave_v6(&of(flags), 5, 0), "others speak in its name");
        assert!(is_unresolved_v6(Lookup::NoNeighbour, &of(flags)) && !is_unresolved_v6(Lookup::Resolved, &of(flags)));
    }
    assert!(!may_leave_v6(&of(0), 5, 8) && !is_unresolved_v6(Lookup::NoNeighbour, &of(0)));
}

proptest! {
    /// What is computed by words is what is computed of the whole.
    #[test]
    fn inside_of_an_internal_network_the_gateway_and_its_prefix_alone_are_reached(addr: u128, bit in 0_u32..=128, prefix in 64_u32..=126) {
        let gateway = if bit == 128 { addr } else { addr ^ 1 << (127 - bit) };
        let code = inward_v6(addr.to_be_bytes(), 0, (gateway.to_be_bytes(), prefix));
        let expected = if bit == 128 {
            PuntReason::ToHost.into()
        } else if bit < prefix {
            DropReason::Internal.into()
        } else {
            own_network(0)
        };
        prop_assert_eq!(code, expected);
    }
}

#[test]
fn prefixes_of_networks_have_bounds() {
    let prefix = |first: u64| first.to_be();
    assert!(is_outside_v6(prefix(0), (u64::MAX, 0)) && is_outside_v6(prefix(u64::MAX), (u64::MAX, 0)), "there is none");
    let bounds = (0xfd00_0000_0000_0001, 0xfd00_0000_0000_0003);
    for (first, outside) in
        [(bounds.0 - 1, true), (bounds.0, false), (bounds.0 + 1, false), (bounds.1, false), (bounds.1 + 1, true)]
    {
        assert_eq!(is_outside_v6(prefix(first), bounds), outside, "{first:#x}");
    }
}

#[test]
fn endpoints_reach_their_network_and_those_that_allow_it() {
    let no_icc = endpoint_flags::NO_ICC;
    for reaches in [false, true] {
        assert_eq!(peer(1, 0, 1, || reaches), Peer::Reached);
        assert_eq!(peer(1, no_icc, 1, || reaches), Peer::Isolated, "not even by what another network is allowed");
        let across = if reaches { Peer::Reached } else { Peer::Elsewhere };
        assert_eq!((peer(1, 0, 2, || reaches), peer(1, no_icc, 2, || reaches)), (across, across));
    }
}
