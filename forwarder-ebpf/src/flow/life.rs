//! Moves flows on and ends them. A slot's `meta` changes by compare-and-exchange only: of two CPUs that want to end or
//! promote the same flow, one does.

use forwarder_common::{
    abi::{self, FlowShared, FlowState, flow_kind, meta},
    flow::{self, Direction, TRACKED, Transition},
    wire::l4::{self, Proto, tcp_flag},
};

use crate::{
    atomic::{add64, fetch_add32, replace32},
    count::Amount,
    flow::{
        best_effort, mapping,
        store::{self, Hit},
    },
    maps::{ENDPOINT_FLOWS, FLOW_ALLOC, FLOW_FREE, FLOW_SLOTS, config},
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
    let half_open = state as u8 == FlowState::HalfOpen as u8;
    let earned = half_open && l4.proto as u8 != Proto::Tcp as u8 && fwd_earns(hit.index, now) != 0;
    let transition = flow::advance(state, seen, l4, direction, earned);
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

/// Whether the flow in slot `index`, which is not TCP, has shown to be a conversation: 1 if so.
///
/// A global function: the verifier looks at it once, not at each call.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_earns(index: u32, now: u32) -> u32 {
    let (Some(slot), Some(config)) = (FLOW_SLOTS.get_ptr(index), config()) else { return 0 };
    // SAFETY: fields of the slot.
    let (packets, created, kind) = unsafe {
        let (out, back) = (&raw const (*slot).out.packets, &raw const (*slot).back.packets);
        ([out.read_volatile(), back.read_volatile()], (*slot).shared.created, (*slot).shared.kind)
    };
    // What strangers send to an open port is no conversation before the endpoint answers.
    let answered = kind != flow_kind::INBOUND || packets[0] != 0;
    u32::from(answered && flow::earns(packets, now.wrapping_sub(created), config.hz))
}

/// Counts that a flow of the endpoint with block `counters` went from one state to another.
#[inline(always)]
pub(crate) fn count(counters: u32, from: FlowState, to: FlowState) {
    let (Some(alloc), Some(flows)) = (FLOW_ALLOC.get_ptr_mut(0), ENDPOINT_FLOWS.get_ptr_mut(counters)) else { return };
    let is_established = |state: FlowState| state as u8 == FlowState::Established as u8;
    // SAFETY: elements of the maps.
    let (all, own, pending) =
        unsafe { (&raw mut (*alloc).established, &raw mut (*flows).established, &raw mut (*flows).pending) };
    if is_established(from) {
        fetch_add32(all, u32::MAX);
        fetch_add32(own, u32::MAX);
    }
    if from.is_pending() && !to.is_pending() {
        fetch_add32(pending, u32::MAX);
    }
    if to.is_pending() && !from.is_pending() {
        fetch_add32(pending, 1);
    }
}

/// Counts one more established flow of the endpoint with block `counters`, unless that would be one too many for the table or
/// for the endpoint; the host itself has no limit of its own.
#[inline(always)]
fn admit(counters: u32) -> bool {
    let (Some(alloc), Some(flows), Some(config)) =
        (FLOW_ALLOC.get_ptr_mut(0), ENDPOINT_FLOWS.get_ptr_mut(counters), config())
    else {
        return false;
    };
    // SAFETY: elements of the maps.
    let (all, own) = unsafe { (&raw mut (*alloc).established, &raw mut (*flows).established) };
    // Counted before they are compared: of two CPUs that are at the limit, one is refused.
    let before = (fetch_add32(all, 1) as i32, fetch_add32(own, 1) as i32);
    if before.0 < config.max_flows as i32 && (counters == 0 || before.1 < config.max_flows_per_endpoint as i32) {
        return true;
    }
    count(counters, FlowState::Established, FlowState::Free);
    false
}

/// Performs a [`Transition`] (given as its number) of the flow in slot `index`, if its word is still `word`.
///
/// A global function: the verifier looks at it once, not at each call.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_flow_advance(index: u32, word: u32, transition: u32) -> u32 {
    let Some(slot) = FLOW_SLOTS.get_ptr_mut(index) else { return 0 };
    // SAFETY: an element of the map.
    let (current, counters, flags) = unsafe {
        let shared = &raw mut (*slot).shared;
        (&raw mut (*shared).meta, (*shared).counters, &raw mut (*shared).tcp_flags)
    };
    let from = FlowState::of(word);
    let to = match transition {
        it if it == Transition::Close as u32 => FlowState::Closing,
        it if it == Transition::Reopen as u32 => FlowState::HalfOpen,
        _ => FlowState::Established,
    };
    let establishes = to as u8 == FlowState::Established as u8;
    if establishes && !admit(counters) {
        // Stays as it is, where it may be evicted: established flows are never pushed out.
        return 0;
    }
    if !replace32(current, word, meta::pack(meta::generation(word), to)) {
        if establishes {
            count(counters, FlowState::Established, FlowState::Free);
        }
        return 0;
    }
    count(counters, from, to);
    // SAFETY: bytes of the slot. A flag that another CPU notes at this very moment may be lost; the next segment has it again.
    unsafe {
        if transition == Transition::Reopen as u32 {
            flags.write_volatile([tcp_flag::SYN, 0]);
        } else if transition == Transition::Revive as u32 {
            let back = flags.cast::<u8>().add(1);
            back.write_volatile(back.read_volatile() & !tcp_flag::RST);
        }
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
    let state = FlowState::of(word);
    if state as u8 != FlowState::Established as u8 && !state.is_pending() {
        return 0;
    }
    let (Some(slot), Some(alloc)) = (FLOW_SLOTS.get_ptr_mut(index), FLOW_ALLOC.get_ptr_mut(0)) else { return 0 };
    // SAFETY: an element of the map.
    let current = unsafe { &raw mut (*slot).shared.meta };
    let freed = meta::pack(meta::generation(word).wrapping_add(1), FlowState::Free);
    if !replace32(current, word, freed) {
        return 0;
    }
    // SAFETY: the slot is neither in use nor offered for use: its fields stand still. The tuples are not copied: the stack is
    // short.
    let (out, back, shared) = unsafe { (&(*slot).out.tuple, &(*slot).back.tuple, &(*slot).shared) };
    let (kind, counters, port_use) = (shared.kind, shared.counters, shared.port_use);
    store::remove(out, index);
    store::remove(back, index);
    if port_use != abi::port_use::PLAIN {
        mapping::fwd_port_release(port_use.into(), back.proto.into(), u16::from_be_bytes(back.dport).into());
    }
    count(counters, state, FlowState::Free);
    if kind == flow_kind::HOST {
        // SAFETY: an element of the map.
        fetch_add32(unsafe { &raw mut (*alloc).host_flows }, u32::MAX);
    }
    if !l4::has_ports(out.proto) {
        // SAFETY: an element of the map.
        let portless = unsafe { &raw mut (*alloc).portless };
        fetch_add32(portless, u32::MAX);
    }
    best_effort(FLOW_FREE.push(&index, 0));
    1
}
