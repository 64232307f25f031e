//! Ethernet frames, VLAN tags, and questions and answers of ARP.

use alloc::vec::Vec;

use crate::wire::ethernet::{LEN, ethertype};

/// An Ethernet header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ethernet {
    /// Destination MAC.
    pub dst: [u8; 6],
    /// Source MAC.
    pub src: [u8; 6],
    /// VLAN tags, the outer one first.
    pub tags: Vec<[u8; 4]>,
}

impl Ethernet {
    /// Without a VLAN tag.
    #[must_use]
    pub const fn new(dst: [u8; 6], src: [u8; 6]) -> Self {
        Self { dst, src, tags: Vec::new() }
    }

    /// Inside the others, a tag of this type and with this number.
    #[must_use]
    pub fn tagged(mut self, kind: [u8; 2], vlan: u16) -> Self {
        let ([first, second], [high, low]) = (kind, vlan.to_be_bytes());
        self.tags.push([first, second, high, low]);
        self
    }

    /// The way back: ends swapped.
    #[must_use]
    pub fn reversed(&self) -> Self {
        Self { dst: self.src, src: self.dst, tags: self.tags.clone() }
    }

    /// A frame of this type around `payload`.
    #[must_use]
    pub fn around(&self, ethertype: [u8; 2], payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::with_capacity(LEN.saturating_add(payload.len()));
        frame.extend([self.dst, self.src].as_flattened());
        frame.extend(self.tags.as_flattened());
        frame.extend(ethertype);
        frame.extend(payload);
        frame
    }
}

/// A question or an answer of ARP about an IPv4 address on Ethernet (RFC 826).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// Length of a hardware address: 6.
    pub hardware_length: u8,
    /// 1 for a question, 2 for an answer.
    pub operation: u16,
    /// MAC and address of the sender.
    pub sender: ([u8; 6], [u8; 4]),
    /// MAC and address of the target.
    pub target: ([u8; 6], [u8; 4]),
}

impl Arp {
    /// Who has `address`?
    #[must_use]
    pub const fn question(sender: ([u8; 6], [u8; 4]), address: [u8; 4]) -> Self {
        Self { hardware_length: 6, operation: 1, sender, target: ([0; 6], address) }
    }

    /// The packet.
    #[must_use]
    pub fn emit(&self) -> Vec<u8> {
        let Self { hardware_length, operation, sender, target } = *self;
        let mut bytes = Vec::new();
        // Ethernet, IPv4.
        bytes.extend([0, 1, 8, 0, hardware_length, 4]);
        bytes.extend(operation.to_be_bytes());
        for (mac, address) in [sender, target] {
            bytes.extend(mac);
            bytes.extend(address);
        }
        bytes
    }

    /// The packet in an Ethernet frame.
    #[must_use]
    pub fn in_frame(&self, ethernet: &Ethernet) -> Vec<u8> {
        ethernet.around(ethertype::ARP, &self.emit())
    }
}
