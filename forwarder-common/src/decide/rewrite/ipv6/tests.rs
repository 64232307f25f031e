//! Any packet, translated on either side: every sum stays right, there and back is where it began, and nothing else changes.

use core::net::SocketAddrV6;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::{
    decide::address_only::UDP_LITE,
    types::checksum,
    wire::{
        emit::{Ethernet, Extension, Ipv6Packet, Sum},
        extension,
        packet::L3_OFF,
    },
};

/// A frame of TCP, UDP or an echo behind `options` headers of options; a first fragment if it has an identification.
fn frame(which: u8, ends: [[u8; 16]; 2], ports: [u16; 2], options: usize, id: Option<u32>, payload: &[u8]) -> Vec<u8> {
    let [from, to] = [0, 1].map(|end| SocketAddrV6::new(ends[end].into(), ports[end], 0, 0));
    let mut packet = match which {
        0 => Ipv6Packet::tcp(from, to),
        1 => Ipv6Packet::udp(from, to),
        _ => Ipv6Packet::echo(*from.ip(), *to.ip(), ports[0]),
    };
    packet.traffic_class = 0xb9;
    packet.flow_label = 0xa_bcde;
    for _ in 0..options {
        packet = packet.extension(Extension::Destination(std::vec![1, 4, 0, 0, 0, 0]));
    }
    if let Some(id) = id {
        packet = packet.extension(Extension::Fragment { start: 0, more: true, id });
    }
    packet.payload(payload).hop_limit(63).in_frame(&Ethernet::new([2; 6], [4; 6]))
}

fn headers(frame: &[u8]) -> (ipv6::Header, Upper, l4::Header) {
    let ip = ipv6::parse(&frame, L3_OFF).unwrap();
    let upper = extension::walk(&frame, &ip, ip.end()).unwrap();
    (ip, upper, l4::ipv6::parse_first(&frame, &upper, ip.end()).unwrap())
}

fn translated(frame: &[u8], side: Side, addr: [u8; 16], port: [u8; 2], hops: Ttl, mask: u32) -> Vec<u8> {
    let (ip, upper, l4) = headers(frame);
    let mut change = Rewrite::ipv6(side, (&ip, &upper, &l4), addr, port, hops);
    change.header = change.header.masked(&upper, mask);
    let mut frame = frame.to_vec();
    change.apply(&mut frame).unwrap();
    frame
}

/// Whether pseudo-header, transport header and payload sum up with the checksum in them.
fn sums_up(frame: &[u8]) -> bool {
    let (ip, upper, _) = headers(frame);
    let covered = &frame[upper.off..ip.end()];
    let pseudo = ip.pseudo_sum(upper.proto, covered.len() as u32);
    checksum::full(&[&pseudo, covered].concat()) == [0, 0]
}

proptest! {
    #[test]
    fn translation_keeps_sums_and_its_reverse_restores_the_packet(
        which in 0_u8..3, source: bool, ends: [[u8; 16]; 2], ports: [u16; 2], addr: [u8; 16], port: [u8; 2], options in 0_usize..3,
        id: Option<u32>, mask: u32, payload in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        let side = if source { Side::Source } else { Side::Destination };
        let before = frame(which, ends, ports, options, id, &payload);
        prop_assert!(sums_up(&before));
        let after = translated(&before, side, addr, port, Ttl::Decrement, mask);
        prop_assert!(sums_up(&after));
        let ((was, _, old), (ip, upper, l4)) = (headers(&before), headers(&after));
        let (moved, own) = if source { (ip.src, l4.src_port) } else { (ip.dst, l4.dst_port) };
        prop_assert_eq!((moved, own, ip.hop_limit), (addr, port, 62));
        prop_assert_eq!((ip.traffic_class, ip.flow_label, ip.payload_len), (was.traffic_class, was.flow_label, was.payload_len));
        prop_assert_eq!(upper.id, id.map_or(0, |id| id ^ mask));
        let (addr, port) = if source { (was.src, old.src_port) } else { (was.dst, old.dst_port) };
        let mut back = translated(&after, side, addr, port, Ttl::Keep, mask);
        back[L3_OFF + ipv6::field::HOP_LIMIT] = 63;
        // One's complement has two zeros: that of a datagram of zeros is sent as all ones.
        prop_assert!(sums_up(&back));
        let check = Rewrite::ipv6(side, (&was, &headers(&before).1, &old), addr, port, Ttl::Keep).check_off;
        let differs = (0..before.len()).find(|at| before[*at] != back[*at] && !(check..check + 2).contains(at));
        prop_assert_eq!(differs, None);
    }

    #[test]
    fn address_alone_is_translated_and_so_is_the_sum_of_udp_lite(
        lite: bool, source: bool, ends: [[u8; 16]; 2], addr: [u8; 16], start in 0_u16..2,
    ) {
        let side = if source { Side::Source } else { Side::Destination };
        let [src, dst] = ends.map(Into::into);
        let proto = if lite { UDP_LITE } else { 132 };
        let mut header = std::vec![0, 7, 0, 9, 0, 8, 0, 0];
        if lite {
            let pseudo = checksum::pseudo_sum_v6(ends[0], ends[1], proto, 8);
            let check = checksum::full(&[&pseudo[..], &header].concat());
            header[6..8].copy_from_slice(&check);
        }
        let packet = Ipv6Packet::other(src, dst, proto).extension(Extension::Fragment { start, more: true, id: 1 }).payload(&header);
        let before = packet.emit();
        let ip = ipv6::parse(&before.as_slice(), 0).unwrap();
        let upper = extension::walk(&before.as_slice(), &ip, ip.end()).unwrap();
        let mut after = before.clone();
        AddressRewrite::ipv6(side, &ip, &upper, addr, Ttl::Decrement).apply(&mut after).unwrap();
        let there = ipv6::parse(&after.as_slice(), 0).unwrap();
        prop_assert_eq!(if source { there.src } else { there.dst }, addr);
        prop_assert_eq!(there.hop_limit, 63);
        let pseudo = there.pseudo_sum(proto, 8);
        let behind = &after[upper.off..];
        if lite && start == 0 {
            prop_assert_eq!(checksum::full(&[&pseudo[..], behind].concat()), [0, 0]);
        } else {
            prop_assert_eq!(behind, &before[upper.off..], "of others, and of a later fragment, nothing behind the header changes");
        }
    }
}

#[test]
fn a_datagram_without_checksum_stays_without() {
    let [from, to] = [[1; 16], [2; 16]].map(|end| SocketAddrV6::new(end.into(), 53, 0, 0));
    let before =
        Ipv6Packet::udp(from, to).payload(&[1, 2, 3]).sum(Sum::Unused).in_frame(&Ethernet::new([2; 6], [4; 6]));
    let after = translated(&before, Side::Source, [7; 16], [1, 1], Ttl::Keep, 0);
    assert_eq!(after[L3_OFF + ipv6::LEN + 6..][..2], [0, 0]);
}
