//! Addresses behind which namespaces appear and which the host does not have (`--announce`). The kernel answers for none of them, and would send
//! on what comes for them: so the programs answer who asks for one by ARP, and keep from the kernel what is of no flow.

use forwarder_common::{
    decide::validate::{ARP_TARGET, arp_answer},
    types::verdict::DropReason,
    wire::{
        ethernet::ethertype,
        ipv4,
        packet::{L3_OFF, PacketBytes as _},
    },
};

use crate::{
    kernel::{
        packet::{ethertype, skb::Skb},
        records::{announced_at, any_announced, uplink},
    },
    path::{apply::Action, at_uplink::count_here},
};

global_fn! {
    /// See [`answer`].
    fn fwd_answer_for_announced(skb: Skb) -> bool = answer;
    /// See [`refuse`].
    fn fwd_refuse_announced(skb: Skb) -> bool = refuse;
}

/// An ARP frame that arrives by an uplink: a request for an address that is announced there is answered, all else is the host's.
#[inline(always)]
pub(crate) fn arp(skb: Skb) -> Action {
    if any_announced() && fwd_answer_for_announced(skb) { Action::device(skb.ifindex()) } else { Action::NEXT }
}

/// Makes the answer of such a request. Whether it did.
#[inline(always)]
fn answer(skb: Skb) -> bool {
    let bytes = skb.linear();
    let (Ok(target), Some(uplink)) = (bytes.load::<4>(ARP_TARGET), uplink(skb.ifindex())) else { return false };
    let mac = uplink.mac;
    if announced_at(target) != Some(skb.ifindex()) {
        return false;
    }
    arp_answer(&bytes, mac, target).is_some_and(|answer| bytes.store(0, answer).is_ok())
}

/// What becomes of a packet that arrived by an uplink with a link-layer header and was to be treated so: what is left to the kernel for an
/// announced address is dropped.
#[inline(always)]
pub(crate) fn kept_from_host(skb: Skb, action: Action) -> Action {
    if action.is_next() && any_announced() && fwd_refuse_announced(skb) { Action::DROP } else { action }
}

/// Whether the packet is for an announced address; it is counted as dropped then.
#[inline(always)]
fn refuse(skb: Skb) -> bool {
    let bytes = skb.linear();
    if skb.vlan_present() != 0 || ethertype(&bytes) != ethertype::IPV4 {
        return false;
    }
    let Ok(destination) = bytes.load::<4>(L3_OFF.wrapping_add(ipv4::field::DST)) else { return false };
    if announced_at(destination).is_none() {
        return false;
    }
    count_here(skb, L3_OFF, DropReason::Announced.into());
    true
}
