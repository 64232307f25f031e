//! What is written is what is read: by the parsers that the programs use.

use core::net::{Ipv4Addr, SocketAddrV4};
use std::{vec, vec::Vec};

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    decide::icmp_error,
    types::{
        checksum::{UDP_LITE, full, pseudo_sum},
        verdict::DropReason,
    },
    wire::{
        ethernet, icmp,
        ipv4::{self, Header},
        l4::{self, Proto},
        options::{Outcome, STEPS, Walk, kind},
        packet::L3_OFF,
    },
};

const GRE: u8 = 47;

fn any_transport() -> impl Strategy<Value = Transport> {
    let (ports, sum) = ((any::<u16>(), any::<u16>()), any_sum());
    let tcp = (ports, any::<[u32; 2]>(), any::<(u8, u16)>(), vec(any::<u8>(), 0..=40), any_sum()).prop_map(
        |((src_port, dst_port), [seq, ack], (flags, window), options, sum)| {
            Transport::Tcp(Tcp { src_port, dst_port, seq, ack, flags, window, options, sum })
        },
    );
    let udp = (ports, any_sum())
        .prop_map(|((src_port, dst_port), sum)| Transport::Udp(Udp { src_port, dst_port, length: None, sum }));
    let kinds = prop_oneof![Just(0), Just(8), Just(13), Just(18)];
    let icmp = (kinds, any::<u8>(), any::<[u8; 4]>(), sum)
        .prop_map(|(kind, code, rest, sum)| Transport::Icmp(Icmp { kind, code, rest, sum }));
    prop_oneof![tcp, udp, icmp, Just(Transport::Other(GRE))]
}

fn any_sum() -> impl Strategy<Value = Sum> {
    prop_oneof![
        Just(Sum::Complete),
        Just(Sum::Partial),
        Just(Sum::Unused),
        Just(Sum::Wrong),
        any::<[u8; 2]>().prop_map(Sum::Exact)
    ]
}

prop_compose! {
    /// Any packet that its header describes: whole, or a first fragment.
    fn any_packet()(
        ends: [[u8; 4]; 2], tos: u8, id: u16, flags in 0_u16..8, ttl: u8, words in 0_usize..=10, header_sum in any_sum(),
        transport in any_transport(), payload in vec(any::<u8>(), 0..200),
    ) -> Packet {
        let [src, dst] = ends.map(Ipv4Addr::from);
        let options = vec![kind::NOP; 4 * words];
        let (fragmentation, total_len) = (flags << 13, None);
        Packet { src, dst, tos, total_len, id, fragmentation, ttl, options, header_sum, transport, payload }
    }
}

/// What the parser should say of the header of `packet`, which is `length` bytes long in all.
fn header(packet: &Packet, length: usize, check: [u8; 2]) -> Header {
    Header {
        src: packet.src.octets(),
        dst: packet.dst.octets(),
        proto: packet.transport.proto(),
        ttl: packet.ttl,
        check,
        off: 0,
        len: 20 + packet.options.len(),
        total_len: length as u16,
        fragment: packet.fragmentation & 0x3fff != 0,
        id: packet.id.to_be_bytes(),
        fragmentation: packet.fragmentation,
    }
}

/// What the parser should say of what stands behind it.
fn transport(packet: &Packet) -> Option<l4::Header> {
    let of = |proto, src: [u8; 2], dst: [u8; 2]| l4::Header {
        proto,
        src_port: src,
        dst_port: dst,
        tcp_flags: 0,
        icmp_type: 0,
        len: 8,
    };
    match &packet.transport {
        Transport::Tcp(Tcp { src_port, dst_port, flags, options, .. }) => Some(l4::Header {
            tcp_flags: *flags,
            len: 20 + options.len().next_multiple_of(4),
            ..of(Proto::Tcp, src_port.to_be_bytes(), dst_port.to_be_bytes())
        }),
        Transport::Udp(Udp { src_port, dst_port, .. }) => {
            Some(of(Proto::Udp, src_port.to_be_bytes(), dst_port.to_be_bytes()))
        }
        Transport::Icmp(Icmp { kind, rest: [a, b, ..], .. }) => {
            Some(l4::Header { icmp_type: *kind, ..of(Proto::Icmp, [*a, *b], [*a, *b]) })
        }
        Transport::UdpLite(_) | Transport::Icmpv6(_) | Transport::Other(_) => None,
    }
}

/// Whether the checksum `check`, written as `sum`, is as it should be where `covered` adds up to `added` with it.
fn is_as_asked(sum: Sum, check: [u8; 2], added: [u8; 2], pseudo: [u8; 2]) -> bool {
    match sum {
        Sum::Complete => added == [0, 0],
        Sum::Wrong => added != [0, 0],
        Sum::Partial => check == pseudo,
        Sum::Unused => check == [0, 0],
        Sum::Exact(bytes) => check == bytes,
    }
}

fn pseudo_header(ip: &Header, length: usize) -> Vec<u8> {
    let length = (length as u16).to_be_bytes();
    [&ip.src[..], &ip.dst, &[0, ip.proto], &length].concat()
}

proptest! {
    #[test]
    fn every_field_is_read_as_it_was_written(packet in any_packet()) {
        let bytes = packet.emit();
        let check = [bytes[10], bytes[11]];
        let ip = ipv4::parse(&&bytes[..], 0).unwrap();
        prop_assert_eq!(ip, header(&packet, bytes.len(), check));
        prop_assert_eq!(bytes[1], packet.tos);
        prop_assert!(is_as_asked(packet.header_sum, check, full(&bytes[..ip.len]), [0, 0]));
        let found = l4::parse_first(&&bytes[..], &ip).ok();
        prop_assert_eq!(found, transport(&packet));
        let at = ip.len + found.map_or(0, |l4| l4.len);
        prop_assert_eq!(&bytes[at..], &packet.payload[..]);
    }

    #[test]
    fn transport_checksum_is_the_one_that_was_asked_for(packet in any_packet()) {
        let bytes = packet.emit();
        let ip = ipv4::parse(&&bytes[..], 0).unwrap();
        let l4 = &bytes[ip.len..];
        let (at, sum) = match packet.transport {
            Transport::Tcp(Tcp { sum, .. }) => (16, sum),
            Transport::Udp(Udp { sum, .. }) => (6, sum),
            Transport::Icmp(Icmp { sum, .. }) => (2, sum),
            Transport::UdpLite(_) | Transport::Icmpv6(_) | Transport::Other(_) => return Ok(()),
        };
        let is_icmp = matches!(packet.transport, Transport::Icmp(_));
        let (before, pseudo) = if is_icmp {
            (vec![], [0, 0])
        } else {
            (pseudo_header(&ip, l4.len()), pseudo_sum(ip.src, ip.dst, ip.proto, l4.len() as u16))
        };
        let added = full(&[&before, l4].concat());
        prop_assert!(is_as_asked(sum, [l4[at], l4[at + 1]], added, pseudo), "{:02x?}", l4);
        if matches!(packet.transport, Transport::Udp(_)) && sum == Sum::Complete {
            prop_assert_ne!(&l4[6..8], &[0, 0], "zero says that there is none");
        }
    }

    #[test]
    fn fragments_join_to_the_whole(packet in any_packet(), cut in 1_usize..20) {
        let whole = packet.emit();
        let ip = ipv4::parse(&&whole[..], 0).unwrap();
        let (behind, cut) = (whole.len() - ip.len, cut * 8);
        let mut joined: Vec<u8> = Vec::new();
        for start in (0..behind).step_by(cut) {
            let part = packet.fragment(start..start + cut, start + cut < behind);
            let ip = ipv4::parse(&&part[..], 0).unwrap();
            prop_assert_eq!(usize::from(ip.fragment_start()) * 8, start);
            prop_assert_eq!((ip.more_fragments(), ip.id), (start + cut < behind, packet.id.to_be_bytes()));
            prop_assert_eq!(usize::from(ip.total_len), part.len());
            joined.extend(&part[ip.len..]);
        }
        prop_assert_eq!(joined, &whole[ip.len..]);
    }

    #[test]
    fn error_embeds_what_it_is_about(
        mut about in any_packet(), kind in prop_oneof![Just(3_u8), Just(11), Just(12)], code: u8, ends: [[u8; 4]; 2],
        keep in 28_usize..200,
    ) {
        about.fragmentation = 0;
        let whole = about.emit();
        let embedded = &whole[..whole.len().min(keep.max(28 + about.options.len()))];
        let error = Packet::icmp_error(ends[0].into(), ends[1].into(), kind, code, embedded).emit();
        let ip = ipv4::parse(&&error[..], 0).unwrap();
        prop_assert_eq!((full(&error[..20]), full(&error[20..])), ([0, 0], [0, 0]));
        let inner = icmp_error::embedded_header(&&error[..], &ip).unwrap();
        prop_assert_eq!((inner.src, inner.dst), (about.src.octets(), about.dst.octets()));
        prop_assert_eq!(&error[28..], embedded);
        if let Some(l4) = transport(&about) {
            let found = icmp_error::parse(&&error[..], &ip, inner).unwrap();
            prop_assert_eq!((found.l4.src_port, found.l4.dst_port), (l4.src_port, l4.dst_port));
        }
    }

    #[test]
    fn frame_has_its_tags_in_front_of_its_type(dst: [u8; 6], src: [u8; 6], vlan in 0_u16..4096, packet in any_packet()) {
        let untagged = packet.in_frame(&Ethernet::new(dst, src));
        prop_assert!(ipv4::parse(&&untagged[..], L3_OFF).is_ok());
        prop_assert_eq!(&untagged[..12], [dst, src].concat());
        let tagged = packet.in_frame(&Ethernet::new(dst, src).tagged(ethernet::ethertype::VLAN, vlan));
        prop_assert_eq!(&tagged[12..16], [&ethernet::ethertype::VLAN[..], &vlan.to_be_bytes()].concat());
        prop_assert_eq!(&tagged[16..], &untagged[12..]);
        prop_assert_eq!(Ethernet::new(dst, src).reversed(), Ethernet::new(src, dst));
    }
}

fn socket(last: u8, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new([10, 77, 0, last].into(), port)
}

#[test]
fn conversations_begin_and_are_answered() {
    let (from, to) = (socket(2, 40_000), socket(3, 53));
    for proto in [Proto::Tcp, Proto::Udp, Proto::Icmp] {
        let read = |packet: Packet| {
            let bytes = packet.emit();
            let ip = ipv4::parse(&&bytes[..], 0).unwrap();
            l4::parse(&&bytes[..], &ip).unwrap()
        };
        let (request, answer) = (read(Packet::request(proto, from, to)), read(Packet::answer(proto, to, from)));
        assert_eq!(request.src_port, 40_000_u16.to_be_bytes());
        assert_eq!(answer.dst_port, 40_000_u16.to_be_bytes());
        assert_eq!((request.opens(), answer.opens()), (proto == Proto::Tcp, false));
        let types = if proto == Proto::Icmp { (icmp::ECHO_REQUEST, icmp::ECHO_REPLY) } else { (0, 0) };
        assert_eq!((request.icmp_type, answer.icmp_type), types);
    }
}

#[test]
fn options_are_found_where_they_were_put() {
    let bytes = Packet::tcp(socket(2, 1), socket(3, 2)).tcp_options(&[1, 2, 4, 5, 0xb4]).emit();
    let mut walk = Walk::new(8, [kind::MSS; 2]);
    walk.bytes[..8].copy_from_slice(&bytes[40..48]);
    assert!((0..STEPS).any(|_| !walk.step()));
    assert_eq!((walk.outcome, walk.at), (Outcome::Present as u32, 1));
    assert_eq!(bytes.len(), 48, "padded to whole words");
}

#[test]
fn lies_are_written_as_they_are_told() {
    let packet = Packet::udp(socket(2, 1), socket(3, 2)).payload(b"four").total_len(19);
    assert_eq!(ipv4::parse(&&packet.emit()[..], 0), Err(DropReason::Malformed));
    let mut changed = packet.total_len(28).emit();
    changed[8] = 7;
    finish_header(&mut changed);
    assert_eq!((full(&changed[..20]), changed[8]), ([0, 0], 7));
    finish_header(&mut changed[..3]);
    finish_header(&mut []);
}

#[test]
fn checksum_of_udp_lite_covers_what_its_header_says() {
    let bytes = Packet::udp_lite(socket(2, 1), socket(3, 2)).payload(b"not covered").emit();
    assert_eq!((bytes[9], &bytes[24..26]), (UDP_LITE, &[0, 8][..]));
    let pseudo = [&bytes[12..20], &[0, UDP_LITE, 0, 19]].concat();
    assert_eq!(full(&[&pseudo, &bytes[20..28]].concat()), [0, 0]);
}

#[test]
fn question_of_arp_is_about_an_address() {
    let frame = Arp::question(([2; 6], [10, 0, 0, 2]), [10, 0, 0, 1]).in_frame(&Ethernet::new([0xff; 6], [2; 6]));
    let expected =
        [&[0xff; 6][..], &[2; 6], &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1], &[2; 6], &[10, 0, 0, 2], &[0; 6], &[10, 0, 0, 1]];
    assert_eq!(frame, expected.concat());
}
