//! A packet at a hook of traffic control ([`skb`]) and in the driver ([`frame`]), and what is read of either.

#[macro_use]
mod fields;

pub(crate) mod anywhere;
pub(crate) mod bytes;
pub(crate) mod checksum;
pub(crate) mod frame;
pub(crate) mod options;
pub(crate) mod skb;
mod stamp;
pub(crate) mod verify_checksum;

use forwarder_common::wire::{ethernet, ipv4, l4, packet::PacketBytes as _};

use self::{bytes::Bytes, skb::Skb};

/// The Ethernet type; zero, which is none, if the frame is too short for one.
///
/// A value in either case: a `Result` leaves the type undefined in the other, and LLVM computes with it before it looks.
#[inline(always)]
pub(crate) fn ethertype(bytes: &Bytes) -> [u8; 2] {
    bytes.load(ethernet::field::TYPE).unwrap_or_default()
}

/// Offset of the network header on interfaces without link-layer header: tun, WireGuard.
pub(crate) const NO_HEADER: usize = 0;

/// The offset of the network header that a global function was given, with a bound for the verifier: 14 at most.
#[inline(always)]
pub(crate) const fn l3_off(l3: u32) -> usize {
    (l3 & 0x0f) as usize
}

/// What kind of packet an uplink has, whose network header is at `L3`: an Ethernet type.
#[inline(always)]
pub(crate) fn protocol<const L3: usize>(skb: Skb, bytes: &Bytes) -> [u8; 2] {
    if L3 == NO_HEADER { skb.protocol().to_ne_bytes() } else { ethertype(bytes) }
}

/// Length of the IP packet, of each segment of a GSO packet, bytes: what an MTU is compared with.
#[inline(always)]
pub(crate) fn wire_size(skb: Skb, ip: &ipv4::Header, l4: &l4::Header) -> u32 {
    let segment = skb.gso_size();
    if segment != 0 {
        return segment.wrapping_add(ip.len as u32).wrapping_add(l4.len as u32);
    }
    ip.total_len.into()
}

/// Whether the packet is as long as its IP header says. A total length of zero is BIG TCP's, legal on GSO packets only.
#[inline(always)]
pub(crate) fn whole(skb: Skb, ip: &ipv4::Header) -> bool {
    if ip.total_len == 0 {
        return skb.gso_size() != 0;
    }
    u32::from(ip.total_len).wrapping_add(ip.off as u32) <= skb.len()
}
