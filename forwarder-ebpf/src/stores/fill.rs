//! Makes the flows, both directions of each.

use aya_ebpf::bindings::BPF_NOEXIST;
use forwarder_common::abi::{FlowHalf, FlowState, FlowVersion, Tuple};

use crate::{
    kernel::maps::{DIRECT, FLOW_SLOTS, LINES, SET_MASK, WAYS},
    lookup,
    walk::{MTU, Walk, outbound, reply},
};

/// The flow to make now; `None` when all are made.
#[inline(always)]
fn next(walk: &mut Walk) -> Option<u32> {
    if walk.state > walk.flow_mask {
        return None;
    }
    let flow = walk.state as u32;
    walk.state = walk.state.wrapping_add(1);
    Some(flow)
}

#[inline(always)]
fn note(walk: &mut Walk, made: bool) {
    if !made {
        walk.missed = walk.missed.wrapping_add(1);
    }
}

#[inline(always)]
fn half(tuple: Tuple) -> FlowHalf {
    FlowHalf { tuple, mtu: MTU, ..FlowHalf::default() }
}

/// Flows of `direct`.
#[inline(never)]
pub(crate) unsafe extern "C" fn direct(_index: u32, walk: *mut Walk) -> i64 {
    // SAFETY: `bpf_loop` passes the pointer that `run` gave it; so below.
    let walk = unsafe { &mut *walk };
    let Some(flow) = next(walk) else { return 1 };
    for tuple in [outbound(flow), reply(flow)] {
        note(walk, DIRECT.insert(&tuple, &half(tuple), BPF_NOEXIST.into()).is_ok());
    }
    0
}

/// Flows of `pool` and `cache`.
#[inline(never)]
pub(crate) unsafe extern "C" fn pool(_index: u32, walk: *mut Walk) -> i64 {
    // SAFETY: as in `direct`.
    let walk = unsafe { &mut *walk };
    let Some(flow) = next(walk) else { return 1 };
    // Slot 0 is never used.
    let index = flow.wrapping_add(1);
    let Some(slot) = FLOW_SLOTS.get_ptr_mut(index) else { return 1 };
    let (outbound, inbound) = (outbound(flow), reply(flow));
    // SAFETY: an element of the map, which nobody else uses.
    unsafe {
        (*slot).outbound = half(outbound);
        (*slot).inbound = half(inbound);
        (*slot).shared.version = FlowVersion::new(1, FlowState::Established);
    }
    for tuple in [outbound, inbound] {
        note(walk, lookup::insert(&tuple, index));
    }
    0
}

/// Flows of `lines`: whoever finds its set full stands in the hash only.
#[inline(never)]
pub(crate) unsafe extern "C" fn lines(_index: u32, walk: *mut Walk) -> i64 {
    // SAFETY: as in `direct`.
    let walk = unsafe { &mut *walk };
    let Some(flow) = next(walk) else { return 1 };
    for tuple in [outbound(flow), reply(flow)] {
        let Some(set) = LINES.get_ptr_mut(lookup::hash(&tuple) & SET_MASK.load()) else { return 1 };
        let mut way = 0;
        while way < WAYS {
            // SAFETY: `way` is below the number of lines of a set.
            let line = unsafe { &mut *set.cast::<FlowHalf>().add(way) };
            if line.tuple.proto == 0 {
                *line = half(tuple);
                break;
            }
            way = way.wrapping_add(1);
        }
    }
    0
}
