//! The same of IPv6: Ethernet, IPv6 without extension headers, TCP or UDP. There is no checksum of the header, and flow label and traffic
//! class stay as they are.

use super::is_tcp_or_udp;
use crate::wire::ipv6;

/// Bytes that hold the headers of a UDP packet, and of a TCP packet, from the start of the frame.
pub const UDP_HEADERS: usize = 14 + ipv6::LEN + 8;
/// See [`UDP_HEADERS`].
pub const TCP_HEADERS: usize = 14 + ipv6::LEN + 20;

/// Offsets of the words from the start of the frame, bytes.
pub mod at {
    /// Ethernet type: 16 bits.
    pub const ETHERTYPE: usize = super::super::at::ETHERTYPE;
    /// Version, traffic class, flow label: 32 bits.
    pub const FIRST: usize = 14;
    /// Length of the payload, next header, hop limit: 32 bits.
    pub const LIFE: usize = 18;
    /// Source address: 128 bits.
    pub const SOURCE: usize = 22;
    /// Destination address: 128 bits.
    pub const DESTINATION: usize = 38;
    /// Source port: 16 bits, or both ports: 32 bits.
    pub const SOURCE_PORT: usize = 54;
    /// Destination port: 16 bits.
    pub const DESTINATION_PORT: usize = 56;
    /// Checksum of UDP: 16 bits.
    pub const UDP_CHECK: usize = 60;
    /// Length of the header and flags of TCP: 16 bits.
    pub const TCP_FLAGS: usize = 66;
    /// Checksum of TCP: 16 bits.
    pub const TCP_CHECK: usize = 70;
}

/// The Ethernet type of IPv6 as it is read.
pub const IPV6: u64 = 0xdd86;

/// Whether the header with these words is one of IPv6, and that of TCP or UDP follows at once.
#[inline(always)]
#[must_use]
pub const fn is_plain(first: u64, life: u64) -> bool {
    first & 0xf0 == 0x60 && is_tcp_or_udp(next_header(life))
}

/// Length of what follows the header, bytes; 0 is BIG TCP's.
#[inline(always)]
#[must_use]
pub const fn payload_len(life: u64) -> u32 {
    (life as u16).swap_bytes() as u32
}

/// What follows the header.
#[inline(always)]
#[must_use]
pub const fn next_header(life: u64) -> u8 {
    (life >> 16) as u8
}

/// Whether a router may forward the packet any further (RFC 8200 §3).
#[inline(always)]
#[must_use]
pub const fn hop_limit_allows_hop(life: u64) -> bool {
    life >> 24 & 0xff > 1
}

/// The word of length, next header and hop limit after one hop.
#[inline(always)]
#[must_use]
pub const fn one_hop(life: u64) -> u64 {
    life - (1 << 24)
}

/// What one hop adds to a sum over the header (`CHECKSUM_COMPLETE`): its word less one in the hop limit, which is the upper byte of its
/// 16 bits.
pub const ONE_HOP_SUM: u32 = !0x0100;

/// Whether an address that begins with these eight bytes is one of multicast: see [`crate::wire::ipv6::is_multicast`].
#[inline(always)]
#[must_use]
pub const fn is_multicast(first: u64) -> bool {
    first & 0xff == 0xff
}

#[cfg(test)]
mod tests {
    use core::net::SocketAddrV6;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        decide::rewrite::{HeaderChange as _, Rewrite, Side, Ttl},
        types::checksum::{self, Checksum},
        wire::{
            emit::{Ethernet, Extension, Ipv6Packet, Sum, Transport},
            extension, ipv6,
            l4::{self, tcp_flag},
            packet::L3_OFF,
        },
    };

    fn word<const N: usize>(frame: &[u8], at: usize) -> u64 {
        let mut bytes = [0; 8];
        bytes[..N].copy_from_slice(&frame[at..at + N]);
        u64::from_le_bytes(bytes)
    }

    fn packet(tcp: bool, ends: [[u8; 16]; 2], ports: [u16; 2], hop_limit: u8, payload: &[u8]) -> Ipv6Packet {
        let [from, to] = [0, 1].map(|end| SocketAddrV6::new(ends[end].into(), ports[end], 0, 0));
        let mut packet = if tcp { Ipv6Packet::tcp(from, to) } else { Ipv6Packet::udp(from, to) };
        if let Transport::Tcp(tcp) = &mut packet.transport {
            tcp.flags = tcp_flag::ACK;
        }
        packet.payload(payload).hop_limit(hop_limit)
    }

    fn frame(packet: &Ipv6Packet) -> Vec<u8> {
        packet.in_frame(&Ethernet::new([2; 6], [2; 6]))
    }

    #[test]
    fn groups_are_told_by_their_first_byte() {
        for first in 0..=u8::MAX {
            let word = u64::from_le_bytes([first, 0xff, 0, 0xff, 0, 0xff, 0xff, 0xff]);
            assert_eq!(is_multicast(word), first == 0xff, "{first}");
        }
    }

    proptest! {
        #[test]
        fn words_translate_as_bytes_do(
            tcp: bool, source: bool, ends: [[u8; 16]; 2], ports: [u16; 2], hop_limit in 2u8.., addr: [u8; 16], port: [u8; 2], label in 0_u32..1 << 20,
            class: u8, unused: bool, payload in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut packet = packet(tcp, ends, ports, hop_limit, &payload);
            (packet.flow_label, packet.traffic_class) = (label, class);
            let packet = if unused && !tcp { packet.sum(Sum::Unused) } else { packet };
            let before = frame(&packet);
            let ip = ipv6::parse(&&before[..], L3_OFF).unwrap();
            let upper = extension::walk(&&before[..], &ip, ip.end()).unwrap();
            let l4 = l4::ipv6::parse(&&before[..], &upper, ip.end()).unwrap();
            let mut expected = before.clone();
            let side = if source { Side::Source } else { Side::Destination };
            let change = Rewrite::ipv6(side, (&ip, &upper, &l4), addr, port, Ttl::Decrement);
            change.apply(&mut expected).unwrap();

            let (first, life) = (word::<4>(&before, at::FIRST), word::<4>(&before, at::LIFE));
            prop_assert!(is_plain(first, life) && hop_limit_allows_hop(life));
            prop_assert_eq!((payload_len(life), next_header(life)), (u32::from(ip.payload_len), upper.proto));
            let (addr_at, port_at) =
                if source { (at::SOURCE, at::SOURCE_PORT) } else { (at::DESTINATION, at::DESTINATION_PORT) };
            let mut after = before.clone();
            after[at::LIFE..at::LIFE + 4].copy_from_slice(&(one_hop(life) as u32).to_le_bytes());
            after[addr_at..addr_at + 16].copy_from_slice(&addr);
            after[port_at..port_at + 2].copy_from_slice(&port);
            let (old_port, new_port) = (word::<2>(&before, port_at), u64::from(u16::from_le_bytes(port)));
            let (old_addr, _) = change.header.addresses();
            prop_assert_eq!(old_addr, checksum::folded(before[addr_at..addr_at + 16].try_into().unwrap()));
            let sum = u64::from(checksum::delta(change.header.old_addr, addr)) + (!old_port & 0xffff) + new_port;
            let check_at = if tcp { at::TCP_CHECK } else { at::UDP_CHECK };
            let check = Checksum::new(word::<2>(&before, check_at) as u16).plus(sum, true, upper.proto);
            after[check_at..check_at + 2].copy_from_slice(&check.raw().to_le_bytes());
            prop_assert_eq!(after, expected);
        }

        #[test]
        fn a_sum_over_the_header_follows_the_hop(first: u32, life in 2_u32 << 24..) {
            let sum = |life: u64| u64::from(first) + life;
            let after = sum(life.into()) + u64::from(ONE_HOP_SUM);
            prop_assert_eq!(checksum::fold(after), checksum::fold(sum(one_hop(life.into()))));
        }
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_slow_path() {
        let ends = [[1; 16], [2; 16]];
        let words = |packet: &Ipv6Packet| {
            let bytes = frame(packet);
            (word::<4>(&bytes, at::FIRST), word::<4>(&bytes, at::LIFE))
        };
        let plain = |packet: &Ipv6Packet| {
            let (first, life) = words(packet);
            is_plain(first, life)
        };
        let udp = packet(false, ends, [1, 2], 64, &[]);
        assert!(plain(&udp));
        for extension in [Extension::HopByHop(std::vec![]), Extension::Fragment { start: 0, more: true, id: 1 }] {
            assert!(!plain(&udp.clone().extension(extension)));
        }
        assert!(!plain(&Ipv6Packet::echo(ends[0].into(), ends[1].into(), 1)));
        let (first, life) = words(&udp);
        assert!(!is_plain(first ^ 0x20, life), "version 4");
        for (hop_limit, expected) in [(0, false), (1, false), (2, true), (255, true)] {
            assert_eq!(hop_limit_allows_hop(words(&udp.clone().hop_limit(hop_limit)).1), expected, "{hop_limit}");
        }
    }
}
