//! Errors about any packet, embedded whole or cut: there and back is where it began, and every sum stays right.

use core::net::{Ipv4Addr, SocketAddrV4};
use std::{vec, vec::Vec};

use proptest::prelude::*;

use crate::{
    decide::{
        fragment::masked,
        icmp_error::*,
        rewrite::{HeaderChange as _, HeaderRewrite, Side, Ttl},
    },
    types::checksum,
    wire::{
        emit::{Ethernet, Packet},
        l4::Proto,
        packet::L3_OFF,
    },
};

/// An IPv4 packet with its checksums, `options` words of IP options, and a payload.
fn packet(proto: u8, ends: [[u8; 4]; 2], ports: [[u8; 2]; 2], options: usize, payload: &[u8]) -> Vec<u8> {
    let [src, dst] = ends.map(Ipv4Addr::from);
    let [from, to] =
        [(src, ports[0]), (dst, ports[1])].map(|(ip, port)| SocketAddrV4::new(ip, u16::from_be_bytes(port)));
    let packet = match proto {
        TCP => Packet::request(Proto::Tcp, from, to).payload(payload),
        UDP => Packet::request(Proto::Udp, from, to).payload(payload),
        ICMP => Packet::request(Proto::Icmp, from, to).payload(payload),
        _ => Packet::other(src, dst, proto).payload(&[&[0, 0, 0x65, 0x58, 1, 2, 3, 4], payload].concat()),
    };
    packet.ttl(63).options(&vec![1; 4 * options]).emit()
}

/// A frame with an error from `from` to the source of what it embeds.
fn error(from: [u8; 4], kind: u8, embedded: &[u8]) -> Vec<u8> {
    let to: [u8; 4] = embedded[12..16].try_into().unwrap();
    Packet::icmp_error(from.into(), to.into(), kind, 1, embedded).in_frame(&Ethernet::new([0; 6], [0; 6]))
}

fn read(frame: &[u8]) -> Result<(ipv4::Header, Embedded), DropReason> {
    let ip = ipv4::parse(&frame, L3_OFF)?;
    let inner = embedded_header(&frame, &ip)?;
    Ok((ip, parse(&frame, &ip, inner)?))
}

/// The frame after both ends that name the flow have become `addr` and `port`.
fn translated(frame: &[u8], addr: [u8; 4], port: [u8; 2], ttl: Ttl) -> Vec<u8> {
    let (ip, embedded) = read(frame).unwrap();
    let mut frame = frame.to_vec();
    HeaderRewrite::new(Side::Destination, &ip, addr, ttl).apply(&mut frame).unwrap();
    embedded.rewrite(Side::Source, addr, port).apply(&mut frame).unwrap();
    frame
}

/// Outer and embedded IP header and ICMP message sum to zero; so does the transport segment if it is embedded whole.
fn assert_sums(frame: &[u8], whole: bool) {
    let ip = &frame[14..];
    assert_eq!(checksum::full(&ip[..20]), [0, 0], "outer IP");
    assert_eq!(checksum::full(&ip[20..]), [0, 0], "outer ICMP");
    let inner = &ip[28..];
    let header = usize::from(inner[0] & 0xf) * 4;
    assert_eq!(checksum::full(&inner[..header]), [0, 0], "embedded IP");
    let (proto, l4) = (inner[9], &inner[header..]);
    if !whole || !matches!(proto, TCP | UDP | ICMP) || proto == UDP && l4[6..8] == [0, 0] {
        return;
    }
    let pseudo = [&inner[12..20], &[0, proto, 0, l4.len() as u8]].concat();
    let sum = checksum::full(&[if proto == ICMP { &[][..] } else { &pseudo }, l4].concat());
    assert_eq!(sum, [0, 0], "embedded transport");
}

proptest! {
    #[test]
    fn translation_and_its_reverse_are_the_identity(
        proto in prop_oneof![Just(TCP), Just(UDP), Just(ICMP), Just(47)],
        kind in prop_oneof![Just(3_u8), Just(11), Just(12)],
        ends: [[u8; 4]; 2], router: [u8; 4], ports: [[u8; 2]; 2], addr: [u8; 4], port: [u8; 2],
        options in 0_usize..11, payload in proptest::collection::vec(any::<u8>(), 0..60), cut in 8_usize..100,
    ) {
        let embedded = packet(proto, ends, ports, options, &payload);
        let keep = (20 + 4 * options + cut).min(embedded.len());
        let frame = error(router, kind, &embedded[..keep]);
        let whole = keep == embedded.len();
        assert_sums(&frame, whole);
        let out = translated(&frame, addr, port, Ttl::Decrement);
        assert_sums(&out, whole);
        prop_assert_eq!(out[22], 63);
        let (ip, inner) = read(&out).unwrap();
        prop_assert_eq!((ip.dst, inner.ip.src, inner.ip.dst), (addr, addr, ends[1]));
        if proto != 47 {
            prop_assert_eq!(inner.l4.src_port, port);
        }
        let (_, before) = read(&frame).unwrap();
        let mut back = translated(&out, ends[0], before.l4.src_port, Ttl::Keep);
        back[22] = 64;
        let sum = checksum::update16([back[24], back[25]], [63, ICMP], [64, ICMP]);
        back[24..26].copy_from_slice(&sum);
        // The two representations of zero are the same sum.
        assert_sums(&back, whole);
        for (at, (one, two)) in back.iter().zip(&frame).enumerate() {
            let in_a_sum = [24, 25, 36, 37].contains(&at) || inner.l4.check_off != 0 && (inner.l4.check_off..inner.l4.check_off + 2).contains(&at)
                || (52..54).contains(&at);
            prop_assert!(in_a_sum || one == two, "byte {at}: {one:#x}, was {two:#x}");
        }
    }

    #[test]
    fn any_bytes_are_read_within_bounds(bytes in proptest::collection::vec(any::<u8>(), 0..160)) {
        if let Ok((ip, embedded)) = read(&bytes) {
            let mut copy = bytes.clone();
            // Everything that is written lies in the packet.
            prop_assert!(embedded.rewrite(Side::Destination, [1; 4], [2; 2]).apply(&mut copy).is_some());
            prop_assert!(HeaderRewrite::new(Side::Source, &ip, [1; 4], Ttl::Decrement).apply(&mut copy).is_some());
        }
    }
}

#[test]
fn what_is_embedded_too_short_or_wrong_is_refused() {
    let ends = [[198, 51, 100, 2], [203, 0, 113, 1]];
    let udp = packet(UDP, ends, [[0x4e, 0x20], [0, 53]], 0, b"payload");
    let router = [203, 0, 113, 254];
    assert_eq!(read(&error(router, 3, &udp[..27])), Err(DropReason::Truncated));
    let mut padded = error(router, 3, &udp[..27]);
    padded.extend([0; 20]);
    assert_eq!(read(&padded), Err(DropReason::Truncated), "padding is not payload");
    assert_eq!(read(&error(router, 3, &udp[..19])), Err(DropReason::Truncated));
    assert_eq!(read(&error(router, 5, &udp)), Err(DropReason::IcmpType), "a redirect");
    let changed = |at: usize, byte: u8| {
        let mut inner = udp.clone();
        inner[at] = byte;
        read(&error(router, 11, &inner))
    };
    assert_eq!(changed(0, 0x44), Err(DropReason::Malformed));
    assert_eq!(changed(7, 1), Err(DropReason::Fragment), "a later fragment");
    assert!(changed(6, 0x20).is_ok(), "a first fragment has its ports");
    let mut message = packet(ICMP, ends, [[1, 2], [1, 2]], 0, &[]);
    message[20] = 10;
    assert_eq!(read(&error(router, 3, &message)), Err(DropReason::IcmpType), "no query");
    message[20] = 13;
    let (_, timestamp) = read(&error(router, 3, &message)).expect("a query");
    assert!(timestamp.is_none_or(true) && !timestamp.is_none_or(false));
    assert_eq!(timestamp.answer(7).query, 13, "not the flow of an echo with the same identifier");
}

#[test]
fn an_endpoint_tells_what_it_was_sent_and_nothing_else() {
    let (own, host, other) = ([10, 77, 0, 2], [10, 77, 0, 1], [203, 0, 113, 1]);
    let about = |src, dst| packet(UDP, [src, dst], [[1, 2], [3, 4]], 0, &[]);
    let judge = |to: [u8; 4], kind, about: &[u8]| {
        let error = Packet::icmp_error(own.into(), to.into(), kind, 3, about);
        let bytes = error.emit();
        of_own(&bytes.as_slice(), &ipv4::parse(&bytes.as_slice(), 0).unwrap(), own)
    };
    const REFUSED: Result<(), DropReason> = Err(DropReason::IcmpType);
    for kind in [3, 4, 5, 11, 12] {
        assert_eq!(judge(host, kind, &about(host, own)), Ok(()));
        assert_eq!(judge(host, kind, &about(host, other)), REFUSED, "what the host sent somebody else");
        assert_eq!(judge(host, kind, &about(other, own)), REFUSED, "what somebody else was sent");
        assert_eq!(judge(host, kind, &about(host, own)[..19]), Err(DropReason::Truncated));
        let mut nonsense = about(host, other);
        nonsense[0] = 0x65;
        assert_eq!(judge(host, kind, &nonsense), REFUSED, "the kernel does not look at the version");
    }
    for kind in [0, 8, 9, 14] {
        assert_eq!(judge(host, kind, &[]), Ok(()), "no error");
    }
    let cut = Packet::icmp_error(own.into(), host.into(), 3, 4, &about(host, own)).fragmentation(0x2000).emit();
    assert_eq!(of_own(&cut.as_slice(), &ipv4::parse(&cut.as_slice(), 0).unwrap(), own), REFUSED);
}

proptest! {
    #[test]
    fn identification_of_a_fragment_is_shown_as_it_was(id: u16, mask: u16, addr: [u8; 4], cut in 8_usize..49) {
        let first = Packet::udp("203.0.113.9:4000".parse().unwrap(), "198.51.100.7:53".parse().unwrap());
        let [high, low] = masked(id.to_be_bytes(), mask);
        let left = first.payload(&[7; 40]).id(u16::from_be_bytes([high, low])).fragmentation(0x2000).emit();
        let frame = error([192, 0, 2, 1], 11, &left[..20 + cut]);
        let (_, embedded) = read(&frame).unwrap();
        let mut after = frame.clone();
        embedded.rewrite(Side::Source, addr, [1, 2]).unmasked(&embedded.ip, mask).apply(&mut after).unwrap();
        prop_assert_eq!(&after[14 + 28 + 4..14 + 28 + 6], &id.to_be_bytes());
        prop_assert_eq!(checksum::full(&after[34..]), [0, 0], "ICMP");
        prop_assert_eq!(checksum::full(&after[42..62]), [0, 0], "the embedded header");
    }
}
