//! Addresses behind which namespaces appear and which the host does not have (`--announce`). The kernel answers for none of them, and would send
//! on what comes for them: so the programs answer who asks for one by ARP, and keep from the kernel what is of no flow.

use forwarder_common::{
    decide::validate::{ARP_TARGET, arp_answer},
    types::verdict::DropReason,
    wire::{ethernet::ethertype, packet::PacketBytes as _},
};

use crate::{
    kernel::{
        packet::{NO_HEADER, protocol, skb::Skb},
        records::{announced_at, any_announced, uplink},
    },
    path::{apply::Action, at_uplink::count_here, transit::fwd_is_for_announced, vlan},
};

global_fn! {
    /// See [`answer`].
    fn fwd_answer_for_announced(skb: Skb) -> bool = answer;
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
    // One after the other: of both at once LLVM keeps a word on the stack that may not be set, which the verifier refuses.
    let Ok(target) = bytes.load::<4>(ARP_TARGET) else { return false };
    let Some(uplink) = uplink(skb.ifindex()) else { return false };
    let mac = uplink.mac;
    if announced_at(target) != Some(skb.ifindex()) {
        return false;
    }
    arp_answer(&bytes, mac, target).is_some_and(|answer| bytes.store(0, answer).is_ok())
}

/// What becomes of a packet that arrived by an uplink, its network header at `L3`, and was to be treated so: what is left to the kernel for an announced
/// address is dropped.
#[inline(always)]
pub(crate) fn kept_from_host<const L3: usize>(skb: Skb, action: Action) -> Action {
    if !action.is_next() || !any_announced() || L3 != NO_HEADER && vlan::is_tagged(skb) {
        return action;
    }
    if protocol::<L3>(skb, &skb.headers()) != ethertype::IPV4 || !fwd_is_for_announced(skb, L3 as u32) {
        return action;
    }
    count_here(skb, L3, DropReason::Announced.into());
    Action::DROP
}
