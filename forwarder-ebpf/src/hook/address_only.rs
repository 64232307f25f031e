//! The host's own packets of protocols without ports. The host wins: what it speaks with a destination, no endpoint does.

use forwarder_common::{
    abi::{SLOT_NONE, Tuple},
    address_only::is_translatable,
    direction::Direction,
    flow::inbound,
};

use super::fragments::{OPEN, slot_of};
use crate::{
    flow::slot,
    maps::{FLOW_ALLOC, FLOW_INDEX, FLOW_SLOTS},
    skb::Skb,
};

/// Whether there is any flow of a protocol without ports: otherwise nobody looks for one.
#[inline(always)]
pub(super) fn any() -> bool {
    let Some(alloc) = FLOW_ALLOC.get_ptr(0) else { return false };
    // SAFETY: an aligned word of the element of the map.
    (unsafe { (&raw const (*alloc).address_only).read_volatile() }) != 0
}

/// A packet of the host itself: it claims the answers, and ends the flow of an endpoint that had them. Returns the slot of its
/// flow, [`SLOT_NONE`] if it is none of ours, or [`OPEN`].
#[inline(always)]
pub(super) fn of_host(skb: Skb, tuple: &Tuple) -> u32 {
    if !is_translatable(tuple.proto) || !any() {
        return SLOT_NONE;
    }
    match slot_of(Direction::Outbound, tuple) {
        0 => {
            end_claim(&inbound(tuple, skb.ifindex()));
            OPEN
        }
        slot => slot,
    }
}

/// Ends the flow that has claimed `reply`, if there is one.
#[inline(always)]
fn end_claim(reply: &Tuple) {
    let Some(holder) = FLOW_INDEX.get_ptr(reply) else { return };
    // SAFETY: an aligned word of a map value.
    let holder = unsafe { holder.read_volatile() };
    let Some(slot) = FLOW_SLOTS.get_ptr(holder) else { return };
    // SAFETY: as above.
    let version = unsafe { (&raw const (*slot).shared.version).read_volatile() };
    slot::fwd_flow_end(holder, version.raw());
}
