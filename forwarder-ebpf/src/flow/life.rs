//! Moves flows on and ends them. A slot's `meta` changes by compare-and-exchange only: of two CPUs that want to end or
//! promote the same flow, one does.

use forwarder_common::{
    abi::{FlowShared, FlowState, meta},
    flow::{self, Direction, TRACKED, Transition, UDP_PROMOTE_PACKETS, UDP_PROMOTE_SECONDS},
    wire::l4::{self, Proto},
};

use crate::{
    atomic::{add64, fetch_add32, replace32},
    count::Amount,
    flow::{best_effort, ring, store::Hit},
    maps::{FLOW_ALLOC, FLOW_FREE, FLOW_INDEX, FLOW_SLOTS, config},
};

/// Notes a packet at its flow: counters, time, TCP flags, and what follows from them.
#[inline(always)]
pub(crate) fn touch<const BACK: bool>(hit: &Hit, l4: &l4::Header, now: u32, amount: Amount) {
    // SAFETY: `hit` points into the slot array, whose elements are never unmapped.
    let shared = unsafe { &raw mut (*hit.slot).shared };
    // SAFETY: as above.
    let (packets, bytes) = unsafe { (&raw mut (*hit.half).packets, &raw mut (*hit.half).bytes) };
    add64(packets, amount.packets.into());
    add64(bytes, amount.bytes.into());
    let state = FlowState::of(hit.meta);
    // SAFETY: fields of the slot; each flags byte is written by its own direction only, the time by whoever is later.
    let seen = unsafe {
        let last_seen = &raw mut (*shared).last_seen;
        if last_seen.read_volatile() != now {
            last_seen.write_volatile(now);
        }
        see::<BACK>(shared, l4)
    };
    let direction = if BACK { Direction::Back } else { Direction::Out };
    let long_lived = !BACK && state as u8 == FlowState::HalfOpen as u8 && lasts(hit, shared, now);
    let transition = flow::advance(state, seen, l4, direction, long_lived);
    if transition as u8 != Transition::Stay as u8 {
        fwd_flow_advance(hit.index, hit.meta, transition as u32);
    }
}

/// Or-s the flags of a segment into those of its direction; returns both directions'.
///
/// # Safety
/// `shared` points into a slot.
#[inline(always)]
unsafe fn see<const BACK: bool>(shared: *mut FlowShared, l4: &l4::Header) -> [u8; 2] {
    if l4.proto as u8 != Proto::Tcp as u8 {
        return [0, 0];
    }
    // SAFETY: the caller's promise.
    unsafe {
        let flags = (&raw mut (*shared).tcp_flags).cast::<u8>();
        let (out, back) = (flags.read_volatile(), flags.add(1).read_volatile());
        let (before, own) = if BACK { (back, flags.add(1)) } else { (out, flags) };
        let after = before | l4.tcp_flags & TRACKED;
        if after != before {
            own.write_volatile(after);
        }
        if BACK { [out, after] } else { [after, back] }
    }
}

/// Whether a flow without replies has lasted long enough to be established.
#[inline(always)]
fn lasts(hit: &Hit, shared: *const FlowShared, now: u32) -> bool {
    let Some(config) = config() else { return false };
    // SAFETY: fields of the slot.
    let (packets, created) = unsafe { ((*hit.half).packets, (*shared).created) };
    packets >= UDP_PROMOTE_PACKETS && now.wrapping_sub(created) >= config.hz.wrapping_mul(UDP_PROMOTE_SECONDS)
}

/// Performs a [`Transition`] (given as its number) of the flow in slot `index`, if its word is still `word`.
///
/// A global function: the verifier looks at it once, not at each call.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_flow_advance(index: u32, word: u32, transition: u32) -> u32 {
    let (Some(slot), Some(alloc), Some(config)) = (FLOW_SLOTS.get_ptr_mut(index), FLOW_ALLOC.get_ptr_mut(0), config())
    else {
        return 0;
    };
    // SAFETY: elements of the maps.
    let (current, established) = unsafe { (&raw mut (*slot).shared.meta, &raw mut (*alloc).established) };
    let generation = meta::generation(word);
    let to = if transition == Transition::Close as u32 { FlowState::Closing } else { FlowState::Established };
    // SAFETY: an aligned word.
    let full = unsafe { established.read_volatile() } >= config.max_flows;
    if to as u8 == FlowState::Established as u8 && full {
        // Stays half-open, where it may be evicted: established flows are never pushed out.
        return 0;
    }
    if !replace32(current, word, meta::pack(generation, to)) {
        return 0;
    }
    if to as u8 == FlowState::Closing as u8 {
        if FlowState::of(word) as u8 == FlowState::Established as u8 {
            fetch_add32(established, u32::MAX);
        }
        ring::note_closing(index, meta::pack(generation, to));
        return 1;
    }
    fetch_add32(established, 1);
    if transition == Transition::Reopen as u32 {
        // SAFETY: two bytes of the slot; the SYN that reopens is seen again below.
        unsafe { (&raw mut (*slot).shared.tcp_flags).write_volatile([l4::tcp_flag::SYN, 0]) };
    }
    1
}

/// Ends the flow in slot `index` if its word is still `word`: frees its tuples, then the slot. Returns 1 if it was so.
///
/// The order matters: the generation changes first, so that no reader takes the slot for the flow any more; its tuples leave
/// the index while nobody can claim the slot; the slot is offered for use last, behind all that are free already.
#[inline(never)]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn fwd_flow_end(index: u32, word: u32) -> u32 {
    let (Some(slot), Some(alloc)) = (FLOW_SLOTS.get_ptr_mut(index), FLOW_ALLOC.get_ptr_mut(0)) else { return 0 };
    // SAFETY: an element of the map.
    let current = unsafe { &raw mut (*slot).shared.meta };
    let freed = meta::pack(meta::generation(word).wrapping_add(1), FlowState::Free);
    if !replace32(current, word, freed) {
        return 0;
    }
    // SAFETY: the slot is neither in use nor offered for use: its fields stand still.
    let (out, back, kind) = unsafe { ((*slot).out.tuple, (*slot).back.tuple, (*slot).shared.kind) };
    best_effort(FLOW_INDEX.remove(&out));
    best_effort(FLOW_INDEX.remove(&back));
    // SAFETY: an element of the map.
    let (established, host_flows) = unsafe { (&raw mut (*alloc).established, &raw mut (*alloc).host_flows) };
    if FlowState::of(word) as u8 == FlowState::Established as u8 {
        fetch_add32(established, u32::MAX);
    }
    if kind == forwarder_common::abi::flow_kind::HOST {
        fetch_add32(host_flows, u32::MAX);
    }
    best_effort(FLOW_FREE.push(&index, 0));
    1
}
