//! The key of a packet of IPv6.

use super::{mix, pair, sum, transport};
use crate::{types::direction::Direction, wire::ipv6};

/// Words of 32 bits that are read of a packet, from its IPv6 header on: both headers, or the beginning of the payload.
pub const WORDS_IPV6: usize = 15;

/// The key of the packet that begins with `words` (as they lie in memory; what lies behind its end is ignored), or 0 for what
/// is not measured: extension headers, fragments among them, protocols other than TCP, UDP and ICMPv6 echo, multicast, and what stays on
/// its link.
#[inline(always)]
#[must_use]
pub const fn key_ipv6(words: &[u32; WORDS_IPV6], direction: Direction) -> u64 {
    let [w0, w1, s0, s1, s2, s3, d0, d1, d2, d3, l4 @ ..] = *words;
    let (first, second) = (u32::from_be(w0), u32::from_be(w1));
    let dst = ipv6::of_words([d0, d1, d2, d3]);
    if first >> 28 != 6 || ipv6::is_multicast(dst) || ipv6::is_link_local(dst) {
        return 0;
    }
    let (length, proto) = (second >> 16, second >> 8 & 0xff);
    let Some(transport) = transport(proto, l4, length, direction) else { return 0 };
    let [r0, r1, r2, r3] = match direction {
        Direction::Outbound => [d0, d1, d2, d3],
        Direction::Inbound => [s0, s1, s2, s3],
    };
    let ([a, b, c], label) = (transport.text, first & 0xf_ffff);
    let identity = transport.port << 16 | proto << 8 | direction as u32;
    let remote = mix(sum([pair(r0, r1), pair(r2, r3), pair(label, identity)]));
    mix(sum([remote, pair(a, b), pair(c, 0)])) | 1
}

#[cfg(test)]
mod tests {
    use std::{
        net::{Ipv6Addr, SocketAddrV6},
        vec::Vec,
    };

    use proptest::prelude::*;

    use super::*;
    use crate::wire::emit::{Extension, Ipv6Packet};

    const INSIDE: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);
    const OUTSIDE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

    fn words(packet: &[u8]) -> [u32; WORDS_IPV6] {
        core::array::from_fn(|n| {
            u32::from_ne_bytes(core::array::from_fn(|m| packet.get(n * 4 + m).copied().unwrap_or_default()))
        })
    }

    fn packet(proto: u8, body: &[u8]) -> Vec<u8> {
        Ipv6Packet::other(INSIDE, OUTSIDE, proto).payload(body).emit()
    }

    /// What source NAT does to a packet on its way out, and its reverse on the way in.
    fn translate(packet: &mut [u8], direction: Direction, address: Ipv6Addr, port: [u8; 2]) {
        packet[7] -= 1;
        let (at, port_at) = if direction == Direction::Outbound { (8, 40) } else { (24, 42) };
        packet[at..at + 16].copy_from_slice(&address.octets());
        let (port_at, sum_at) = match packet[6] {
            6 => (port_at, 56),
            17 => (port_at, 46),
            _ => (44, 42),
        };
        packet[sum_at..sum_at + 2].copy_from_slice(&[3, 4]);
        packet[port_at..port_at + 2].copy_from_slice(&port);
    }

    proptest! {
        #[test]
        fn key_survives_translation_and_padding(
            which in 0usize..3, bytes in proptest::collection::vec(any::<u8>(), 20..40), inward: bool,
            address in 0x2000_0000_0000_0000_0000_0000_0000_0000_u128..0x3fff_ffff_ffff_ffff_ffff_ffff_ffff_ffff, port: [u8; 2],
            padding in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let proto = [58, 6, 17][which];
            let direction = if inward { Direction::Inbound } else { Direction::Outbound };
            let mut body = bytes;
            if proto == 58 {
                body[0] = 128;
            }
            let mut packet = packet(proto, &body);
            let before = key_ipv6(&words(&packet), direction);
            prop_assert_ne!(before, 0);
            translate(&mut packet, direction, address.into(), port);
            packet.extend(&padding);
            prop_assert_eq!(key_ipv6(&words(&packet), direction), before);
        }

        #[test]
        fn another_packet_has_another_key(bytes in proptest::collection::vec(any::<u8>(), 20..40), bit in 0usize..96) {
            let one = packet(6, &bytes);
            let mut two = one.clone();
            // Sequence numbers, flags, window.
            two[44 + bit / 8] ^= 1 << (bit % 8);
            prop_assert_ne!(key_ipv6(&words(&one), Direction::Outbound), key_ipv6(&words(&two), Direction::Outbound));
        }

        #[test]
        fn another_server_has_another_key(bit in 0usize..128) {
            let one = packet(17, &[0; 20]);
            let mut two = one.clone();
            two[24 + bit / 8] ^= 1 << (bit % 8);
            prop_assert_ne!(key_ipv6(&words(&one), Direction::Outbound), key_ipv6(&words(&two), Direction::Outbound));
        }
    }

    #[test]
    fn both_ways_and_both_labels_differ() {
        let datagram = Ipv6Packet::udp(SocketAddrV6::new(INSIDE, 9, 0, 0), SocketAddrV6::new(OUTSIDE, 9, 0, 0));
        let [plain, labelled] = [0, 77].map(|flow_label| Ipv6Packet { flow_label, ..datagram.clone() }.emit());
        let out = key_ipv6(&words(&plain), Direction::Outbound);
        assert_ne!(out, key_ipv6(&words(&plain), Direction::Inbound));
        assert_ne!(out, key_ipv6(&words(&labelled), Direction::Outbound));
    }

    #[test]
    fn what_cannot_be_told_apart_is_not_measured() {
        let good = packet(17, &[0; 20]);
        for (at, bytes) in [(0, [0x45, 0]), (6, [47, 64]), (24, [0xff, 2]), (24, [0xfe, 0x80])] {
            let mut bad = good.clone();
            bad[at..at + 2].copy_from_slice(&bytes);
            assert_eq!(key_ipv6(&words(&bad), Direction::Outbound), 0, "{bytes:x?} at {at}");
        }
        let fragment =
            Ipv6Packet::other(INSIDE, OUTSIDE, 17).extension(Extension::Fragment { start: 0, more: true, id: 1 });
        assert_eq!(key_ipv6(&words(&fragment.payload(&[0; 20]).emit()), Direction::Outbound), 0);
        assert_eq!(key_ipv6(&words(&packet(58, &[1; 20])), Direction::Outbound), 0, "an ICMPv6 error");
    }
}
