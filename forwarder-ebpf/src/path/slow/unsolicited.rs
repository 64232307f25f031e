//! Packets from outside that begin a flow, where a network lets anyone write to its mapped ports (RFC 4787 REQ-8).

use forwarder_common::{
    abi::{External, FlowState, SLOT_NONE, Tuple},
    decide::unsolicited,
    types::direction::Direction,
};

use crate::{
    kernel::{
        devices,
        maps::{EXTERNAL, INBOUND},
        packet::skb::Skb,
        records,
        scratch::scratch,
        shared::Shared,
        sock::fwd_host_uses,
    },
    path::route,
    table::{lookup, slot},
};

/// A packet from outside with `tuple` that belongs to no flow: if it is for a mapping that lets anyone in (RFC 4787 REQ-8),
/// makes the flow. Returns its slot, or 0.
#[inline(always)]
pub(crate) fn open(skb: Skb, tuple: &Tuple, tcp_flags: u8) -> u32 {
    if !fwd_unsolicited(skb, tuple, tcp_flags.into()) {
        return SLOT_NONE;
    }
    let Some(out) = scratch(&INBOUND) else { return SLOT_NONE };
    let slot = route::open_inbound(skb, out);
    if slot == SLOT_NONE { SLOT_NONE } else { fwd_opened_for(tuple, slot) }
}

global_fn! {
    /// See [`opened_for`].
    fn fwd_opened_for(tuple: &Tuple, slot: u32) -> u32 = opened_for;
    /// See [`begins`].
    fn fwd_unsolicited(skb: Skb, tuple: &Tuple, tcp_flags: u32) -> bool = begins;
}

/// The slot of a flow that was opened for a packet from outside with `tuple`, if that is its flow; otherwise the mapping has changed
/// meanwhile, nobody needs the flow, and the result is 0.
#[inline(always)]
fn opened_for(tuple: &Tuple, slot: u32) -> u32 {
    let Some(out) = scratch(&INBOUND) else { return SLOT_NONE };
    if !lookup::matches(Direction::Inbound, slot, tuple).is_none() {
        return slot;
    }
    let version = lookup::matches(Direction::Outbound, slot, out);
    if version.state() as u8 == FlowState::HalfOpen as u8 {
        slot::fwd_flow_end(slot, version);
    }
    SLOT_NONE
}

/// Whether a packet from outside with `tuple` may begin a flow; its outbound tuple is then in the map `INBOUND`.
///
/// Nothing is let in that a socket of the host would get: here the look-up finds those bound to the uplink, too.
#[inline(always)]
fn begins(skb: Skb, tuple: &Tuple, tcp_flags: u32) -> bool {
    let Some(out) = scratch(&INBOUND) else { return false };
    if !unsolicited::may_begin(tuple.proto, tcp_flags as u8) {
        return false;
    }
    let external = External { addr: tuple.daddr, port: tuple.dport, proto: tuple.proto, _pad: 0 };
    // It may be recycled meanwhile: what is made of it is compared with `tuple` at the end.
    let Some(mapping) = Shared::value(&EXTERNAL, &external) else { return false };
    let internal = mapping.internal().read();
    let Some(endpoint) = records::endpoint(internal.endpoint) else { return false };
    let is_open = unsolicited::is_open(endpoint.flags, &internal, skb.ifindex());
    if !is_open || !devices::fwd_is_there(internal.endpoint) || fwd_host_uses(skb, tuple) {
        return false;
    }
    *out = unsolicited::outbound(tuple, &internal);
    true
}
