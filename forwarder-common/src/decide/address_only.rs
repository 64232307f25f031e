//! Address-only translation: protocols without ports. Whom an answer is for is known only while one
//! namespace (or the host) speaks the protocol with that destination.

mod claim;

pub use claim::{Seen, gives_way, is_hosts, noted};

/// UDP-Lite (RFC 3828): its checksum covers a pseudo-header, as UDP's does, and stands at the same place.
pub use crate::types::checksum::UDP_LITE;

/// Offset of UDP-Lite's checksum from the start of its header, bytes.
pub const UDP_LITE_CHECK: usize = 6;

/// Whether packets of `proto` survive another address: neither a checksum nor a signature of theirs covers it, except for
/// UDP-Lite's, which is updated.
///
/// IP in IP (4) and IPv6 in IP (41), GRE (47), ESP (50, in transport mode only with UDP or without inner checksums: RFC 3948
/// §2.1), EtherIP (97), IPComp (108), L2TPv3 (115), SCTP (132, whose CRC covers no address), UDP-Lite, MPLS in IP (137).
/// Not AH (51), which signs the addresses; not OSPF, PIM, VRRP and others of one link; not RSVP and HIP, which carry addresses.
#[inline(always)]
#[must_use]
pub const fn is_translatable(proto: u8) -> bool {
    matches!(proto, 4 | 41 | 47 | 50 | 97 | 108 | 115 | 132 | UDP_LITE | 137)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        decide::rewrite::{AddressRewrite, Side, Ttl},
        types::checksum,
        wire::{
            emit::{Ethernet, Packet},
            ipv4,
            l4::has_ports,
            packet::L3_OFF,
        },
    };
    use core::net::SocketAddrV4;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// A frame of UDP-Lite with both checksums.
    fn frame(addresses: [u8; 8], ports: [u8; 4], ttl: u8) -> Vec<u8> {
        let ([a, b, c, d, rest @ ..], [high, low, to @ ..]) = (addresses, ports);
        let from = SocketAddrV4::new([a, b, c, d].into(), u16::from_be_bytes([high, low]));
        let to = SocketAddrV4::new(rest.into(), u16::from_be_bytes(to));
        Packet::udp_lite(from, to).ttl(ttl).in_frame(&Ethernet::new([0; 6], [0; 6]))
    }

    /// Over the pseudo-header and the header, which the checksum covers (RFC 3828 §3.1).
    fn sum(frame: &[u8]) -> [u8; 2] {
        checksum::full(&[&frame[26..34], &[0, UDP_LITE, 0, 8], &frame[34..42]].concat())
    }

    fn rewrite_address(frame: &mut [u8], side: Side, to: [u8; 4], ttl: Ttl) {
        let ip = ipv4::parse(&&*frame, L3_OFF).unwrap();
        AddressRewrite::new(side, &ip, to, ttl).apply(frame).unwrap();
    }

    proptest! {
        #[test]
        fn rewritten_checksums_are_right_and_the_way_back_is_the_same(
            addresses: [u8; 8], ports: [u8; 4], to: [u8; 4], ttl in 2..=255_u8, source: bool,
        ) {
            let original = frame(addresses, ports, ttl);
            let side = if source { Side::Source } else { Side::Destination };
            let mut packet = original.clone();
            rewrite_address(&mut packet, side, to, Ttl::Decrement);
            prop_assert_eq!((checksum::full(&packet[14..34]), sum(&packet), packet[22]), ([0, 0], [0, 0], ttl - 1));
            let mut packet = original.clone();
            let from = if source { addresses.first_chunk::<4>() } else { addresses.last_chunk::<4>() };
            rewrite_address(&mut packet, side, to, Ttl::Keep);
            rewrite_address(&mut packet, side, *from.unwrap(), Ttl::Keep);
            // A sum of zero may be written in two ways.
            prop_assert_eq!((&packet[..24], &packet[26..40]), (&original[..24], &original[26..40]));
            prop_assert_eq!((checksum::full(&packet[14..34]), sum(&packet)), ([0, 0], [0, 0]));
        }
    }

    #[test]
    fn signed_addresses_and_ports_are_not_translated_by_address_alone() {
        assert!(!is_translatable(51), "AH signs the addresses");
        assert!((0..=255).all(|proto| !(is_translatable(proto) && has_ports(proto))));
        assert!([47, 50, 132, 136].into_iter().all(is_translatable));
    }
}
