//! Makes room when no slot is free: see [`forwarder_common::flow::may_evict`]. Established flows stay, unless nobody answers them.

use core::ops::ControlFlow;

use forwarder_common::{
    abi::{FlowState, FlowVersion},
    flow::{CANDIDATES, LOOKS, eviction_rank, gives_room, idle, is_answered, may_evict, nth_slot, rank_for},
};

use crate::{
    kernel::{
        clock::now,
        maps::config,
        repeat::{Repeat, repeat},
        slots, values,
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
    fwd_flow_evict(counters, pending(counters), false)
}

/// Ends a flow that nobody answers, of an endpoint with more established flows, to make room for one of the endpoint with block
/// `counters`. Whether it ended one.
#[inline(always)]
pub(crate) fn one_way_flow(counters: u32) -> bool {
    let any = values::alloc().is_some_and(|alloc| alloc.one_way().read() as i32 > 0);
    any && fwd_flow_evict(counters, established(counters), true)
}

global_fn! {
    /// See [`rank`].
    fn fwd_eviction_rank(version: FlowVersion, answered: bool, idle: u32) -> u32 = rank_of;
    /// See [`weigh`].
    fn fwd_evict_weigh(index: u32, version: FlowVersion, ours: u32, own: u32, one_way: u32) -> u32 = weigh;
    /// See [`evict`].
    fn fwd_flow_evict(counters: u32, own: u32, one_way: bool) -> bool = evict;
}

/// Ends a flow to make room for one of the endpoint with block `counters`; the others are as in [`Search`]. Whether it ended one.
#[inline(always)]
fn evict(counters: u32, own: u32, one_way: bool) -> bool {
    let Some(config) = config() else { return false };
    let mut search = Search {
        counters,
        own,
        one_way: one_way.into(),
        slots: config.slots,
        found: 0,
        slot: 0,
        version: FlowVersion::NONE,
        rank: u32::MAX,
    };
    repeat(&mut search, LOOKS);
    search.found != 0 && slot::fwd_flow_end(search.slot, search.version) != 0
}

/// Pending flows of the endpoint with block `counters`, which begin on the same side.
#[inline(always)]
pub(crate) fn pending(counters: u32) -> u32 {
    values::flows_of(counters).map_or(0, |flows| flows.pending_of(counters).read())
}

/// Established flows of the endpoint with block `counters`.
#[inline(always)]
fn established(counters: u32) -> u32 {
    values::flows_of(counters).map_or(0, |flows| flows.established().read())
}

impl Repeat for Search {
    /// Looks at one more slot.
    #[inline(always)]
    fn round(&mut self, _number: u32) -> ControlFlow<()> {
        const ON: ControlFlow<()> = ControlFlow::Continue(());
        let Some(alloc) = values::alloc() else { return ControlFlow::Break(()) };
        let index = nth_slot(alloc.evict_cursor().fetch_add(1), self.slots);
        let Some(slot) = slots::slot(index) else { return ON };
        let version = slot.version().read_in_order();
        let rank = fwd_evict_weigh(index, version, self.counters, self.own, self.one_way);
        if rank == SPARED {
            return ON;
        }
        if rank <= self.rank {
            self.rank = rank;
            self.slot = index;
            self.version = version;
        }
        self.found = self.found.wrapping_add(1);
        if self.found >= CANDIDATES { ControlFlow::Break(()) } else { ON }
    }
}

/// What [`weigh`] returns for a flow that stays; no rank is as high.
const SPARED: u32 = u32::MAX;

/// The eviction rank of the flow in slot `index`, which has `version`, where it may be ended for one of the endpoint with block `ours`;
/// [`SPARED`] where not. The others are as in [`Search`].
#[inline(always)]
fn weigh(index: u32, version: FlowVersion, ours: u32, own: u32, one_way: u32) -> u32 {
    let Some(slot) = slots::slot(index) else { return SPARED };
    let counters = slot.counters().read();
    let [_, inbound] = slot.tcp_flags().read();
    let goes = if one_way == 0 {
        has_to_go(version, counters, ours, own)
    } else {
        matches!(version.state(), FlowState::OneWay) && counters != ours && gives_room(established(counters), own)
    };
    if !goes {
        return SPARED;
    }
    let answered = is_answered(inbound, if counters == ours { own } else { pending(counters) }, own);
    let rank = rank(version, answered, idle(now(), slot.last_seen().read()));
    rank_for(ours, counters, rank)
}

/// Whether the flow with `version` of the endpoint with block `theirs` has to make room for one of block `ours`, which has
/// `own_pending` pending flows.
#[inline(always)]
pub(crate) fn has_to_go(version: FlowVersion, theirs: u32, ours: u32, own_pending: u32) -> bool {
    version.is_pending() && (theirs == ours || may_evict(pending(theirs), own_pending))
}

/// The eviction rank of a flow with `version`: see [`eviction_rank`]. In a function of its own: whoever asks would be verified once more for
/// each of its ends.
#[inline(always)]
pub(crate) fn rank(version: FlowVersion, answered: bool, idle: u32) -> u32 {
    fwd_eviction_rank(version, answered, idle)
}

#[inline(always)]
fn rank_of(version: FlowVersion, answered: bool, idle: u32) -> u32 {
    eviction_rank(version.state(), answered, idle)
}
