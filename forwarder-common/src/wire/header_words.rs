//! Header words: the headers of a common packet (Ethernet, IPv4 without options, not a fragment, TCP or UDP) in memory order, so that the
//! established path reads and writes each header at once. What these functions do not cover goes by [`crate::wire`] and
//! [`crate::decide::rewrite`], to the same effect. Little-endian, as the target of the programs is.

pub mod ipv6;

use crate::{
    types::{checksum::fold, direction::Direction},
    wire::l4::{Proto, tcp_flag},
};

/// Bytes that hold the headers of a UDP packet, and of a TCP packet, from the start of the frame.
pub const UDP_HEADERS: usize = 14 + 20 + 8;
/// See [`UDP_HEADERS`].
pub const TCP_HEADERS: usize = 14 + 20 + 20;

/// Offsets of the words from the start of the frame, bytes.
pub mod at {
    /// Ethernet type: 16 bits.
    pub const ETHERTYPE: usize = 12;
    /// Version, header length, type of service, total length: 32 bits.
    pub const FIRST: usize = 14;
    /// Identification, flags, fragment offset: 32 bits.
    pub const FRAGMENT: usize = 18;
    /// TTL, protocol, checksum: 32 bits.
    pub const LIFE: usize = 22;
    /// Source address: 32 bits, or both addresses: 64 bits.
    pub const SOURCE: usize = 26;
    /// Destination address: 32 bits.
    pub const DESTINATION: usize = 30;
    /// Source port: 16 bits, or both ports: 32 bits.
    pub const SOURCE_PORT: usize = 34;
    /// Destination port: 16 bits.
    pub const DESTINATION_PORT: usize = 36;
    /// Checksum of UDP: 16 bits.
    pub const UDP_CHECK: usize = 40;
    /// Length of the header and flags of TCP: 16 bits.
    pub const TCP_FLAGS: usize = 46;
    /// Checksum of TCP: 16 bits.
    pub const TCP_CHECK: usize = 50;
}

/// The Ethernet type of IPv4 as it is read.
pub const IPV4: u64 = 0x0008;

/// Whether the IP header with these words has no options and belongs to no fragment.
#[inline(always)]
#[must_use]
pub const fn is_unfragmented_without_options(first: u64, fragment: u64) -> bool {
    // More-fragments flag and offset; the reserved and the don't-fragment bits do not matter.
    first & 0xff == 0x45 && fragment & 0xff3f_0000 == 0
}

/// Length of the IP packet as the header says, bytes; 0 is BIG TCP's.
#[inline(always)]
#[must_use]
pub const fn total_len(first: u64) -> u32 {
    ((first >> 16) as u16).swap_bytes() as u32
}

/// The protocol.
#[inline(always)]
#[must_use]
pub const fn proto(life: u64) -> u8 {
    (life >> 8) as u8
}

/// Whether an address is one of multicast: see [`crate::wire::ipv4::is_multicast`].
#[inline(always)]
#[must_use]
pub const fn is_multicast(addr: u32) -> bool {
    addr & 0xf0 == 0xe0
}

/// Whether a router may forward the packet any further (RFC 1812 §5.3.1).
#[inline(always)]
#[must_use]
pub const fn ttl_allows_hop(life: u64) -> bool {
    life & 0xff > 1
}

/// The word of TTL, protocol and checksum after one hop, where the 32-bit address `old` became `new`.
#[inline(always)]
#[must_use]
pub const fn one_hop(life: u64, old: u32, new: u32) -> u64 {
    // One less in the word of TTL and protocol (RFC 1624): !1.
    let sum = (!(life >> 16) & 0xffff) + !old as u64 + new as u64 + 0xfffe;
    ((life & 0xffff) - 1) | ((!fold(sum) as u64) << 16)
}

/// Whether an IP header without options sums up with its checksum: its words, and both addresses in one.
#[inline(always)]
#[must_use]
pub const fn verify_ip_checksum(first: u64, fragment: u64, life: u64, addresses: u64) -> bool {
    let sum = first + fragment + life + (addresses & 0xffff_ffff) + (addresses >> 32);
    // Not folded to the end: of the numbers below 2^17 that are as good as all ones there are two.
    let sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
    sum == 0xffff || sum == 0x1_fffe
}

/// Length of the TCP header and its flags, of the word at [`at::TCP_FLAGS`].
#[inline(always)]
#[must_use]
pub const fn tcp(word: u64) -> (u32, u8) {
    (((word >> 4) & 0xf) as u32 * 4, (word >> 8) as u8)
}

/// Whether a segment with `flags` changes nothing about an established connection, where `seen` are the flags seen so far
/// (one byte a direction).
#[inline(always)]
#[must_use]
pub const fn is_mere_data(flags: u8, seen: u64, direction: Direction) -> bool {
    const SPECIAL: u8 = tcp_flag::SYN | tcp_flag::FIN | tcp_flag::RST;
    let [outbound, inbound] = [seen as u8, (seen >> 8) as u8];
    let before = if direction.is_inbound() { inbound } else { outbound };
    // Both FINs are for the slow path, and so is whatever follows one from outside: it may show that it was forged.
    let ended = if direction.is_inbound() { inbound } else { outbound & inbound } & tcp_flag::FIN;
    // What it acknowledges was noted.
    flags & SPECIAL == 0 && flags & tcp_flag::ACK & !before == 0 && ended == 0
}

/// Whether `proto` is one that the fast path takes.
#[inline(always)]
#[must_use]
pub const fn is_tcp_or_udp(proto: u8) -> bool {
    proto == Proto::Tcp as u8 || proto == Proto::Udp as u8
}

#[cfg(test)]
mod tests {
    use core::net::SocketAddrV4;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        decide::rewrite::{Rewrite, Side, Ttl},
        types::checksum::{self, Change, Checksum},
        wire::{
            emit::{Ethernet, Packet},
            ipv4, l4,
            packet::L3_OFF,
        },
    };

    fn word<const N: usize>(frame: &[u8], at: usize) -> u64 {
        let mut bytes = [0; 8];
        bytes[..N].copy_from_slice(&frame[at..at + N]);
        u64::from_le_bytes(bytes)
    }

    /// A frame with good checksums.
    fn frame(tcp: bool, addresses: [u8; 8], ports: [u8; 4], ttl: u8, payload: &[u8]) -> Vec<u8> {
        let ([a, b, c, d, rest @ ..], [high, low, to @ ..]) = (addresses, ports);
        let from = SocketAddrV4::new([a, b, c, d].into(), u16::from_be_bytes([high, low]));
        let to = SocketAddrV4::new(rest.into(), u16::from_be_bytes(to));
        let packet = if tcp { Packet::tcp(from, to).tcp_flags(tcp_flag::ACK) } else { Packet::udp(from, to) };
        packet.ttl(ttl).payload(payload).in_frame(&Ethernet::new([2; 6], [2; 6]))
    }

    #[test]
    fn groups_are_told_by_their_first_byte() {
        for first in 0..=u8::MAX {
            let addr = [first, 0xe0, 0xff, 0xe1];
            assert_eq!(is_multicast(u32::from_le_bytes(addr)), crate::wire::ipv4::is_multicast(addr), "{first}");
        }
    }

    proptest! {
        #[test]
        fn words_translate_as_bytes_do(
            tcp: bool, source: bool, addresses: [u8; 8], ports: [u8; 4], ttl in 2u8.., addr: [u8; 4], port: [u8; 2],
            payload in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let before = frame(tcp, addresses, ports, ttl, &payload);
            let ip = ipv4::parse(&&before[..], L3_OFF).unwrap();
            let l4 = l4::parse(&&before[..], &ip).unwrap();
            let mut expected = before.clone();
            let side = if source { Side::Source } else { Side::Destination };
            Rewrite::new(side, &ip, &l4, addr, port, Ttl::Decrement).apply(&mut expected).unwrap();

            prop_assert!(is_unfragmented_without_options(word::<4>(&before, at::FIRST), word::<4>(&before, at::FRAGMENT)));
            prop_assert_eq!(total_len(word::<4>(&before, at::FIRST)), u32::from(ip.total_len));
            let life = word::<4>(&before, at::LIFE);
            prop_assert_eq!(proto(life), ip.proto);
            let (first, fragment) = (word::<4>(&before, at::FIRST), word::<4>(&before, at::FRAGMENT));
            let addresses_word = word::<8>(&before, at::SOURCE);
            prop_assert!(verify_ip_checksum(first, fragment, life, addresses_word));
            prop_assert!(!verify_ip_checksum(first, fragment, life ^ 1, addresses_word) && !verify_ip_checksum(first ^ 0x0100, fragment, life, addresses_word));
            let (addr_at, port_at) =
                if source { (at::SOURCE, at::SOURCE_PORT) } else { (at::DESTINATION, at::DESTINATION_PORT) };
            let change = Change {
                old_addr: word::<4>(&before, addr_at) as u32,
                new_addr: u32::from_le_bytes(addr),
                old_port: word::<2>(&before, port_at) as u16,
                new_port: u16::from_le_bytes(port),
            };
            let mut after = before.clone();
            let lived = one_hop(life, change.old_addr, change.new_addr) as u32;
            after[at::LIFE..at::LIFE + 4].copy_from_slice(&lived.to_le_bytes());
            after[addr_at..addr_at + 4].copy_from_slice(&addr);
            after[port_at..port_at + 2].copy_from_slice(&port);
            let check_at = if tcp { at::TCP_CHECK } else { at::UDP_CHECK };
            let check = Checksum::new(word::<2>(&before, check_at) as u16).after(&change, ip.proto);
            after[check_at..check_at + 2].copy_from_slice(&check.raw().to_le_bytes());
            prop_assert_eq!(after, expected);
        }

        #[test]
        fn partial_checksum_stays_the_sum_over_the_pseudo_header(addresses: [u8; 8], addr: [u8; 4], length in 8u16..) {
            let sum = |addresses: [u8; 8]| {
                let full = checksum::full(&[&addresses[..], &[0, 6], &length.to_be_bytes()].concat());
                !u16::from_ne_bytes(full)
            };
            let mut translated = addresses;
            translated[..4].copy_from_slice(&addr);
            let change = Change {
                old_addr: word::<4>(&addresses, 0) as u32,
                new_addr: u32::from_le_bytes(addr),
                old_port: 1,
                new_port: 2,
            };
            prop_assert_eq!(Checksum::new(sum(addresses)).partial_after(&change, 6).raw(), sum(translated));
        }

        #[test]
        fn mere_data_changes_nothing(flags: u8, data: bool, outbound: u8, inbound: u8, number in 0u32..2) {
            use crate::{abi::FlowState, flow::{self, TRACKED, Transition}};
            // Of an established flow no reset was seen.
            let (outbound, inbound) = (outbound & TRACKED & !tcp_flag::RST, inbound & TRACKED & !tcp_flag::RST);
            let direction = Direction::of(number);
            if is_mere_data(flags, u64::from(outbound) | u64::from(inbound) << 8, direction) {
                let before = if direction.is_inbound() { inbound } else { outbound };
                prop_assert_eq!(before | flags & TRACKED, before);
                let segment = flow::Segment { flags, direction, data };
                let what = flow::advance(FlowState::Established, [outbound, inbound], segment);
                prop_assert_eq!(what, Transition::Stay);
            }
        }
    }

    #[test]
    fn data_of_a_connection_is_mere_data() {
        let seen = u64::from(tcp_flag::SYN | tcp_flag::ACK) * 0x101;
        assert!(is_mere_data(tcp_flag::ACK, seen, Direction::Outbound) && is_mere_data(0x18, seen, Direction::Inbound));
        for flags in [tcp_flag::SYN, tcp_flag::FIN | tcp_flag::ACK, tcp_flag::RST] {
            assert!(!is_mere_data(flags, seen, Direction::Outbound), "{flags}");
        }
        assert!(!is_mere_data(tcp_flag::ACK, 0, Direction::Outbound), "the first acknowledgement");
    }
}
