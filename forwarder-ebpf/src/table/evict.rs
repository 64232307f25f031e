//! Makes room when no slot is free: see [`forwarder_common::flow::may_evict`]. Established flows stay, unless nobody answers them.

use core::ffi::c_void;

use aya_ebpf::helpers::bpf_loop;
use forwarder_common::{
    abi::{FlowState, FlowVersion},
    flow::{CANDIDATES, LOOKS, eviction_rank, gives_room, is_answered, may_evict, nth_slot},
};

use crate::{
    kernel::{
        atomic::fetch_add32,
        clock::now,
        maps::{FLOW_ALLOC, config},
        values,
    },
    table::slot,
};

/// The search for a flow to evict.
#[repr(C)]
struct Search {
    /// The newcomer's block of counters, and how many pending or established flows it has.
    counters: u32,
    own: u32,
    /// Not 0 if a one-way flow is looked for instead of a pending one.
    one_way: u32,
    slots: u32,
    now: u32,
    /// Candidates so far.
    found: u32,
    /// The one with the lowest eviction rank: slot, version, rank.
    slot: u32,
    version: FlowVersion,
    rank: u32,
}

/// Ends a pending flow to make room for one of the endpoint with block `counters`. Whether it ended one.
#[inline(always)]
pub(crate) fn pending_flow(counters: u32) -> bool {
    fwd_flow_evict(counters, pending(counters), 0) != 0
}

/// Ends a flow that nobody answers, of an endpoint with more established flows, to make room for one of the endpoint with block
/// `counters`. Whether it ended one.
#[inline(always)]
pub(crate) fn one_way_flow(counters: u32) -> bool {
    let any = values::alloc().is_some_and(|alloc| alloc.one_way() as i32 > 0);
    any && fwd_flow_evict(counters, established(counters), 1) != 0
}

/// Ends a flow to make room for one of the endpoint with block `counters`; the others are as in [`Search`]. Returns 1 if it ended one.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_flow_evict(counters: u32, own: u32, one_way: u32) -> u32 {
    let Some(config) = config() else { return 0 };
    let mut search = Search {
        counters,
        own,
        one_way,
        slots: config.slots,
        now: now(),
        found: 0,
        slot: 0,
        version: FlowVersion::NONE,
        rank: u32::MAX,
    };
    let search = &raw mut search;
    // SAFETY: `search` lives on this stack until the loop is over, and nobody else uses it meanwhile.
    unsafe {
        bpf_loop(LOOKS, look as *mut c_void, search.cast(), 0);
        if (*search).found == 0 { 0 } else { slot::fwd_flow_end((*search).slot, (*search).version.raw()) }
    }
}

/// Pending flows of the endpoint with block `counters`.
#[inline(always)]
pub(crate) fn pending(counters: u32) -> u32 {
    values::flows_of(counters).map_or(0, |flows| flows.pending())
}

/// Established flows of the endpoint with block `counters`.
#[inline(always)]
fn established(counters: u32) -> u32 {
    values::flows_of(counters).map_or(0, |flows| flows.established())
}

/// Looks at one more slot; returns 1 to stop.
#[inline(never)]
unsafe extern "C" fn look(_n: u32, search: *mut Search) -> i64 {
    let Some(alloc) = FLOW_ALLOC.get_ptr_mut(0) else { return 1 };
    // SAFETY: `bpf_loop` passes the pointer that `fwd_flow_evict` gave it; the others are elements of maps.
    unsafe {
        let index = nth_slot(fetch_add32(&raw mut (*alloc).evict_cursor, 1), (*search).slots);
        let Some(slot) = values::slot(index) else { return 0 };
        let (version, counters, [_, inbound]) = (slot.version(), slot.counters(), slot.tcp_flags());
        let (ours, own) = ((*search).counters, (*search).own);
        let goes = if (*search).one_way == 0 {
            has_to_go(version, counters, ours, own)
        } else {
            matches!(version.state(), FlowState::OneWay) && counters != ours && gives_room(established(counters), own)
        };
        if !goes {
            return 0;
        }
        let answered = is_answered(inbound, if counters == ours { own } else { pending(counters) }, own);
        let rank = eviction_rank(version.state(), answered, (*search).now.wrapping_sub(slot.last_seen()));
        if rank <= (*search).rank {
            (*search).rank = rank;
            (*search).slot = index;
            (*search).version = version;
        }
        (*search).found = (*search).found.wrapping_add(1);
        i64::from((*search).found >= CANDIDATES)
    }
}

/// Whether the flow with `version` of the endpoint with block `theirs` has to make room for one of block `ours`, which has
/// `own_pending` pending flows.
#[inline(always)]
pub(crate) fn has_to_go(version: FlowVersion, theirs: u32, ours: u32, own_pending: u32) -> bool {
    version.is_pending() && (theirs == ours || may_evict(pending(theirs), own_pending))
}
