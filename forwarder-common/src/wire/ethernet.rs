//! Ethernet II (IEEE 802.3 §3).

/// Length of the header, bytes.
pub const LEN: usize = network_types::eth::EthHdr::LEN;

/// Length of a VLAN tag, which stands before the type, bytes.
pub const VLAN_LEN: usize = 4;

/// Offsets of the fields, bytes.
pub mod field {
    /// Destination MAC.
    pub const DST: usize = 0;
    /// Source MAC.
    pub const SRC: usize = 6;
    /// Type of what follows.
    pub const TYPE: usize = 12;
}

/// The types that `fwd` knows, as they stand in the header.
pub mod ethertype {
    /// IPv4.
    pub const IPV4: [u8; 2] = [0x08, 0x00];
    /// ARP.
    pub const ARP: [u8; 2] = [0x08, 0x06];
    /// IPv6.
    pub const IPV6: [u8; 2] = [0x86, 0xdd];
    /// A VLAN tag (IEEE 802.1Q).
    pub const VLAN: [u8; 2] = [0x81, 0x00];
    /// The outer of two VLAN tags (IEEE 802.1ad).
    pub const SERVICE_VLAN: [u8; 2] = [0x88, 0xa8];
}
