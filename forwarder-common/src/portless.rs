//! Protocols without ports: their packets are translated by their addresses alone. Whom an answer is for is known only while one
//! namespace (or the host) speaks the protocol with that destination.

/// UDP-Lite (RFC 3828): its checksum covers a pseudo-header, as UDP's does, and stands at the same place.
pub const UDP_LITE: u8 = 136;

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
    use crate::wire::l4::has_ports;

    #[test]
    fn signed_addresses_and_ports_are_not_translated_by_address_alone() {
        assert!(!is_translatable(51), "AH signs the addresses");
        assert!((0..=255).all(|proto| !(is_translatable(proto) && has_ports(proto))));
        assert!([47, 50, 132, 136].into_iter().all(is_translatable));
    }
}
