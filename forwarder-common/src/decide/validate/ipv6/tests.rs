use core::net::{Ipv6Addr, SocketAddrV6};
use std::vec;

use proptest::prelude::*;

use super::*;
use crate::wire::{
    emit::{Discovery, Ethernet, Extension, Ipv6Packet, mac_option},
    icmpv6::kind as icmp_kind,
    ndisc::{kind, option},
};

const MAC: [u8; 6] = [2, 0x77, 10, 77, 0, 2];
const OTHER_MAC: [u8; 6] = [2, 0x77, 10, 77, 0, 3];
const OWN: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xf3d, 1, 0, 0, 0, 0, 2);
const NEIGHBOUR: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xf3d, 1, 0, 0, 0, 0, 3);
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x77, 0xaff, 0xfe4d, 2);
const OUTSIDE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const NOBODY: Ipv6Addr = Ipv6Addr::UNSPECIFIED;

fn endpoint(flags: u32) -> Endpoint {
    Endpoint { v6: OWN.octets(), mac: MAC, flags, ..crate::decide::route::tests::endpoint(0) }
}

/// What becomes of a frame with this packet.
fn judged(packet: &[u8], flags: u32) -> Code {
    let frame = Ethernet::new([2; 6], MAC).around([0x86, 0xdd], packet);
    let about = Frame { length: frame.len(), is_segmented: false };
    outbound(&frame.as_slice(), about, &endpoint(flags))
}

fn judge(packet: &Ipv6Packet) -> Code {
    judged(&packet.emit(), 0)
}

fn udp(from: Ipv6Addr, to: Ipv6Addr) -> Ipv6Packet {
    Ipv6Packet::udp(SocketAddrV6::new(from, 40_000, 0, 0), SocketAddrV6::new(to, 53, 0, 0)).payload(b"query")
}

fn discovery_of(from: Ipv6Addr, kind: u8, target: Ipv6Addr, options: &[u8]) -> Ipv6Packet {
    Ipv6Packet::discovery(from, ALL_NODES, &Discovery::new(kind, target, options))
}

#[test]
fn an_endpoint_sends_from_its_own_address() {
    assert_eq!(judge(&udp(OWN, OUTSIDE)), PuntReason::KernelIpv6.into());
    assert_eq!(judge(&udp(OWN, ALL_NODES)), PuntReason::Multicast.into());
    assert_eq!(judge(&udp(OWN, OUTSIDE).hop_limit(1)), PuntReason::TtlExceeded.into());
    for lie in [NEIGHBOUR, OUTSIDE, LINK_LOCAL, NOBODY, ALL_NODES, Ipv6Addr::LOCALHOST] {
        assert_eq!(judge(&udp(lie, OUTSIDE)), DropReason::SpoofedSource.into(), "{lie}");
    }
    // On the link, and there alone, it has another.
    assert_eq!(judge(&udp(LINK_LOCAL, ALL_NODES)), PuntReason::Multicast.into());
    assert_eq!(judge(&udp(LINK_LOCAL, "fe80::1".parse().unwrap())), PuntReason::KernelIpv6.into());
    assert_eq!(judge(&udp("fe80::7".parse().unwrap(), ALL_NODES)), DropReason::SpoofedSource.into());
}

#[test]
fn who_may_spoof_may_not_send_from_what_nobody_has() {
    let judge = |source| judged(&udp(source, OUTSIDE).emit(), endpoint_flags::ALLOW_SPOOF);
    assert_eq!(judge(NEIGHBOUR), PuntReason::KernelIpv6.into());
    for martian in [Ipv6Addr::LOCALHOST, ALL_NODES, "::ffff:10.0.0.1".parse().unwrap()] {
        assert_eq!(judge(martian), DropReason::Martian.into(), "{martian}");
    }
    assert_eq!(judge(NOBODY), DropReason::SpoofedSource.into());
}

#[test]
fn nothing_goes_where_nothing_can_be() {
    for martian in ["::", "::1", "::ffff:10.0.0.1", "ff01::1", "ff00::1"] {
        assert_eq!(judge(&udp(OWN, martian.parse().unwrap())), DropReason::Martian.into(), "{martian}");
    }
    // Unicast as any other (RFC 4291 §2.5.7).
    assert_eq!(judge(&udp(OWN, "fec0::1".parse().unwrap())), PuntReason::KernelIpv6.into());
}

#[test]
fn an_endpoint_without_an_address_sends_nothing() {
    let frame = udp(OWN, OUTSIDE).in_frame(&Ethernet::new([2; 6], MAC));
    let about = Frame { length: frame.len(), is_segmented: false };
    let none = Endpoint { v6: [0; 16], ..endpoint(endpoint_flags::ALLOW_SPOOF) };
    assert_eq!(outbound(&frame.as_slice(), about, &none), DropReason::Ipv6.into());
}

#[test]
fn neighbour_discovery_speaks_for_its_endpoint_alone() {
    let (source_mac, target_mac) = (mac_option(option::SOURCE_MAC, MAC), mac_option(option::TARGET_MAC, MAC));
    let nonce = [14, 1, 1, 2, 3, 4, 5, 6];
    let honest = [
        discovery_of(OWN, kind::NEIGHBOUR_SOLICITATION, NEIGHBOUR, &source_mac),
        discovery_of(LINK_LOCAL, kind::NEIGHBOUR_SOLICITATION, NEIGHBOUR, &source_mac),
        discovery_of(NOBODY, kind::NEIGHBOUR_SOLICITATION, OWN, &nonce),
        discovery_of(NOBODY, kind::NEIGHBOUR_SOLICITATION, LINK_LOCAL, &[]),
        discovery_of(OWN, kind::NEIGHBOUR_ADVERTISEMENT, OWN, &target_mac),
        discovery_of(LINK_LOCAL, kind::NEIGHBOUR_ADVERTISEMENT, LINK_LOCAL, &target_mac),
        discovery_of(OWN, kind::NEIGHBOUR_ADVERTISEMENT, OWN, &[]),
        discovery_of(LINK_LOCAL, kind::ROUTER_SOLICITATION, NOBODY, &source_mac),
        discovery_of(NOBODY, kind::ROUTER_SOLICITATION, NOBODY, &[]),
    ];
    for packet in honest {
        assert_eq!(judge(&packet), PuntReason::KernelIpv6.into(), "{packet:?}");
    }
    let lies = [
        discovery_of(OWN, kind::NEIGHBOUR_ADVERTISEMENT, NEIGHBOUR, &target_mac),
        discovery_of(OWN, kind::NEIGHBOUR_ADVERTISEMENT, OWN, &mac_option(option::TARGET_MAC, OTHER_MAC)),
        discovery_of(OWN, kind::NEIGHBOUR_SOLICITATION, NEIGHBOUR, &mac_option(option::SOURCE_MAC, OTHER_MAC)),
        discovery_of(
            OWN,
            kind::NEIGHBOUR_ADVERTISEMENT,
            OWN,
            &[nonce, mac_option(option::TARGET_MAC, OTHER_MAC)].concat(),
        ),
        discovery_of(NOBODY, kind::NEIGHBOUR_SOLICITATION, NEIGHBOUR, &[]),
        discovery_of(LINK_LOCAL, kind::ROUTER_SOLICITATION, NOBODY, &mac_option(option::SOURCE_MAC, OTHER_MAC)),
    ];
    for packet in lies {
        assert_eq!(judge(&packet), DropReason::NdSpoof.into(), "{packet:?}");
        assert_eq!(judged(&packet.emit(), endpoint_flags::ALLOW_SPOOF), PuntReason::KernelIpv6.into(), "{packet:?}");
    }
    for source in [NEIGHBOUR, "fe80::7".parse().unwrap()] {
        let packet = discovery_of(source, kind::NEIGHBOUR_ADVERTISEMENT, OWN, &target_mac);
        assert_eq!(judge(&packet), DropReason::SpoofedSource.into());
    }
}

#[test]
fn an_endpoint_is_no_router() {
    let said = [kind::ROUTER_ADVERTISEMENT, kind::REDIRECT]
        .map(|kind| discovery_of(LINK_LOCAL, kind, OUTSIDE, &mac_option(option::SOURCE_MAC, MAC)));
    let groups = [icmp_kind::LISTENER_QUERY, icmp_kind::MULTICAST_ROUTER]
        .map(|kind| Ipv6Packet::icmp(LINK_LOCAL, ALL_NODES, kind, 0).payload(&[0; 16]).hop_limit(1));
    for packet in said.into_iter().chain(groups) {
        for flags in [0, endpoint_flags::ALLOW_SPOOF] {
            assert_eq!(judged(&packet.emit(), flags), DropReason::NdRouter.into(), "{packet:?}");
        }
    }
}

#[test]
fn an_endpoint_tells_what_it_was_sent_and_nothing_else() {
    let about = |from, to| udp(from, to).emit();
    let error = |to, kind, about: &[u8]| Ipv6Packet::icmp(OWN, to, kind, 0).payload(about);
    for kind in
        [icmp_kind::UNREACHABLE, icmp_kind::TOO_BIG, icmp_kind::TIME_EXCEEDED, icmp_kind::PARAMETER_PROBLEM, 100]
    {
        for to in [OUTSIDE, NEIGHBOUR] {
            assert_eq!(judge(&error(to, kind, &about(to, OWN))), PuntReason::KernelIpv6.into());
            assert_eq!(judge(&error(to, kind, &about(to, LINK_LOCAL))), PuntReason::KernelIpv6.into());
            let routers = [
                error(to, kind, &about(to, "2001:db8::9".parse().unwrap())),
                error(to, kind, &about("2001:db8::9".parse().unwrap(), OWN)),
                error(to, kind, &about(to, OWN)).extension(Extension::Fragment { start: 0, more: true, id: 1 }),
            ];
            for packet in routers {
                assert_eq!(judge(&packet), DropReason::IcmpType.into(), "{packet:?}");
                assert_eq!(judged(&packet.emit(), endpoint_flags::ALLOW_SPOOF), PuntReason::KernelIpv6.into());
            }
            assert_eq!(judge(&error(to, kind, &about(to, OWN)[..39])), DropReason::Truncated.into());
        }
    }
}

#[test]
fn who_has_no_address_yet_reports_its_groups() {
    let router_alert = Extension::HopByHop(vec![5, 2, 0, 0, 1, 0]);
    for kind in [icmp_kind::LISTENER_REPORT_V2, icmp_kind::LISTENER_REPORT, icmp_kind::LISTENER_DONE] {
        let report = Ipv6Packet::icmp(NOBODY, ALL_NODES, kind, 0).payload(&[0; 20]).hop_limit(1);
        assert_eq!(judge(&report.extension(router_alert.clone())), PuntReason::Multicast.into());
    }
}

#[test]
fn neighbour_discovery_that_receivers_discard_is_malformed() {
    let solicitation = || discovery_of(OWN, kind::NEIGHBOUR_SOLICITATION, NEIGHBOUR, &[]);
    let many = mac_option(option::SOURCE_MAC, MAC).repeat(9);
    let wrong = [
        solicitation().hop_limit(254),
        discovery_of(OWN, kind::NEIGHBOUR_SOLICITATION, ALL_NODES, &[]),
        discovery_of(OWN, kind::NEIGHBOUR_SOLICITATION, NEIGHBOUR, &[1, 0, 0, 0, 0, 0, 0, 0]),
        discovery_of(OWN, kind::NEIGHBOUR_SOLICITATION, NEIGHBOUR, &many),
        Ipv6Packet::icmp(OWN, ALL_NODES, kind::NEIGHBOUR_SOLICITATION, 1).payload(&[0x20; 16]).hop_limit(255),
    ];
    for packet in wrong {
        assert_eq!(judge(&packet), DropReason::Malformed.into(), "{packet:?}");
    }
    let cut = Ipv6Packet::icmp(OWN, ALL_NODES, kind::NEIGHBOUR_SOLICITATION, 0).payload(&[0x20; 15]).hop_limit(255);
    assert_eq!(judge(&cut), DropReason::Truncated.into());
}

#[test]
fn extension_headers_hide_nothing() {
    let options = || Extension::Destination(vec![]);
    let lie = || discovery_of(OWN, kind::NEIGHBOUR_ADVERTISEMENT, NEIGHBOUR, &[]);
    assert_eq!(judge(&lie().extension(options())), DropReason::NdSpoof.into());
    let many = (0..7).fold(udp(OWN, OUTSIDE), |packet, _| packet.extension(options()));
    assert_eq!(judge(&many), DropReason::ExtensionHeaders.into());
    let first = Extension::Fragment { start: 0, more: true, id: 1 };
    let own = || discovery_of(OWN, kind::NEIGHBOUR_ADVERTISEMENT, OWN, &[]);
    assert_eq!(judge(&own().extension(first.clone())), DropReason::ExtensionHeaders.into());
    assert_eq!(judge(&udp(OWN, OUTSIDE).extension(first.clone())), PuntReason::KernelIpv6.into());
    let later = Extension::Fragment { start: 9, more: false, id: 1 };
    assert_eq!(judge(&udp(OWN, OUTSIDE).extension(later)), PuntReason::KernelIpv6.into());
    let tiny = Ipv6Packet::other(OWN, OUTSIDE, Proto::Udp as u8).payload(&[0; 7]);
    assert_eq!(judge(&tiny.clone().extension(first)), DropReason::FragmentTiny.into());
    assert_eq!(judge(&tiny), DropReason::Truncated.into());
    let routed = Extension::Routing { kind: 4, segments_left: 1, data: vec![0; 20] };
    assert_eq!(judge(&udp(OWN, OUTSIDE).extension(routed)), DropReason::SourceRoute.into());
}

#[test]
fn lengths_that_cannot_be_are_malformed() {
    let changed = |at: usize, bytes: &[u8]| {
        let mut packet = udp(OWN, OUTSIDE).emit();
        packet[at..at + bytes.len()].copy_from_slice(bytes);
        judged(&packet, 0)
    };
    assert_eq!(changed(0, &[0x45]), DropReason::Malformed.into());
    assert_eq!(changed(4, &[0, 14]), DropReason::Malformed.into(), "longer than its frame");
    assert_eq!(changed(4, &[0, 0]), DropReason::Malformed.into(), "no jumbogram");
    assert_eq!(changed(4, &[0, 12]), DropReason::Malformed.into(), "a datagram longer than its packet");
    assert_eq!(changed(44, &[0, 7]), DropReason::Malformed.into(), "a datagram shorter than its header");
    assert_eq!(judge(&Ipv6Packet::other(OWN, OUTSIDE, header::NONE)), PuntReason::KernelIpv6.into());
    let frame = udp(OWN, OUTSIDE).payload_len(0).in_frame(&Ethernet::new([2; 6], MAC));
    let big = Frame { length: frame.len(), is_segmented: true };
    assert_eq!(outbound(&frame.as_slice(), big, &endpoint(0)), PuntReason::KernelIpv6.into(), "BIG TCP");
}

#[test]
fn the_gateway_is_answered_for() {
    const GATEWAY: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xf3d, 1, 0, 0, 0, 0, 1);
    const GATEWAY_MAC: [u8; 6] = [2, 0x67, 10, 77, 0, 1];
    let ethernet = Ethernet::new([0x33, 0x33, 0xff, 0, 0, 1], MAC);
    let of = |packet: &Ipv6Packet, is_router| {
        discovery::answer(&packet.in_frame(&ethernet).as_slice(), GATEWAY_MAC, GATEWAY.octets(), is_router)
    };
    let answer = |packet: &Ipv6Packet| of(packet, true);
    let cases = [(&[][..], true), (&mac_option(option::SOURCE_MAC, MAC), true), (&[][..], false)];
    for (options, is_router) in cases {
        let asked = discovery_of(OWN, kind::NEIGHBOUR_SOLICITATION, GATEWAY, options);
        let found = of(&asked, is_router).expect("it is answered");
        let told = if options.is_empty() { vec![] } else { mac_option(option::TARGET_MAC, GATEWAY_MAC).to_vec() };
        let router = if is_router { ndisc::flag::ROUTER } else { 0 };
        let flags = router | ndisc::flag::SOLICITED | ndisc::flag::OVERRIDE;
        let message = Discovery { flags, ..Discovery::new(kind::NEIGHBOUR_ADVERTISEMENT, GATEWAY, &told) };
        let expected = Ipv6Packet::discovery(GATEWAY, OWN, &message).in_frame(&Ethernet::new(MAC, GATEWAY_MAC));
        let mut frame = asked.in_frame(&ethernet);
        frame[..6].copy_from_slice(&found.to_mac);
        frame[6..12].copy_from_slice(&GATEWAY_MAC);
        frame[22..38].copy_from_slice(&GATEWAY.octets());
        frame[38..54].copy_from_slice(&found.to);
        frame[discovery::MESSAGE..][..8].copy_from_slice(&found.head);
        assert_eq!(found.has_option, !options.is_empty());
        if found.has_option {
            frame[discovery::OPTION..].copy_from_slice(&found.option);
        }
        assert_eq!(frame, expected);
    }
    let others = [
        discovery_of(OWN, kind::NEIGHBOUR_SOLICITATION, NEIGHBOUR, &[]),
        discovery_of(NOBODY, kind::NEIGHBOUR_SOLICITATION, GATEWAY, &[]),
        discovery_of(OWN, kind::NEIGHBOUR_ADVERTISEMENT, GATEWAY, &[]),
        udp(OWN, GATEWAY),
    ];
    assert!(others.iter().all(|packet| answer(packet).is_none()));
}

proptest! {
    #[test]
    fn whatever_passes_comes_from_the_endpoint_and_is_whole(
        mut packet in prop_oneof![
            Just(discovery_of(OWN, kind::NEIGHBOUR_ADVERTISEMENT, OWN, &mac_option(option::TARGET_MAC, MAC)).emit()),
            Just(udp(OWN, OUTSIDE).extension(Extension::Destination(vec![])).emit()),
            Just(udp(LINK_LOCAL, ALL_NODES).emit()),
            Just(discovery_of(NOBODY, kind::NEIGHBOUR_SOLICITATION, OWN, &[]).emit()),
        ],
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        for (at, byte) in changes {
            let at = at.index(packet.len());
            packet[at] = byte;
        }
        if judged(&packet, 0).is_drop() {
            return Ok(());
        }
        let source: [u8; 16] = packet[8..24].try_into().unwrap();
        prop_assert!([OWN, LINK_LOCAL, NOBODY].iter().any(|own| own.octets() == source));
        prop_assert!(usize::from(u16::from_be_bytes([packet[4], packet[5]])) + 40 <= packet.len());
        let is_advertisement = packet[6] == 58 && packet[40] == kind::NEIGHBOUR_ADVERTISEMENT;
        if is_advertisement {
            prop_assert!([OWN, LINK_LOCAL].iter().any(|own| own.octets() == packet[48..64]));
            prop_assert!(packet.get(66..72).is_none_or(|mac| mac == MAC || !matches!(packet[64], 1 | 2)));
        }
    }

    #[test]
    fn any_bytes_have_a_verdict(bytes in prop::collection::vec(any::<u8>(), 0..160), is_segmented: bool) {
        let about = Frame { length: bytes.len(), is_segmented };
        let code = outbound(&bytes.as_slice(), about, &endpoint(0));
        prop_assert!(code.is_drop() || code.is_punt());
    }
}

/// Where the transport header of a packet without extension headers begins in its frame.
const L4: i64 = 54;

#[test]
fn a_checksum_that_is_left_to_a_device_goes_where_it_belongs() {
    let state = |packet: &Ipv6Packet, start: i64, offset: u32| {
        let frame = packet.in_frame(&Ethernet::new([2; 6], MAC));
        let about = Frame { length: frame.len(), is_segmented: false };
        checksum_state(&frame.as_slice(), about, PartialChecksum { start, offset })
    };
    let datagram = udp(OWN, OUTSIDE);
    let sctp = Ipv6Packet::other(OWN, OUTSIDE, 132).payload(&[0; 20]);
    let extended = datagram.clone().extension(Extension::Destination(vec![1; 6]));
    assert_eq!(state(&datagram, L4, 6), ChecksumState::Partial);
    assert_eq!(state(&extended, L4 + 8, 6), ChecksumState::Partial, "behind the chain");
    assert_eq!(state(&sctp, L4, 8), ChecksumState::Full, "a checksum of its own");
    for (start, offset) in [(14, 8), (14, 22), (L4 - 2, 8), (L4, 0), (L4, 2), (L4 + 2, 4), (-5, 6)] {
        assert_eq!(state(&datagram, start, offset), ChecksumState::Misplaced, "{start} {offset}");
    }
    for packet in [&sctp, &extended] {
        assert_eq!(state(packet, 14, 8), ChecksumState::Misplaced, "over the address");
    }
    assert_eq!(state(&extended, L4, 6), ChecksumState::Misplaced, "over an extension header");
    let later = datagram.extension(Extension::Fragment { start: 9, more: false, id: 1 });
    assert_eq!(state(&later, L4 - 40, 8), ChecksumState::Misplaced);
}
