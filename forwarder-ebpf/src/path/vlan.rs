//! Frames with a VLAN tag at an uplink: they belong to a VLAN interface above it, or to whoever wrote them.
//!
//! The tag stands beside the data, which then looks like an untagged frame's (always so on the way in, and on the way out from
//! a VLAN interface), or in the data (raw sockets).

use forwarder_common::{
    abi::Addr,
    decide::validate,
    types::verdict::{Code, DropReason},
    wire::{
        ethernet::{VLAN_LEN, ethertype, field},
        ipv4, ipv6,
        packet::{L3_OFF, PacketBytes as _},
    },
};

use crate::{
    kernel::{
        counters::{self, Amount},
        packet::skb::Skb,
        records::any_announced,
    },
    path::{
        apply::Action,
        at_uplink,
        networks::{in_fwd_network, in_fwd_network_v6},
        transit,
    },
};

/// Whether a frame that came in belongs to a VLAN. A tag with number 0 is only a priority (IEEE 802.1Q §9.6).
#[inline(always)]
pub(crate) fn is_tagged(skb: Skb) -> bool {
    skb.vlan_present() != 0 && skb.vlan_tci() & 0x0fff != 0
}

/// A frame that arrived with more tags than one, or with one that the kernel has not put beside the data: left alone, unless the kernel
/// would strip them and find an address of a network of `fwd`.
#[inline(always)]
pub(crate) fn arrives(skb: Skb) -> Action {
    match fwd_judge_tags(skb) {
        Ok(()) => Action::NEXT,
        Err(code) => {
            at_uplink::count_here(skb, L3_OFF, code);
            Action::DROP
        }
    }
}

/// A tagged frame on its way out: untouched, but that of an endpoint does not leave.
#[inline(always)]
pub(crate) fn leaves(skb: Skb) -> Action {
    if !fwd_carries_endpoint(skb) {
        return Action::NEXT;
    }
    let amount = Amount::whole(skb, L3_OFF);
    let code = DropReason::Untranslated.into();
    counters::fwd_count_at_uplink(skb.ifindex(), true, code, amount.packets, amount.bytes);
    Action::DROP
}

global_fn! {
    /// See [`carries_endpoint`].
    fn fwd_carries_endpoint(skb: Skb) -> bool = carries_endpoint;
    /// See [`judge_tags`].
    fn fwd_judge_tags(skb: Skb) -> Result<(), Code> = judge_tags;
    /// See [`behind`].
    fn fwd_vlan_behind(skb: Skb, off: u32) -> u32 = behind;
    /// See [`is_network_v6_at`].
    fn fwd_is_network_v6_at(skb: Skb, off: u32) -> bool = is_network_v6_at;
}

/// Tags with number 0 that are looked through: nobody means more.
const PRIORITY_TAGS: u32 = 4;

/// Judges what stands behind tags with number 0. The kernel strips one after another, behind the programs at this hook
/// (`__netif_receive_skb_core` in net/core/dev.c), and receives what is left as if it had never been tagged.
#[inline(always)]
fn judge_tags(skb: Skb) -> Result<(), Code> {
    let mut off = field::TYPE as u32;
    let mut tags = 0u32;
    while tags <= PRIORITY_TAGS {
        let found = fwd_vlan_behind(skb, off);
        if found & PRIORITY == 0 {
            validate::foreign(found & SOURCE != 0, found & DESTINATION != 0)?;
            if found & ANNOUNCED != 0 && transit::fwd_is_for_announced(skb, off.wrapping_add(2)) {
                return Err(DropReason::Announced.into());
            }
            if found & ELSEWHERE != 0 {
                // Counted if it is refused, and left alone all the same.
                transit::fwd_refuse_transit(skb, off.wrapping_add(2));
            }
            return Ok(());
        }
        off = off.wrapping_add(VLAN_LEN as u32);
        tags = tags.wrapping_add(1);
    }
    Err(DropReason::Vlan.into())
}

/// Whether the packet behind at most two tags has the address of an endpoint as its source.
#[inline(always)]
fn carries_endpoint(skb: Skb) -> bool {
    let mut off = field::TYPE as u32;
    let mut tags = 0u32;
    while tags <= 2 {
        let found = fwd_vlan_behind(skb, off);
        if found & TAG == 0 {
            return found & SOURCE != 0;
        }
        off = off.wrapping_add(VLAN_LEN as u32);
        tags = tags.wrapping_add(1);
    }
    false
}

/// What [`behind`] finds: a packet with the source, or the destination, in a network of `fwd`; a tag, one with number 0.
const SOURCE: u32 = 1 << 0;
const DESTINATION: u32 = 1 << 1;
const TAG: u32 = 1 << 2;
const PRIORITY: u32 = 1 << 3;
/// IPv4 that may be for somebody else: see [`transit::is_possible`].
const ELSEWHERE: u32 = 1 << 4;
/// IPv4, while addresses are announced.
const ANNOUNCED: u32 = 1 << 5;

/// What the Ethernet type at `off` announces: none of what [`SOURCE`] and the others say is 0.
#[inline(always)]
fn behind(skb: Skb, off: u32) -> u32 {
    let bytes = skb.all_headers();
    let off = (off & 0x3f) as usize;
    let found: [u8; 2] = bytes.load(off).unwrap_or_default();
    let behind = off.wrapping_add(2);
    let bits = |source, destination| if source { SOURCE } else { 0 } | if destination { DESTINATION } else { 0 };
    if found == ethertype::IPV4 {
        let source: [u8; 4] = bytes.load(behind.wrapping_add(ipv4::field::SRC)).unwrap_or_default();
        let destination: [u8; 4] = bytes.load(behind.wrapping_add(ipv4::field::DST)).unwrap_or_default();
        let elsewhere = if transit::is_possible(u32::from_ne_bytes(destination)) { ELSEWHERE } else { 0 };
        let announced = if any_announced() { ANNOUNCED } else { 0 };
        return bits(in_fwd_network(source), in_fwd_network(destination)) | elsewhere | announced;
    }
    if found == ethertype::IPV6 {
        let source = fwd_is_network_v6_at(skb, behind.wrapping_add(ipv6::field::SRC) as u32);
        return bits(source, fwd_is_network_v6_at(skb, behind.wrapping_add(ipv6::field::DST) as u32));
    }
    if found != ethertype::VLAN && found != ethertype::SERVICE_VLAN {
        return 0;
    }
    match bytes.load::<2>(behind) {
        Ok([high, low]) if high & 0x0f | low == 0 => TAG | PRIORITY,
        _ => TAG,
    }
}

/// Whether the IPv6 address at `off` is of a network of `fwd`.
#[inline(always)]
fn is_network_v6_at(skb: Skb, off: u32) -> bool {
    let addr: Addr = skb.linear().load((off & 0x7f) as usize).unwrap_or_default();
    in_fwd_network_v6(addr)
}
