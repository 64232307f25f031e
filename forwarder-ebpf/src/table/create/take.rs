//! Takes a slot for a new flow, and fills it.

use forwarder_common::{
    abi::{FlowHalf, FlowState, FlowVersion, Tuple, flow_kind},
    types::verdict::DropReason,
};

use crate::{
    kernel::{
        argument::given,
        atomic::fetch_add32,
        clock::now,
        maps::{FLOW_ALLOC, FLOW_FREE, FLOW_SLOTS, OPENING, config},
        scratch::Opening,
        values,
    },
    table::{evict, lookup},
};

/// Takes a slot and fills it but for the port. Returns the slot and, in the high word, its version; or the code of a
/// [`DropReason`].
#[inline(never)]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn fwd_slot_take(tuple: *const Tuple) -> u64 {
    let (Some(tuple), Some(opening)) = (given(tuple), OPENING.get_ptr(0)) else {
        return DropReason::Contended as u64;
    };
    // SAFETY: this CPU's element; nobody else writes it while the program runs.
    let opening = unsafe { &*opening };
    match take_slot(opening) {
        Ok(index) => match fill(index, tuple, opening) {
            Some(version) => lookup::packed((index, version)),
            None => DropReason::TableFull as u64,
        },
        Err(reason) => reason as u64,
    }
}

/// Takes a slot that nobody uses, if need be after evicting a pending flow, or, if too many are established, one that nobody
/// answers.
#[inline(always)]
fn take_slot(opening: &Opening) -> Result<u32, DropReason> {
    let (Some(alloc), Some(config)) = (FLOW_ALLOC.get_ptr_mut(0), config()) else { return Err(DropReason::TableFull) };
    // SAFETY: the element of the map.
    let (next_unused, established) = unsafe { (&raw mut (*alloc).next_unused, (*alloc).established) };
    if established >= config.max_flows && !evict::one_way_flow(opening.counters) {
        return Err(DropReason::TableFull);
    }
    if opening.endpoint != 0
        && let Some(flows) = values::flows_of(opening.counters)
        && flows.established() as i32 >= config.max_flows_per_endpoint as i32
    {
        return Err(DropReason::EndpointFull);
    }
    // SAFETY: an aligned word.
    if unsafe { next_unused.read_volatile() } < config.slots {
        let index = fetch_add32(next_unused, 1);
        if index < config.slots {
            return Ok(index);
        }
        // SAFETY: as above; another CPU took the last one, and none is beyond.
        unsafe { next_unused.write_volatile(config.slots) };
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
pub(crate) fn stored_mtu(mtu: u32) -> u16 {
    if mtu > u32::from(u16::MAX) { u16::MAX } else { mtu as u16 }
}

/// Writes everything but the claimed port. Returns the version of the slot while the flow is being made.
#[inline(always)]
fn fill(index: u32, tuple: &Tuple, opening: &Opening) -> Option<FlowVersion> {
    let slot = FLOW_SLOTS.get_ptr_mut(index)?;
    let now = now();
    // SAFETY: the slot is in no index and in no queue: nobody else writes it, and readers see that it is nobody's flow.
    unsafe {
        let shared = &raw mut (*slot).shared;
        let version = (*shared).version.with_state(FlowState::Making);
        (&raw mut (*shared).version).write_volatile(version);
        (*slot).outbound = FlowHalf {
            tuple: *tuple,
            addr: opening.nat_addr,
            port: [0, 0],
            mtu: stored_mtu(opening.mtu),
            out_if: opening.uplink,
            hop: opening.hop,
            counters: opening.counters as u16,
            uplink_counters: opening.counters_out as u16,
            packets: 0,
            bytes: 0,
        };
        (*slot).inbound = FlowHalf {
            tuple: Tuple::default(),
            addr: tuple.saddr,
            port: tuple.sport,
            mtu: stored_mtu(opening.endpoint_mtu),
            out_if: opening.endpoint,
            hop: opening.macs,
            counters: opening.counters as u16,
            uplink_counters: opening.counters_in as u16,
            packets: 0,
            bytes: 0,
        };
        (*shared).last_seen = now;
        (*shared).created = now;
        (*shared).route_checked = now;
        (*shared).endpoint = opening.endpoint;
        (*shared).counters = opening.counters;
        (*shared).next_hop = opening.next_hop;
        (*shared).tcp_flags = [opening.tcp_flags as u8, 0];
        (*shared).syn_at = 0;
        (*shared).handshake_rtt = 0;
        (*shared).held = 0;
        (*shared).kind = if opening.endpoint == 0 {
            flow_kind::HOST
        } else if opening.inbound == 0 {
            flow_kind::ENDPOINT
        } else {
            flow_kind::INBOUND
        };
        Some(version)
    }
}
