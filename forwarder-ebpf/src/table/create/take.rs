//! Takes a slot for a new flow, and fills it.

use forwarder_common::{
    abi::{FlowHalf, FlowSlot, FlowState, FlowVersion, Tuple, flow_kind},
    types::verdict::DropReason,
};

use crate::{
    kernel::{
        clock::now,
        maps::{FLOW_FREE, OPENING, config},
        scratch::{Opening, scratch},
        slots, values,
    },
    table::{evict, making::Making},
};

global_fn! {
    /// See [`take`].
    pub(crate) fn fwd_slot_take(tuple: &Tuple) -> (u32, FlowVersion) = take;
}

/// Takes a slot and fills it but for the port. Returns the slot and its version; or the code of a [`DropReason`] and no version.
#[inline(always)]
fn take(tuple: &Tuple) -> (u32, FlowVersion) {
    let refused = |reason: DropReason| (reason as u32, FlowVersion::NONE);
    let Some(opening) = scratch(&OPENING) else { return refused(DropReason::Contended) };
    match take_slot(opening) {
        Ok(index) => match fill(Making::taken(index), tuple, opening) {
            Some(version) => (index, version),
            None => refused(DropReason::TableFull),
        },
        Err(reason) => refused(reason),
    }
}

/// Takes a slot that nobody uses, if need be after evicting a pending flow. If too many are established, one that nobody answers gives its
/// place among them; where there is none, the newcomer stays half-open until there is room.
#[inline(always)]
fn take_slot(opening: &Opening) -> Result<u32, DropReason> {
    let (Some(alloc), Some(config)) = (values::alloc(), config()) else { return Err(DropReason::TableFull) };
    if alloc.established().read() >= config.max_flows {
        evict::one_way_flow(opening.counters);
    }
    if opening.endpoint != 0
        && let Some(flows) = values::flows_of(opening.counters)
        && flows.established().read() as i32 >= config.max_flows_per_endpoint as i32
    {
        return Err(DropReason::EndpointFull);
    }
    if alloc.next_unused().read() < config.slots {
        let index = alloc.next_unused().fetch_add(1);
        if index < config.slots {
            return Ok(index);
        }
        // Another CPU took the last one, and none is beyond.
        alloc.next_unused().write(config.slots);
    }
    if let Some(index) = take_freed() {
        return Ok(index);
    }
    // Another CPU may take what was freed for us: once more, then.
    if evict::pending_flow(opening.counters)
        && let Some(index) = take_freed()
    {
        return Ok(index);
    }
    evict::pending_flow(opening.counters);
    take_freed().ok_or(DropReason::TableFull)
}

#[inline(always)]
fn take_freed() -> Option<u32> {
    FLOW_FREE.pop().ok().flatten()
}

/// An MTU as a flow holds it: no IPv4 packet is longer.
#[inline(always)]
fn stored_mtu(mtu: u32) -> u16 {
    if mtu > u32::from(u16::MAX) { u16::MAX } else { mtu as u16 }
}

/// Writes everything but the claimed port. Returns the version of the slot while the flow is being made.
#[inline(always)]
fn fill(making: Making, tuple: &Tuple, opening: &Opening) -> Option<FlowVersion> {
    let slot = slots::slot(making.index())?;
    let version = slot.version().read_in_order().with_state(FlowState::Making);
    slot.version().write(version);
    let now = now();
    // Before all else: see [`forwarder_common::flow::slot::renew`].
    slot.route_checked().write(now);
    // Words that are adjacent, one by one: LLVM calls functions that copy and clear them byte by byte.
    let (out, back) = (slot.outbound(), slot.inbound());
    back.tuple().clear();
    for (half, hop) in [(out, opening.hop), (back, opening.macs)] {
        half.hop().write(hop);
        half.packets().write(0);
        half.bytes().write(0);
    }
    slot.next_hop().write(opening.next_hop);
    let FlowSlot { outbound, inbound, shared } = making.fill()?;
    let FlowHalf { tuple: enters, addr, port, mtu, out_if, hop: _, counters, uplink_counters, packets: _, bytes: _ } =
        outbound;
    *enters = *tuple;
    *addr = opening.nat_addr;
    *port = [0, 0];
    *mtu = stored_mtu(opening.mtu);
    *out_if = opening.uplink;
    *counters = opening.counters as u16;
    *uplink_counters = opening.counters_out as u16;
    let FlowHalf { tuple: _, addr, port, mtu, out_if, hop: _, counters, uplink_counters, packets: _, bytes: _ } =
        inbound;
    *addr = tuple.saddr;
    *port = tuple.sport;
    *mtu = stored_mtu(opening.endpoint_mtu);
    *out_if = opening.endpoint;
    *counters = opening.counters as u16;
    *uplink_counters = opening.counters_in as u16;
    shared.last_seen = now;
    shared.created = now;
    shared.endpoint = opening.endpoint;
    shared.counters = opening.counters;
    shared.tcp_flags = [opening.tcp_flags as u8, 0];
    shared.syn_at = 0;
    shared.handshake_rtt = 0;
    shared.held = 0;
    shared.arrives_by = opening.uplink;
    shared.kind = if opening.endpoint == 0 {
        flow_kind::HOST
    } else if opening.inbound == 0 {
        flow_kind::ENDPOINT
    } else {
        flow_kind::INBOUND
    };
    Some(version)
}
