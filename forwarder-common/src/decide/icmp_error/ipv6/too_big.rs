//! "Packet too big" (RFC 4443 §3.2), as a program tells it a namespace itself: where the kernel must not see the packet, because it would
//! send it by another interface than its flow leaves by.

use crate::{
    types::checksum::{fold, pseudo_sum_v6},
    wire::{
        ethernet::ethertype,
        icmpv6::{self, kind},
        ipv6,
        packet::PacketBytes,
    },
};

/// The smallest MTU of IPv6 (RFC 8200 §5), which no error exceeds (RFC 4443 §2.4): bytes.
pub const MINIMUM_MTU: usize = 1280;

/// What is embedded of the packet, bytes: as much as there is room for. No packet that is too big has less.
pub const EMBEDDED: usize = MINIMUM_MTU - ipv6::LEN - icmpv6::LEN;

const PAYLOAD: u16 = (icmpv6::LEN + EMBEDDED) as u16;
const HOPS: u8 = 64;

/// The frame that tells a namespace; all of it as on the wire.
#[repr(C)]
#[derive(Clone, Copy, Debug, zerocopy::IntoBytes, zerocopy::Immutable)]
pub struct Notice {
    to: [u8; 6],
    from: [u8; 6],
    ethertype: [u8; 2],
    first: [u8; 4],
    payload_len: [u8; 2],
    next_header: u8,
    hop_limit: u8,
    src: [u8; 16],
    dst: [u8; 16],
    icmp: [u8; icmpv6::LEN],
    /// The beginning of the packet that is too big, from its IPv6 header on.
    pub embedded: [u8; EMBEDDED],
}

/// Length of [`Notice`], bytes.
pub const LEN: usize = size_of::<Notice>();

/// Who is told, and by whom.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    /// Hardware address of the interface inside.
    pub mac: [u8; 6],
    /// Hardware address of the gateway, as the namespace sees it.
    pub gateway_mac: [u8; 6],
    /// Address of the interface inside.
    pub addr: [u8; 16],
    /// Address of the gateway.
    pub gateway: [u8; 16],
}

/// Whether the sender of a packet with the header `ip` is told, behind whose chain stands `proto` and, of ICMPv6, a message of this type
/// (RFC 4443 §2.4 (e)): not about an error, nor for a group, of which packet too big is the exception.
#[inline(always)]
#[must_use]
pub const fn may_tell(proto: u8, icmp_type: u8) -> bool {
    proto != icmpv6::PROTO || !icmpv6::is_error(icmp_type)
}

impl Notice {
    /// Nothing yet.
    pub const EMPTY: Self = Self {
        to: [0; 6],
        from: [0; 6],
        ethertype: [0; 2],
        first: [0; 4],
        payload_len: [0; 2],
        next_header: 0,
        hop_limit: 0,
        src: [0; 16],
        dst: [0; 16],
        icmp: [0; icmpv6::LEN],
        embedded: [0; EMBEDDED],
    };

    /// As it is sent.
    #[inline(always)]
    #[must_use]
    pub fn as_frame(&self) -> &[u8; LEN] {
        zerocopy::transmute_ref!(self)
    }

    /// Completes it around `embedded`, whose 32-bit words add up to `sum`, with the largest packet that gets through, bytes: no smaller than
    /// [`MINIMUM_MTU`], below which nobody goes (RFC 8201 §4).
    #[inline(always)]
    pub fn complete(&mut self, ends: &Ends, mtu: u32, sum: u64) {
        let least = MINIMUM_MTU as u32;
        let [m0, m1, m2, m3] = if mtu < least { least } else { mtu }.to_be_bytes();
        self.to = ends.mac;
        self.from = ends.gateway_mac;
        self.ethertype = ethertype::IPV6;
        self.first = [0x60, 0, 0, 0];
        self.payload_len = PAYLOAD.to_be_bytes();
        self.next_header = icmpv6::PROTO;
        self.hop_limit = HOPS;
        self.src = ends.gateway;
        self.dst = ends.addr;
        let pseudo = pseudo_sum_v6(ends.gateway, ends.addr, icmpv6::PROTO, PAYLOAD.into());
        let words = u64::from(u32::from_ne_bytes([kind::TOO_BIG, 0, 0, 0]))
            .wrapping_add(u32::from_ne_bytes([m0, m1, m2, m3]).into())
            .wrapping_add(u16::from_ne_bytes(pseudo).into());
        let [c0, c1] = (!fold(words.wrapping_add(sum))).to_ne_bytes();
        self.icmp = [kind::TOO_BIG, 0, c0, c1, m0, m1, m2, m3];
    }
}

/// The 32-bit words of the beginning of a packet, added up as they lie in memory.
#[must_use]
pub fn sum(embedded: &[u8; EMBEDDED]) -> u64 {
    let (words, _) = embedded.as_chunks::<4>();
    words.iter().fold(0, |sum: u64, word| sum.wrapping_add(u32::from_ne_bytes(*word).into()))
}

/// Reads what [`may_tell`] asks: the type of the message at `off`, 0 if there is none.
#[inline(always)]
#[must_use]
pub fn icmp_type<P: PacketBytes>(packet: &P, proto: u8, off: usize) -> u8 {
    if proto != icmpv6::PROTO {
        return 0;
    }
    packet.load::<1>(off).map_or(0, |[icmp_type]| icmp_type)
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddrV6, vec::Vec};

    use super::*;
    use crate::{types::checksum, wire::emit::Ipv6Packet};

    const ENDS: Ends = Ends {
        mac: [2, 0, 0, 0, 0, 7],
        gateway_mac: [2, 0x67, 10, 77, 0, 1],
        addr: [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2],
        gateway: [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    };

    fn told(mtu: u32) -> (Vec<u8>, Vec<u8>) {
        let socket = |addr: [u8; 16], port| SocketAddrV6::new(addr.into(), port, 0, 0);
        let frame = Ipv6Packet::udp(socket(ENDS.addr, 5000), socket([9; 16], 53)).payload(&[7; 1400]).emit();
        let mut notice = Notice { embedded: frame[..EMBEDDED].try_into().unwrap(), ..Notice::EMPTY };
        let sum = sum(&notice.embedded);
        notice.complete(&ENDS, mtu, sum);
        (notice.as_frame().to_vec(), frame)
    }

    #[test]
    fn the_sender_is_told_what_gets_through_and_about_which_packet() {
        let (told, frame) = told(1400);
        assert_eq!((told.len(), LEN), (14 + MINIMUM_MTU, 14 + MINIMUM_MTU));
        assert_eq!(
            (&told[..6], &told[6..12], &told[12..14]),
            (&ENDS.mac[..], &ENDS.gateway_mac[..], &[0x86, 0xdd][..])
        );
        let ip = ipv6::parse(&told.as_slice(), 14).expect("IPv6");
        assert_eq!((ip.src, ip.dst, ip.next_header), (ENDS.gateway, ENDS.addr, 58));
        assert_eq!(ip.end(), told.len());
        assert_eq!((&told[54..56], &told[58..62]), (&[2, 0][..], &1400_u32.to_be_bytes()[..]));
        assert_eq!(told[62..], frame[..EMBEDDED]);
        let pseudo = ip.pseudo_sum(58, ip.payload_len.into());
        assert_eq!(checksum::full(&[&pseudo[..], &told[54..]].concat()), [0, 0]);
    }

    #[test]
    fn nobody_is_told_to_go_below_the_smallest_mtu() {
        assert_eq!(told(1000).0[58..62], 1280_u32.to_be_bytes());
    }

    #[test]
    fn nobody_is_told_about_an_error() {
        for (proto, icmp_type, expected) in [(17, 0, true), (58, 128, true), (58, 1, false), (58, 4, false)] {
            assert_eq!(may_tell(proto, icmp_type), expected, "{proto} {icmp_type}");
        }
        assert_eq!((icmp_type(&[3_u8].as_slice(), 58, 0), icmp_type(&[3_u8].as_slice(), 17, 0)), (3, 0));
    }
}
