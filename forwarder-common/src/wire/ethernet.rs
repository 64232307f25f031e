//! Ethernet II (IEEE 802.3 §3).

use network_types::{eth::EthHdr, vlan::VlanHdr};

/// Length of the header, bytes.
pub const LEN: usize = EthHdr::LEN;

/// Length of a VLAN tag, which stands before the type, bytes.
pub const VLAN_LEN: usize = VlanHdr::LEN;

/// Offsets of the fields, bytes.
pub mod field {
    use core::mem::offset_of;

    use super::EthHdr;

    /// Destination MAC.
    pub const DST: usize = offset_of!(EthHdr, dst_addr);
    /// Source MAC.
    pub const SRC: usize = offset_of!(EthHdr, src_addr);
    /// Type of what follows.
    pub const TYPE: usize = offset_of!(EthHdr, ether_type);
}

/// Both addresses, as a frame begins with them: to whom, and from whom.
#[inline(always)]
#[must_use]
pub const fn addresses([a, b, c, d, e, f]: [u8; 6], [g, h, i, j, k, l]: [u8; 6]) -> [u8; 12] {
    [a, b, c, d, e, f, g, h, i, j, k, l]
}

/// The hardware address of a group of IPv4 (RFC 1112 §6.4): 32 groups share one.
#[inline(always)]
#[must_use]
pub const fn of_group_v4([_, b, c, d]: [u8; 4]) -> [u8; 6] {
    [0x01, 0x00, 0x5e, b & 0x7f, c, d]
}

/// The hardware address of a group of IPv6 (RFC 2464 §7).
#[inline(always)]
#[must_use]
pub const fn of_group_v6([.., a, b, c, d]: [u8; 16]) -> [u8; 6] {
    [0x33, 0x33, a, b, c, d]
}

/// The types that `fwd` knows, as they stand in the header.
pub mod ethertype {
    use network_types::eth::EtherType;

    /// IPv4.
    pub const IPV4: [u8; 2] = (EtherType::Ipv4 as u16).to_ne_bytes();
    /// ARP.
    pub const ARP: [u8; 2] = (EtherType::Arp as u16).to_ne_bytes();
    /// IPv6.
    pub const IPV6: [u8; 2] = (EtherType::Ipv6 as u16).to_ne_bytes();
    /// A VLAN tag (IEEE 802.1Q).
    pub const VLAN: [u8; 2] = (EtherType::Ieee8021q as u16).to_ne_bytes();
    /// The outer of two VLAN tags (IEEE 802.1ad).
    pub const SERVICE_VLAN: [u8; 2] = (EtherType::Ieee8021ad as u16).to_ne_bytes();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_the_hardware_addresses_of_the_rfcs() {
        assert_eq!(of_group_v4([224, 0, 0, 251]), [0x01, 0, 0x5e, 0, 0, 251]);
        assert_eq!(of_group_v4([239, 129, 2, 3]), [0x01, 0, 0x5e, 1, 2, 3], "23 bits");
        let mdns: std::net::Ipv6Addr = "ff02::1:fb".parse().expect("an address");
        assert_eq!(of_group_v6(mdns.octets()), [0x33, 0x33, 0, 1, 0, 0xfb]);
    }
}
