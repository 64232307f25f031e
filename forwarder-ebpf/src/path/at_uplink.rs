//! How a packet that arrived by an uplink is dropped, and counted.

use forwarder_common::types::verdict::{Code, DropReason};

use crate::{
    kernel::{
        counters::{self, Amount},
        packet::skb::Skb,
    },
    path::{apply::Action, validate},
};

#[inline(always)]
pub(crate) fn drop(skb: Skb, l3: usize, reason: DropReason) -> Action {
    count_here(skb, l3, reason.into());
    Action::DROP
}

#[inline(always)]
pub(crate) fn count_here(skb: Skb, l3: usize, code: Code) {
    let amount = Amount::whole(skb, l3);
    counters::fwd_count_at_uplink(skb.ifindex(), false, code, amount.packets, amount.bytes);
}

/// Whether the IP header at `l3`, which has options, asks for a source route.
#[inline(always)]
pub(crate) fn source_routed(skb: Skb, l3: usize) -> bool {
    validate::options(skb, l3) == Err(DropReason::SourceRoute.into())
}
