//! Ends idle flows: one timer, which looks at a slice of the slots per tick.

use core::ffi::c_void;

use aya_ebpf::helpers::{
    bpf_ktime_get_ns, bpf_loop, bpf_timer_init, bpf_timer_set_callback, bpf_timer_start,
};
use forwarder_common::{
    abi::{FlowState, PURGE_SLICE, SLOT_NONE},
    flow::timeout,
    packet::{L3_OFF, PacketBytes as _},
    wire::l4::Proto,
};

use crate::{
    flow::{life, now},
    maps::{FLOW_ALLOC, FLOW_SLOTS, SWEEP, Sweep, config},
    skb::Skb,
};

const CLOCK_MONOTONIC: u64 = 1;
/// Time between slices, nanoseconds.
const PERIOD: u64 = 50_000_000;
/// Time to the next slice when this one had more to end than it may.
const BUSY_PERIOD: u64 = 2_000_000;
/// Slots of a slice: at 9 ns each for idle ones, well below 100 µs.
const SLICE: u32 = 8192;
/// Flows ended in a slice at most: at about 0.5 µs each, below 100 µs.
const MOST_ENDED: u32 = 192;

/// Sets the timer up, or, where an earlier program did, gives it this program's callback.
#[inline(always)]
pub(crate) fn start() -> i32 {
    const EBUSY: i64 = -16;
    let Some(sweep) = SWEEP.get_ptr_mut(0) else { return -1 };
    // SAFETY: the timer lies in the element of `SWEEP`, the map given to the helper.
    unsafe {
        let timer = &raw mut (*sweep).timer;
        let result = bpf_timer_init(timer, (&raw const SWEEP).cast_mut().cast(), CLOCK_MONOTONIC);
        if result != 0 && result != EBUSY {
            return result as i32;
        }
        let result = bpf_timer_set_callback(timer, tick as *mut c_void);
        if result != 0 {
            return result as i32;
        }
        bpf_timer_start(timer, PERIOD, 0) as i32
    }
}

/// One slice.
#[inline(never)]
unsafe extern "C" fn tick(_map: *mut c_void, _key: *mut u32, sweep: *mut Sweep) -> i32 {
    // SAFETY: the kernel passes the element that holds the timer.
    unsafe {
        let began = bpf_ktime_get_ns();
        (*sweep).ended = 0;
        bpf_loop(SLICE, look_at_next as *mut c_void, sweep.cast(), 0);
        let took = bpf_ktime_get_ns().wrapping_sub(began);
        (*sweep).slices = (*sweep).slices.wrapping_add(1);
        if took > (*sweep).longest_ns {
            (*sweep).longest_ns = took;
        }
        let period = if (*sweep).ended >= MOST_ENDED { BUSY_PERIOD } else { PERIOD };
        bpf_timer_start(&raw mut (*sweep).timer, period, 0);
    }
    0
}

/// Looks at the slot under the cursor; returns 1 to end the slice.
#[inline(never)]
unsafe extern "C" fn look_at_next(_n: u32, sweep: *mut Sweep) -> i64 {
    // SAFETY: `bpf_loop` passes the pointer that `tick` gave it.
    unsafe {
        let Some(alloc) = FLOW_ALLOC.get_ptr(0) else { return 1 };
        let index = (*sweep).cursor;
        if index >= (*alloc).next_unused {
            // The end of what was ever used: the next slice begins at the front.
            (*sweep).cursor = SLOT_NONE.wrapping_add(1);
            return 1;
        }
        (*sweep).cursor = index.wrapping_add(1);
        (*sweep).ended = (*sweep).ended.wrapping_add(end_if_idle(index));
        i64::from((*sweep).ended >= MOST_ENDED)
    }
}

/// Ends the flow in slot `index` if it has been idle for too long. Returns 1 if it did.
#[inline(always)]
fn end_if_idle(index: u32) -> u32 {
    let (Some(slot), Some(config)) = (FLOW_SLOTS.get_ptr_mut(index), config()) else { return 0 };
    // SAFETY: fields of an element of the map.
    let (word, last_seen, flags, proto) = unsafe {
        let shared = &raw const (*slot).shared;
        ((*shared).meta, (*shared).last_seen, (*shared).tcp_flags, (*slot).out.tuple.proto)
    };
    let state = FlowState::of(word);
    if state as u8 == FlowState::Free as u8 {
        return 0;
    }
    let proto = match proto {
        6 => Proto::Tcp,
        17 => Proto::Udp,
        _ => Proto::Icmp,
    };
    let Some(limit) = config.timeouts.get(timeout(state, proto, flags) as usize) else { return 0 };
    if now().wrapping_sub(last_seen) <= *limit {
        return 0;
    }
    life::fwd_flow_end(index, word)
}

/// What a purge works with.
#[repr(C)]
struct Purge {
    endpoint: u32,
    cursor: u32,
    ended: u32,
}

/// Ends the flows of an endpoint in [`PURGE_SLICE`] slots.
#[inline(always)]
pub(crate) fn purge(skb: Skb) -> i32 {
    let bytes = skb.headers();
    let (Ok(endpoint), Ok(first)) = (bytes.load::<4>(L3_OFF), bytes.load::<4>(L3_OFF.wrapping_add(4))) else { return 0 };
    let mut purge = Purge { endpoint: u32::from_ne_bytes(endpoint), cursor: u32::from_ne_bytes(first), ended: 0 };
    let purge = &raw mut purge;
    // SAFETY: `purge` lives on this stack until the loop is over, and nobody else uses it meanwhile.
    unsafe {
        bpf_loop(PURGE_SLICE, purge_next as *mut c_void, purge.cast(), 0);
        (*purge).ended as i32
    }
}

/// Looks at the slot under the cursor; returns 1 to end the slice.
#[inline(never)]
unsafe extern "C" fn purge_next(_n: u32, purge: *mut Purge) -> i64 {
    // SAFETY: `bpf_loop` passes the pointer that `purge` gave it.
    unsafe {
        let index = (*purge).cursor;
        (*purge).cursor = index.wrapping_add(1);
        let Some(slot) = FLOW_SLOTS.get_ptr_mut(index) else { return 1 };
        let word = (&raw const (*slot).shared.meta).read_volatile();
        let in_use = FlowState::of(word) as u8 != FlowState::Free as u8;
        if in_use && (*slot).shared.endpoint == (*purge).endpoint {
            (*purge).ended = (*purge).ended.wrapping_add(life::fwd_flow_end(index, word));
        }
        0
    }
}
