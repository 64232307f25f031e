//! One file per hook: a packet's way from top to bottom.

mod address_only;
mod at_ns;
mod at_uplink;
mod fast;
mod fragment_records;
mod fragments;
mod from_ns;
mod from_uplink;
mod handshake;
mod icmp_error;
mod send;
mod to_network;
mod to_uplink;
mod unsolicited;
mod validate;
mod verify_checksum;
mod vlan;

pub(crate) use from_ns::{from_ns, from_ns_slow};
pub(crate) use from_uplink::{from_uplink, from_uplink_slow};
pub(crate) use to_network::to_network;
pub(crate) use to_uplink::{to_uplink, to_uplink_l3, to_uplink_slow};

use forwarder_common::{
    abi::Hook,
    packet::PacketBytes as _,
    verdict::DropReason,
    wire::{ethernet, ipv4, l4},
};

use crate::{
    apply::Action,
    maps::SLOW_PATH,
    skb::{Bytes, Skb},
};

/// Goes on in the program of the slow path. A program of its own: the fast path alone needs fewer registers and a smaller stack,
/// and each is verified by itself. The control plane fills the map before it attaches anything; the kernel empties it when nothing
/// holds it any more, pin or program's loader. Then nothing of a namespace passes; what is the host's at an uplink does.
#[inline(always)]
fn tail_call(skb: Skb, hook: Hook) -> Action {
    // SAFETY: the programs in the map are of the same type, and get the same context.
    unsafe { SLOW_PATH.tail_call(&skb, hook as u32) };
    match hook {
        Hook::FromNs => {
            at_ns::count_here(skb, DropReason::Contended.into());
            Action::DROP
        }
        Hook::FromUplink => Action::NEXT,
        Hook::ToUplink => vlan::leaves(skb),
    }
}

/// The Ethernet type; zero, which is none, if the frame is too short for one.
///
/// A value in either case: a `Result` leaves the type undefined in the other, and LLVM computes with it before it looks.
#[inline(always)]
fn ethertype(bytes: &Bytes) -> [u8; 2] {
    bytes.load(ethernet::field::TYPE).unwrap_or_default()
}

/// Offset of the network header on interfaces without link-layer header: tun, WireGuard.
pub(crate) const NO_HEADER: usize = 0;

/// The offset of the network header that a global function was given, with a bound for the verifier: 14 at most.
#[inline(always)]
const fn l3_off(l3: u32) -> usize {
    (l3 & 0x0f) as usize
}

/// What kind of packet an uplink has, whose network header is at `L3`: an Ethernet type.
#[inline(always)]
fn protocol<const L3: usize>(skb: Skb, bytes: &Bytes) -> [u8; 2] {
    if L3 == NO_HEADER { skb.protocol().to_ne_bytes() } else { ethertype(bytes) }
}

/// Length of the IP packet, of each segment of a GSO packet, bytes: what an MTU is compared with.
#[inline(always)]
fn wire_size(skb: Skb, ip: &ipv4::Header, l4: &l4::Header) -> u32 {
    let segment = skb.gso_size();
    if segment != 0 {
        return segment.wrapping_add(ip.len as u32).wrapping_add(l4.len as u32);
    }
    ip.total_len.into()
}

/// Whether the packet is as long as its IP header says. A total length of zero is BIG TCP's, legal on GSO packets only.
#[inline(always)]
fn whole(skb: Skb, ip: &ipv4::Header) -> bool {
    if ip.total_len == 0 {
        return skb.gso_size() != 0;
    }
    u32::from(ip.total_len).wrapping_add(ip.off as u32) <= skb.len()
}
