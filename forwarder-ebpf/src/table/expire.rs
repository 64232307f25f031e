//! Ends idle flows, and those whose interface has gone: one timer, which looks at a slice of the slots per tick.

use core::{ffi::c_void, ops::ControlFlow};

use aya_ebpf::helpers::{bpf_timer_init, bpf_timer_set_callback, bpf_timer_start};
use forwarder_common::{
    abi::{
        FLUSH_SLICE, FlowSlot, FlowState, FlowVersion, SLICE_LIMIT_NS, SLOT_NONE, Timeout, Withdrawn, flow_kind,
        port_use,
    },
    flow::{expired, idle, outlived},
    wire::{
        l4::{Proto, has_ports},
        packet::{L3_OFF, PacketBytes as _},
    },
};

use crate::{
    kernel::{
        clock::{nanoseconds, now},
        devices,
        maps::{EXPIRY_TIMER, ExpiryTimer, config},
        packet::skb::Skb,
        repeat::{Repeat, repeat},
        shared::Shared,
        slots, values,
    },
    table::{mapping, slot},
};

const CLOCK_MONOTONIC: u64 = 1;
/// The first slot that is ever used.
const FIRST: u32 = SLOT_NONE + 1;
/// Time between slices, nanoseconds.
const PERIOD: u64 = 50_000_000;
/// Time to the next slice when this one had more to do than it may.
const BUSY_PERIOD: u64 = 2_000_000;
/// Slots of a slice: at 9 ns each for idle ones, well below 100 µs.
const SLICE: u32 = 8192;
/// Flows ended in a slice at most: at about 0.5 µs each, below 100 µs.
const MOST_ENDED: u32 = 192;
/// How long a slice may take, nanoseconds: it is cut short, with as much again in hand until [`SLICE_LIMIT_NS`].
const BUDGET: u64 = SLICE_LIMIT_NS / 2;
/// The time is looked at every so many slots, and after every so many flows that were ended. Powers of two.
const SLOTS_PER_LOOK: u32 = 64;
const ENDED_PER_LOOK: u32 = 8;

/// Sets the timer up, or, where an earlier program did, gives it this program's callback.
#[inline(always)]
pub(crate) fn start() -> i32 {
    const EBUSY: i64 = -16;
    let Some(expiry) = EXPIRY_TIMER.get_ptr_mut(0) else { return -1 };
    // SAFETY: the timer lies in the element of `EXPIRY_TIMER`, the map given to the helper.
    unsafe {
        let timer = &raw mut (*expiry).timer;
        let result = bpf_timer_init(timer, (&raw const EXPIRY_TIMER).cast_mut().cast(), CLOCK_MONOTONIC);
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

/// How far a slice has come. `bpf_loop` takes it on the stack only.
#[repr(C)]
struct Slice {
    /// Next slot to look at.
    cursor: u32,
    /// Flows ended so far.
    ended: u32,
    /// When it began, nanoseconds.
    began: u64,
    /// Not zero if it was cut short.
    cut: u32,
    /// Not zero if it came to the end of the table.
    at_end: u32,
    /// See [`ExpiryTimer::gone`].
    gone: u32,
}

/// One slice.
#[inline(never)]
extern "C" fn tick(_map: *mut c_void, _key: *mut u32, expiry: *mut ExpiryTimer) -> i32 {
    // SAFETY: called by the kernel alone, which passes the element that holds the timer. Nobody else writes the other fields: one timer runs
    // at a time; userspace is given copies.
    let expiry = unsafe { &mut *expiry };
    look_at_devices(expiry);
    let mut slice =
        Slice { cursor: expiry.cursor, ended: 0, began: nanoseconds(), cut: 0, at_end: 0, gone: expiry.gone };
    repeat(&mut slice, SLICE);
    // Set here and not in the loop: the verifier would follow a cursor that it knows from slot to slot.
    expiry.cursor = slice.cursor;
    if slice.at_end != 0 {
        expiry.cursor = FIRST;
        expiry.gone = 0;
    }
    let took = nanoseconds().wrapping_sub(slice.began);
    expiry.slices = expiry.slices.wrapping_add(1);
    expiry.ended = expiry.ended.wrapping_add(slice.ended.into());
    if took > expiry.longest_ns {
        expiry.longest_ns = took;
    }
    if took > SLICE_LIMIT_NS {
        expiry.late = expiry.late.wrapping_add(1);
    }
    let period = if slice.cut != 0 { BUSY_PERIOD } else { PERIOD };
    // SAFETY: the timer in the element of its map.
    unsafe { bpf_timer_start(&raw mut expiry.timer, period, 0) };
    0
}

/// Sees whether the interface of some endpoint has gone, a few endpoints at a time: then another round begins, in which each flow is asked
/// whether its own are there.
#[inline(always)]
fn look_at_devices(expiry: &mut ExpiryTimer) {
    if expiry.gone != 0 {
        return;
    }
    let first = expiry.next_block;
    expiry.next_block = devices::after(first);
    if devices::any_gone(first) {
        expiry.gone = 1;
        expiry.cursor = FIRST;
    }
}

impl Repeat for Slice {
    /// Looks at the slot under the cursor.
    #[inline(always)]
    fn round(&mut self, number: u32) -> ControlFlow<()> {
        let Some(alloc) = values::alloc() else { return ControlFlow::Break(()) };
        let index = self.cursor;
        if index >= alloc.next_unused().read() {
            // The end of what was ever used.
            self.at_end = 1;
            return ControlFlow::Break(());
        }
        self.cursor = index.wrapping_add(1);
        let ended = end_if_due(index, self.gone);
        self.ended = self.ended.wrapping_add(ended);
        let due =
            if ended != 0 { self.ended.is_multiple_of(ENDED_PER_LOOK) } else { number.is_multiple_of(SLOTS_PER_LOOK) };
        let late = due && nanoseconds().wrapping_sub(self.began) > BUDGET;
        if late || self.ended >= MOST_ENDED {
            self.cut = 1;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

/// Ends the flow in slot `index` if it has been idle for too long, or, where some interface has `gone`, if one of its own has; goes on with
/// a slot that was left unfinished. Returns 1 if it did.
#[inline(always)]
fn end_if_due(index: u32, gone: u32) -> u32 {
    let (Some(slot), Some(config)) = (slots::slot(index), config()) else { return 0 };
    let (version, number, endpoint) = (slot.version().read_in_order(), slot.proto().read(), slot.endpoint().read());
    let state = version.state();
    let proto = match number {
        6 => Proto::Tcp,
        17 => Proto::Udp,
        _ => Proto::Icmp,
    };
    if matches!(state, FlowState::Unfinished) {
        return slot::fwd_slot_resume(index, version);
    }
    let idle = idle(now(), slot.last_seen().read());
    let has_gone = gone != 0
        && version.is_flow()
        && (endpoint != 0 && !devices::fwd_is_there(endpoint) || !devices::fwd_is_there(slot.uplink().read()));
    let ends = if has_gone
        || slot.port_use().read() != port_use::BY_TUPLE
            && mapping::has_to_leave(endpoint, number, slot.external_port().read())
    {
        true
    } else if has_ports(number) {
        expired(state, proto, slot.tcp_flags().read(), idle, &config.timeouts)
    } else {
        outlived(state, Timeout::Other, idle, &config.timeouts)
    };
    if ends { slot::fwd_flow_end(index, version) } else { 0 }
}

/// Ends the flow that was read in a slot, if that is the same flow's still.
#[inline(always)]
pub(crate) fn end(skb: Skb) -> i32 {
    let bytes = skb.headers();
    let (Ok(index), Ok(version)) = (bytes.load::<4>(L3_OFF), bytes.load::<4>(L3_OFF.wrapping_add(4))) else {
        return 0;
    };
    let (index, version) = (u32::from_ne_bytes(index), FlowVersion::from_raw(u32::from_ne_bytes(version)));
    let Some(slot) = slots::slot(index) else { return 0 };
    // A packet may have moved it to another state meanwhile, and may do so again.
    let now = slot.version().read_in_order();
    if now.is_flow() && now.is_same_flow(version) { slot::fwd_flow_end(index, now) as i32 } else { 0 }
}

/// What a flush works with.
#[repr(C)]
struct Flush {
    endpoint: u32,
    cursor: u32,
    ended: u32,
    published: Withdrawn,
}

/// Ends the flows of an endpoint in [`FLUSH_SLICE`] slots: all, or those that began by a port which is published no more.
#[inline(always)]
pub(crate) fn flush(skb: Skb) -> i32 {
    let bytes = skb.headers();
    let (Ok(endpoint), Ok(first)) = (bytes.load::<4>(L3_OFF), bytes.load::<4>(L3_OFF.wrapping_add(4))) else {
        return 0;
    };
    let Ok(published) = bytes.load::<{ size_of::<Withdrawn>() }>(L3_OFF.wrapping_add(8)) else { return 0 };
    let mut flush = Flush {
        endpoint: u32::from_ne_bytes(endpoint),
        cursor: u32::from_ne_bytes(first),
        ended: 0,
        published: Withdrawn::of(published),
    };
    repeat(&mut flush, FLUSH_SLICE);
    flush.ended as i32
}

impl Repeat for Flush {
    /// Looks at the slot under the cursor.
    #[inline(always)]
    fn round(&mut self, _number: u32) -> ControlFlow<()> {
        let index = self.cursor;
        self.cursor = index.wrapping_add(1);
        let Some(slot) = slots::slot(index) else { return ControlFlow::Break(()) };
        let version = slot.version().read_in_order();
        if version.is_flow() && slot.endpoint().read() == self.endpoint && self.is_meant(slot) {
            self.ended = self.ended.wrapping_add(slot::fwd_flow_end(index, version));
        }
        ControlFlow::Continue(())
    }
}

impl Flush {
    /// Whether a flow of the endpoint is one of those that are to end.
    #[inline(always)]
    fn is_meant(&self, slot: Shared<FlowSlot>) -> bool {
        let Withdrawn { addr, first, last, proto, family, _pad } = self.published;
        if proto == 0 {
            return true;
        }
        let port = u16::from_be_bytes(slot.external_port().read());
        let here = addr == 0 || u32::from_ne_bytes(slot.outbound().addr().read()) == addr;
        let begun = slot.kind().read() == flow_kind::INBOUND && slot.proto().read() == proto;
        let is_ipv6 = slot.outbound().tuple().read().family != 0;
        let meant = family == 0 || is_ipv6 == (family == 6);
        here && meant && begun && first <= port && port <= last
    }
}
