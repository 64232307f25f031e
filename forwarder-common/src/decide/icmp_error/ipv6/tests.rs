//! Errors about any packet, embedded whole or cut: there and back is where it began, and every sum stays right.

use core::net::{Ipv6Addr, SocketAddrV6};
use std::{vec, vec::Vec};

use proptest::prelude::*;

use super::*;
use crate::{
    decide::{
        fragment::ipv6::masked,
        rewrite::{HeaderChange as _, Side, Ttl, ipv6::HeaderRewrite},
    },
    types::checksum::{self, delta},
    wire::{
        emit::{Ethernet, Extension, Ipv6Packet},
        packet::L3_OFF,
    },
};

/// A packet with its checksum behind `options` headers of options; a first fragment if it has an identification.
fn packet(which: u8, ends: [[u8; 16]; 2], ports: [u16; 2], options: usize, id: Option<u32>, payload: &[u8]) -> Vec<u8> {
    let [from, to] = [0, 1].map(|end| SocketAddrV6::new(ends[end].into(), ports[end], 0, 0));
    let mut packet = match which {
        0 => Ipv6Packet::tcp(from, to),
        1 => Ipv6Packet::udp(from, to),
        2 => Ipv6Packet::echo(*from.ip(), *to.ip(), ports[0]),
        _ => Ipv6Packet::other(*from.ip(), *to.ip(), 132),
    };
    for _ in 0..options {
        packet = packet.extension(Extension::Destination(vec![1, 4, 0, 0, 0, 0]));
    }
    if let Some(id) = id {
        packet = packet.extension(Extension::Fragment { start: 0, more: true, id });
    }
    let header: &[u8] = if which > 2 { &[0, 0, 0x65, 0x58, 1, 2, 3, 4] } else { &[] };
    packet.hop_limit(63).payload(&[header, payload].concat()).emit()
}

/// A frame with an error from `from` to the source of what it embeds.
fn error(from: [u8; 16], kind: u8, embedded: &[u8]) -> Vec<u8> {
    let to: [u8; 16] = embedded[8..24].try_into().unwrap();
    Ipv6Packet::icmp(from.into(), to.into(), kind, 0).payload(embedded).in_frame(&Ethernet::new([0; 6], [0; 6]))
}

fn read(frame: &[u8]) -> Result<(ipv6::Header, Embedded), DropReason> {
    let ip = ipv6::parse(&frame, L3_OFF)?;
    let end = ip.end().min(frame.len());
    let upper = extension::walk(&frame, &ip, end)?;
    let inner = embedded_header(&frame, &upper, end)?;
    Ok((ip, parse(&frame, upper.off, end, inner)?))
}

/// The frame after both ends that name the flow have become `addr` and `port`.
fn translated(frame: &[u8], addr: [u8; 16], port: [u8; 2], hops: Ttl) -> Vec<u8> {
    let (ip, embedded) = read(frame).unwrap();
    let mut frame = frame.to_vec();
    HeaderRewrite::new(Side::Destination, &ip, addr, hops).apply(&mut frame).unwrap();
    let (inner, outer) = (delta(embedded.ip.src, addr), delta(ip.dst, addr));
    embedded.rewrite(Side::Source, inner, port, outer).apply(&mut frame, addr).unwrap();
    frame
}

/// Whether the `covered` bytes behind the header `ip` sum up.
fn sums_up(ip: &ipv6::Header, proto: u8, covered: &[u8]) -> bool {
    checksum::full(&[&ip.pseudo_sum(proto, covered.len() as u32), covered].concat()) == [0, 0]
}

/// The message sums up; so does the transport segment, if it is embedded whole.
fn assert_sums(frame: &[u8], whole: bool) {
    let (ip, Embedded { ip: inner, upper, .. }) = read(frame).unwrap();
    assert!(sums_up(&ip, icmpv6::PROTO, &frame[ip.payload_off()..ip.end()]), "the error");
    if whole && upper.proto != 132 {
        assert!(sums_up(&inner, upper.proto, &frame[upper.off..ip.end()]), "embedded transport");
    }
}

proptest! {
    #[test]
    fn translation_and_its_reverse_are_the_identity(
        which in 0_u8..4, kind in 1_u8..5, ends: [[u8; 16]; 2], router: [u8; 16], ports: [u16; 2], addr: [u8; 16], port: [u8; 2],
        options in 0_usize..3, id: Option<u32>, payload in proptest::collection::vec(any::<u8>(), 0..60), cut in 8_usize..100,
    ) {
        let embedded = packet(which, ends, ports, options, id, &payload);
        let chain = 8 * options + if id.is_some() { 8 } else { 0 };
        let keep = (40 + chain + cut).min(embedded.len());
        let frame = error(router, kind, &embedded[..keep]);
        let whole = keep == embedded.len();
        assert_sums(&frame, whole);
        let out = translated(&frame, addr, port, Ttl::Decrement);
        assert_sums(&out, whole);
        let (ip, inner) = read(&out).unwrap();
        prop_assert_eq!((ip.dst, inner.ip.src, inner.ip.dst, ip.hop_limit), (addr, addr, ends[1], 63));
        if which < 3 {
            prop_assert_eq!(inner.l4.src_port, port);
        }
        let (_, before) = read(&frame).unwrap();
        let mut back = translated(&out, ends[0], before.l4.src_port, Ttl::Keep);
        back[L3_OFF + ipv6::field::HOP_LIMIT] = 64;
        // The two representations of zero are the same sum.
        assert_sums(&back, whole);
        let in_a_sum = |at: usize| [56, 57].contains(&at) || inner.l4.check_off != 0 && (inner.l4.check_off..inner.l4.check_off + 2).contains(&at);
        let differs = (0..frame.len()).find(|at| !in_a_sum(*at) && back[*at] != frame[*at]);
        prop_assert_eq!(differs, None);
    }

    #[test]
    fn identification_of_a_fragment_is_shown_as_it_was(id: u32, mask: u32, addr: [u8; 16], cut in 8_usize..49) {
        let left = packet(1, [[1; 16], [2; 16]], [4000, 53], 0, Some(masked(id, mask)), &[7; 40]);
        let frame = error([9; 16], 3, &left[..48 + cut]);
        let (_, embedded) = read(&frame).unwrap();
        let mut after = frame.clone();
        let change = embedded.rewrite(Side::Source, delta(embedded.ip.src, addr), [1, 2], 0).unmasked(&embedded, mask);
        change.apply(&mut after, addr).unwrap();
        let (ip, shown) = read(&after).unwrap();
        prop_assert_eq!(shown.upper.id, id);
        prop_assert!(sums_up(&ip, icmpv6::PROTO, &after[ip.payload_off()..]));
    }

    #[test]
    fn any_bytes_are_read_within_bounds(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 1_u8..5) {
        let frame = Ipv6Packet::icmp([1; 16].into(), [2; 16].into(), kind, 0).payload(&[&[0x60][..], &bytes].concat())
            .in_frame(&Ethernet::new([0; 6], [0; 6]));
        for bytes in [bytes, frame] {
            if let Ok((ip, embedded)) = read(&bytes) {
                let mut copy = bytes.clone();
                // Everything that is written lies in the packet.
                let change = embedded.rewrite(Side::Destination, 9, [2; 2], 1).unmasked(&embedded, 7);
                prop_assert!(change.apply(&mut copy, [1; 16]).is_some());
                prop_assert!(HeaderRewrite::new(Side::Source, &ip, [1; 16], Ttl::Decrement).apply(&mut copy).is_some());
            }
        }
    }
}

#[test]
fn what_is_embedded_too_short_or_wrong_is_refused() {
    let ends = [[1; 16], [2; 16]];
    let udp = packet(1, ends, [20_000, 53], 0, None, b"payload");
    let router = [9; 16];
    assert_eq!(read(&error(router, 1, &udp[..47])), Err(DropReason::Truncated));
    let mut padded = error(router, 1, &udp[..47]);
    padded.extend([0; 20]);
    assert_eq!(read(&padded), Err(DropReason::Truncated), "padding is not payload");
    assert_eq!(read(&error(router, 1, &udp[..39])), Err(DropReason::Truncated));
    for kind in [0, 5, 100, 127, 128, 137] {
        assert_eq!(read(&error(router, kind, &udp)), Err(DropReason::IcmpType), "{kind}");
    }
    let mut other = udp.clone();
    other[0] = 0x45;
    assert_eq!(read(&error(router, 3, &other)), Err(DropReason::Malformed));
    let later = Extension::Fragment { start: 2, more: false, id: 1 };
    let later = Ipv6Packet::other(Ipv6Addr::from(ends[0]), ends[1].into(), 17).extension(later).payload(&[7; 20]);
    assert_eq!(read(&error(router, 3, &later.emit())), Err(DropReason::Fragment));
    let answer = Ipv6Packet::icmp(ends[0].into(), ends[1].into(), 129, 0);
    let (_, answer) = read(&error(router, 1, &answer.emit())).expect("an answer");
    assert!(answer.is_none_or(false) && !answer.is_none_or(true));
    let message = Ipv6Packet::icmp(ends[0].into(), ends[1].into(), 135, 0);
    assert_eq!(read(&error(router, 1, &message.emit())), Err(DropReason::IcmpType), "no echo");
    let cut = Ipv6Packet::icmp(router.into(), ends[0].into(), 1, 0).payload(&udp);
    let cut = cut.extension(Extension::Fragment { start: 0, more: true, id: 1 });
    assert_eq!(read(&cut.in_frame(&Ethernet::new([0; 6], [0; 6]))), Err(DropReason::IcmpType), "nobody cuts an error");
}
