//! Fragments of IPv6 through the loaded programs: each is translated as its packet is, and none goes where the first did not.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};

use forwarder_common::wire::{
    emit::{Extension, Ipv6Packet},
    icmpv6::kind,
    ipv6,
    packet::L3_OFF,
};

use super::{
    fixture::{ADDRESS_V6, Fixture, with_ipv6},
    frame::ETHERNET,
};

const NEXT: i32 = -1;
const DROP: i32 = 2;
const REDIRECT: i32 = 7;
const OUTSIDE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);
const UDP: u8 = 17;
/// Bytes of each fragment but the last.
const PART: usize = 48;

/// A datagram with its checksum.
fn datagram(from: SocketAddrV6, to: SocketAddrV6) -> Vec<u8> {
    let payload: Vec<u8> = (0..120).collect();
    Ipv6Packet::udp(from, to).payload(&payload).emit()
}

/// The fragments of a packet without extension headers, with this identification.
fn cut(packet: &[u8], id: u32) -> Vec<Ipv6Packet> {
    let ip = ipv6::parse(&packet, 0).expect("IPv6");
    let parts: Vec<&[u8]> = packet[ipv6::LEN..].chunks(PART).collect();
    let piece = |(number, part): (usize, &&[u8])| {
        let (start, more) = ((number * PART / 8) as u16, number + 1 < parts.len());
        let whole = Ipv6Packet::other(ip.src.into(), ip.dst.into(), ip.next_header).hop_limit(ip.hop_limit);
        whole.extension(Extension::Fragment { start, more, id }).payload(part)
    };
    parts.iter().enumerate().map(piece).collect()
}

fn frame(packet: &Ipv6Packet) -> Vec<u8> {
    packet.in_frame(&ETHERNET)
}

/// The identification of a fragment in a frame.
fn id_of(frame: &[u8]) -> u32 {
    let at = L3_OFF + ipv6::LEN + 4;
    u32::from_be_bytes(frame[at..at + 4].try_into().expect("a fragment header"))
}

fn socket(addr: Ipv6Addr, port: u16) -> SocketAddrV6 {
    SocketAddrV6::new(addr, port, 0, 0)
}

/// The external socket of the only flow.
#[track_caller]
fn external(fixture: &Fixture) -> SocketAddrV6 {
    match fixture.dataplane.flows().unwrap()[..] {
        [forwarder::dataplane::Flow { nat: SocketAddr::V6(nat), .. }] => nat,
        ref others => panic!("{others:#?}"),
    }
}

/// Sends all fragments out, and looks at each as it leaves: the identification that they leave with.
#[track_caller]
fn leave(fixture: &Fixture, inside: SocketAddrV6, remote: SocketAddrV6, id: u32) -> u32 {
    let mut left = None;
    for (number, piece) in cut(&datagram(inside, remote), id).iter().enumerate() {
        let run = fixture.run_from_ns(&frame(piece));
        assert_eq!(run.verdict, REDIRECT, "fragment {number}");
        let id = *left.get_or_insert(id_of(&run.packet));
        let expected = cut(&datagram(external(fixture), remote), id)[number].clone().hop_limit(63);
        assert_eq!(run.packet[L3_OFF..], expected.emit(), "fragment {number}");
    }
    left.expect("fragments")
}

#[test]
fn every_fragment_leaves_and_comes_back_as_its_packet_does() {
    with_ipv6(&[0], |fixture| {
        let (inside, remote) = (socket(ADDRESS_V6, 40_000), socket(OUTSIDE, 53));
        let left = leave(fixture, inside, remote, 0x0102_0304);
        assert_ne!(left, 0x0102_0304, "under a mask");
        assert_eq!(leave(fixture, inside, remote, 0x0102_0305), left ^ 1, "under the same");
        let nat = external(fixture);
        // What comes from outside comes as it is.
        let (sent, expected) = (cut(&datagram(remote, nat), 77), cut(&datagram(remote, inside), 77));
        for (piece, expected) in sent.iter().zip(expected) {
            let run = fixture.run_from_uplink(&frame(piece));
            assert_eq!(run.verdict, REDIRECT);
            assert_eq!(run.packet[L3_OFF..], expected.hop_limit(63).emit());
        }
        let flow = &fixture.dataplane.flows().unwrap()[0];
        assert_eq!((flow.tx.0, flow.rx.0, flow.proto), (6, 3, UDP));
    });
}

#[test]
fn fragments_of_no_known_packet_are_the_kernels() {
    with_ipv6(&[0], |fixture| {
        let (inside, remote) = (socket(ADDRESS_V6, 40_000), socket(OUTSIDE, 53));
        leave(fixture, inside, remote, 1);
        let nat = external(fixture);
        let pieces = cut(&datagram(inside, remote), 2);
        let run = fixture.run_from_ns(&frame(&pieces[1]));
        assert_eq!((run.verdict, fixture.counted("KernelIpv6")), (NEXT, 1), "before the first");
        for piece in [&cut(&datagram(remote, nat), 3)[1], &cut(&datagram(remote, socket(*nat.ip(), 9)), 4)[0]] {
            let sent = frame(piece);
            let run = fixture.run_from_uplink(&sent);
            assert_eq!((run.verdict, run.packet), (NEXT, sent));
        }
    });
}

#[test]
fn fragments_that_overlap_or_hide_a_header_are_dropped() {
    with_ipv6(&[0], |fixture| {
        let (inside, remote) = (socket(ADDRESS_V6, 40_000), socket(OUTSIDE, 53));
        leave(fixture, inside, remote, 1);
        let pieces = cut(&datagram(inside, remote), 1);
        let again = Ipv6Packet::other(ADDRESS_V6, OUTSIDE, UDP);
        let repeated = again.clone().extension(Extension::Fragment { start: 3, more: true, id: 1 }).payload(&[7; 8]);
        for piece in [&repeated, &pieces[1]] {
            assert_eq!(fixture.run_from_ns(&frame(piece)).verdict, DROP, "{piece:?}");
        }
        assert_eq!(fixture.counted("FragmentOverlap"), 2);
        // A later fragment lives no longer than the first.
        let fresh = cut(&datagram(inside, remote), 9);
        assert_eq!(fixture.run_from_ns(&frame(&fresh[0].clone().hop_limit(9))).verdict, REDIRECT);
        assert_eq!(fixture.run_from_ns(&frame(&fresh[1])).verdict, DROP);
        assert_eq!(fixture.counted("FragmentOverlap"), 3);
    });
}

#[test]
fn who_shares_an_address_does_not_complete_anothers_packet() {
    with_ipv6(&[0, 0], |fixture| {
        let remote = socket(OUTSIDE, 53);
        let ids = fixture.members.iter().map(|member| {
            let piece = &cut(&datagram(socket(member.address_v6(), 40_000), remote), 5)[0];
            let run = fixture.run_from(member, &frame(piece));
            assert_eq!(run.verdict, REDIRECT);
            id_of(&run.packet)
        });
        let ids: Vec<u32> = ids.collect();
        assert_ne!(ids[0], ids[1]);
    });
}

#[test]
fn an_error_about_a_fragment_shows_it_as_it_was_sent() {
    with_ipv6(&[0], |fixture| {
        let (inside, remote) = (socket(ADDRESS_V6, 40_000), socket(OUTSIDE, 53));
        let left = leave(fixture, inside, remote, 0x0a0b_0c0d);
        let about = |from, id| cut(&datagram(from, remote), id)[0].clone().hop_limit(63).emit();
        let error = |to, about: &[u8]| Ipv6Packet::icmp(OUTSIDE, to, kind::TIME_EXCEEDED, 0).payload(about);
        let run = fixture.run_from_uplink(&frame(&error(fixture.host_v6, &about(external(fixture), left))));
        assert_eq!(run.verdict, REDIRECT);
        let expected = error(ADDRESS_V6, &about(inside, 0x0a0b_0c0d)).hop_limit(63);
        assert_eq!(run.packet[L3_OFF..], expected.emit());
    });
}
