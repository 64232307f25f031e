//! The key of a packet of IPv4.

use super::{mix, pair, sum, transport};
use crate::{types::direction::Direction, wire::ipv4};

/// Words of 32 bits that are read of a packet, from its IPv4 header on: both headers, or the beginning of the payload.
pub const WORDS: usize = 10;

/// The key of the packet that begins with `words` (as they lie in memory; what lies behind its end is ignored), or 0 for what
/// is not measured: fragments, IP options, protocols other than TCP, UDP and ICMP echo, and multicast.
#[inline(always)]
#[must_use]
pub const fn key(words: &[u32; WORDS], direction: Direction) -> u64 {
    let [w0, w1, w2, src, dst, l4 @ ..] = *words;
    let (first, second, third) = (u32::from_be(w0), u32::from_be(w1), u32::from_be(w2));
    // Version 4 and no options; neither more fragments nor an offset.
    if first >> 24 != 0x45 || second & 0x3fff != 0 || ipv4::is_multicast_or_broadcast(dst.to_ne_bytes()) {
        return 0;
    }
    let (length, proto) = (first & 0xffff, third >> 16 & 0xff);
    // A length of 0, BIG TCP's, becomes a huge one.
    let Some(transport) = transport(proto, l4, length.wrapping_sub(20), direction) else { return 0 };
    let remote = match direction {
        Direction::Outbound => dst,
        Direction::Inbound => src,
    };
    let [a, b, c] = transport.text;
    let identity = second & 0xffff_0000 | proto << 8 | direction as u32;
    mix(sum([pair(remote, identity), pair(a, b), pair(c, transport.port)])) | 1
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::wire::emit::Packet;

    fn words(packet: &[u8]) -> [u32; WORDS] {
        core::array::from_fn(|n| {
            u32::from_ne_bytes(core::array::from_fn(|m| packet.get(n * 4 + m).copied().unwrap_or_default()))
        })
    }

    fn packet(proto: u8, body: &[u8]) -> Vec<u8> {
        Packet::other([10, 0, 0, 2].into(), [203, 0, 113, 1].into(), proto).payload(body).emit()
    }

    /// What source NAT does to a packet on its way out, and its reverse on the way in.
    fn translate(packet: &mut [u8], direction: Direction, address: [u8; 4], port: [u8; 2]) {
        packet[8] -= 1;
        packet[10..12].copy_from_slice(&[1, 2]);
        let (at, port_at) = if direction == Direction::Outbound { (12, 20) } else { (16, 22) };
        packet[at..at + 4].copy_from_slice(&address);
        match packet[9] {
            1 => {
                packet[22..24].copy_from_slice(&[3, 4]);
                packet[24..26].copy_from_slice(&port);
            }
            6 => {
                packet[port_at..port_at + 2].copy_from_slice(&port);
                packet[36..38].copy_from_slice(&[5, 6]);
            }
            _ => {
                packet[port_at..port_at + 2].copy_from_slice(&port);
                packet[26..28].copy_from_slice(&[7, 8]);
            }
        }
    }

    fn body(proto: u8, bytes: &[u8]) -> Vec<u8> {
        let mut body = bytes.to_vec();
        if proto == 1 {
            body[0] = 8;
        }
        body
    }

    proptest! {
        #[test]
        fn key_survives_translation_and_padding(
            which in 0usize..3, bytes in proptest::collection::vec(any::<u8>(), 20..40), inward: bool,
            mut address: [u8; 4], port: [u8; 2], padding in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            // Of one, not of many.
            address[0] %= 224;
            let proto = [1, 6, 17][which];
            let direction = if inward { Direction::Inbound } else { Direction::Outbound };
            let mut packet = packet(proto, &body(proto, &bytes));
            let before = key(&words(&packet), direction);
            prop_assert_ne!(before, 0);
            translate(&mut packet, direction, address, port);
            packet.extend(&padding);
            prop_assert_eq!(key(&words(&packet), direction), before);
        }

        #[test]
        fn short_datagrams_ignore_the_padding_of_their_frame(
            bytes in proptest::collection::vec(any::<u8>(), 8..20), padding in proptest::collection::vec(any::<u8>(), 12..20),
        ) {
            // Whole words of the payload count.
            let whole = packet(17, &bytes);
            let mut padded = whole.clone();
            padded.extend(&padding);
            prop_assert_eq!(key(&words(&padded), Direction::Inbound), key(&words(&whole), Direction::Inbound));
        }

        #[test]
        fn another_packet_has_another_key(bytes in proptest::collection::vec(any::<u8>(), 20..40), bit in 0usize..96) {
            let one = packet(6, &bytes);
            let mut two = one.clone();
            // Sequence numbers, flags, window.
            two[24 + bit / 8] ^= 1 << (bit % 8);
            prop_assert_ne!(key(&words(&one), Direction::Outbound), key(&words(&two), Direction::Outbound));
        }
    }

    #[test]
    fn both_ways_differ() {
        let packet = packet(17, &[0; 20]);
        assert_ne!(key(&words(&packet), Direction::Outbound), key(&words(&packet), Direction::Inbound));
    }

    #[test]
    fn what_cannot_be_told_apart_is_not_measured() {
        let good = packet(17, &[0; 20]);
        for (at, byte) in [(0, 0x46), (0, 0x65), (6, 0x20), (7, 1), (9, 47), (16, 224)] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert_eq!(key(&words(&bad), Direction::Outbound), 0, "byte {at} is {byte:#x}");
        }
        assert_eq!(key(&words(&packet(1, &[3; 20])), Direction::Outbound), 0, "an ICMP error");
    }

    #[test]
    fn one_in_n_is_chosen() {
        let threshold = u32::MAX / 16;
        let chosen = (0..16_000_u32)
            .filter(|sequence| {
                let mut body = [0; 20];
                body[4..8].copy_from_slice(&sequence.to_be_bytes());
                (key(&words(&packet(6, &body)), Direction::Outbound) >> 32) as u32 <= threshold
            })
            .count();
        assert!((800..1200).contains(&chosen), "{chosen} of 16000");
    }
}
