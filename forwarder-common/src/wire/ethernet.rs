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
