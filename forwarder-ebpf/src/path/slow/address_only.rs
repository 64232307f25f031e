//! The host's own packets of protocols without ports. The host wins: what it speaks with a destination, no endpoint does.

use forwarder_common::{
    abi::{SLOT_NONE, Tuple},
    decide::address_only::is_translatable,
    flow::inbound,
    types::direction::Direction,
};

use crate::{
    kernel::{packet::skb::Skb, slots},
    table::{
        lookup::{self, slot_of},
        slot,
        usage::any_address_only,
    },
};

/// What [`of_host`] returns besides a slot: the host needs a flow.
pub(crate) const OPEN: u32 = 1 << 30;

/// A packet of the host itself: it claims the answers, and ends the flow of an endpoint that had them. Returns the slot of its
/// flow, [`SLOT_NONE`] if it is none of ours, or [`OPEN`].
#[inline(always)]
pub(crate) fn of_host(skb: Skb, tuple: &Tuple) -> u32 {
    if !is_translatable(tuple.proto) || !any_address_only() {
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
    let Some(holder) = lookup::claimant(reply) else { return };
    if let Some(slot) = slots::slot(holder) {
        slot::fwd_flow_end(holder, slot.version().read());
    }
}
