//! Tells userspace of each packet what it was when a program began, what was decided, and what it was when the program ended.
//!
//! An object of its own has this (the feature `trace`), which `fwd trace` puts in the place of the other while it runs; in that one
//! `untraced.rs` stands here. What the packet was stands meanwhile in a record for each CPU, because programs of one CPU do not
//! interleave, and nothing has to be handed through the program. A tail call does not come back: its target begins the record anew.

use core::ffi::c_void;

use aya_ebpf::{
    Global,
    bindings::{__sk_buff, xdp_md},
    btf_maps::{PerCpuArray, RingBuf},
    helpers::{bpf_ktime_get_ns, bpf_skb_load_bytes, bpf_xdp_load_bytes},
    macros::btf_map,
};
use forwarder_common::{
    abi::{NO_VERDICT, SLOT_NONE, TRACE_HEADERS, TRACE_RING, TracePoint, TraceRecord, trace_filter},
    types::verdict::Verdict,
    wire::{ethernet::ethertype, ipv4, packet::L3_OFF},
};

use crate::kernel::{
    atomic::add_here,
    maps::{ENDPOINTS, FLOW_SLOTS, config},
    packet::{
        frame::{Frame, PASS},
        skb::Skb,
    },
};

/// What has happened to packets.
#[btf_map]
static TRACE: RingBuf<TraceRecord, TRACE_RING> = RingBuf::new();

/// What is happening to the packet of this CPU.
#[btf_map]
static TRACE_NOW: PerCpuArray<TraceRecord, 1> = PerCpuArray::new();

/// Records for which there was no room in `TRACE`.
#[btf_map]
static TRACE_LOST: PerCpuArray<u64, 1> = PerCpuArray::new();

/// Which packets are told of: see [`trace_filter`].
#[unsafe(no_mangle)]
static TRACE_FILTER: [Global<u32>; trace_filter::WORDS] = [const { Global::new(0) }; trace_filter::WORDS];

/// Where an IPv4 header names its protocol.
const PROTO: usize = 9;

/// `TC_ACT_REDIRECT`.
const REDIRECTED: u32 = 7;

/// Runs a program of traffic control, and tells of its packet.
#[inline(always)]
pub(crate) fn tc(skb: Skb, point: TracePoint, program: impl FnOnce(Skb) -> i32) -> i32 {
    fwd_trace_begin(skb.ptr(), point as u32, l3_of(point));
    let action = program(skb);
    fwd_trace_end(skb.ptr(), action as u32, l3_of(point));
    action
}

/// Runs a program of XDP, and tells of its packet, unless it goes on to a program of traffic control.
#[inline(always)]
pub(crate) fn xdp(frame: Frame, point: TracePoint, program: impl FnOnce(Frame) -> u32) -> u32 {
    fwd_trace_frame_begin(frame.ptr(), point as u32);
    let action = program(frame);
    if action != PASS {
        fwd_trace_frame_end(frame.ptr(), action);
    }
    action
}

/// The verdict with this code was counted. Of several the first one is the packet's: it is that of its hook.
#[inline(always)]
pub(crate) fn verdict(code: u32) {
    fwd_trace_verdict(code);
}

/// The packet belongs to the flow in this slot.
#[inline(always)]
pub(crate) fn flow(slot: u32) {
    fwd_trace_flow(slot);
}

/// Where the network header is when a program begins.
#[inline(always)]
const fn l3_of(point: TracePoint) -> u32 {
    match point {
        TracePoint::FromUplinkL3 | TracePoint::ToUplinkL3 => 0,
        _ => L3_OFF as u32,
    }
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_trace_verdict(code: u32) -> u32 {
    let Some(record) = TRACE_NOW.get_ptr_mut(0) else { return 0 };
    // SAFETY: this CPU's element.
    unsafe {
        if (*record).code == NO_VERDICT {
            (*record).code = code;
        }
    }
    0
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_trace_flow(slot: u32) -> u32 {
    let Some(record) = TRACE_NOW.get_ptr_mut(0) else { return 0 };
    // SAFETY: this CPU's element.
    unsafe { (*record).slot = slot };
    0
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_trace_begin(skb: *mut __sk_buff, point: u32, l3: u32) -> u32 {
    let Some(record) = TRACE_NOW.get_ptr_mut(0) else { return 0 };
    let skb = Skb::from_ptr(skb);
    // SAFETY: this CPU's element.
    unsafe {
        begin(record, point, skb.ifindex());
        (*record).ingress = skb.ingress_ifindex();
        (*record).length = skb.len().wrapping_sub(l3);
        (*record).segments = skb.gso_segs();
        (*record).protocol = skb.protocol().into();
        (*record).before_len = headers(skb, l3, &raw mut (*record).before);
    }
    0
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_trace_end(skb: *mut __sk_buff, action: u32, l3: u32) -> u32 {
    let Some(record) = TRACE_NOW.get_ptr_mut(0) else { return 0 };
    // SAFETY: this CPU's element.
    unsafe {
        // What goes into a namespace has got a link-layer header.
        let added = l3 == 0 && action == REDIRECTED && (*record).point == TracePoint::FromUplinkL3 as u32;
        let l3 = if added { L3_OFF as u32 } else { l3 };
        (*record).after_len = headers(Skb::from_ptr(skb), l3, &raw mut (*record).after);
        end(record, action);
    }
    0
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_trace_frame_begin(frame: *mut xdp_md, point: u32) -> u32 {
    let Some(record) = TRACE_NOW.get_ptr_mut(0) else { return 0 };
    let frame = Frame::from_ptr(frame);
    // SAFETY: this CPU's element.
    unsafe {
        begin(record, point, frame.ingress_ifindex());
        (*record).ingress = frame.ingress_ifindex();
        (*record).segments = 0;
        (*record).protocol = u16::from_ne_bytes(ethertype::IPV4).into();
        (*record).before_len = frame_headers(frame, &raw mut (*record).before);
        // The frame may be padded, and in several buffers.
        let [.., high, low] = (&raw const (*record).before).cast::<[u8; 4]>().read_volatile();
        (*record).length = u16::from_be_bytes([high, low]).into();
    }
    0
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_trace_frame_end(frame: *mut xdp_md, action: u32) -> u32 {
    let Some(record) = TRACE_NOW.get_ptr_mut(0) else { return 0 };
    // SAFETY: this CPU's element.
    unsafe {
        (*record).after_len = frame_headers(Frame::from_ptr(frame), &raw mut (*record).after);
        end(record, action);
    }
    0
}

/// Begins a record.
///
/// # Safety
/// `record` is this CPU's.
#[inline(always)]
unsafe fn begin(record: *mut TraceRecord, point: u32, ifindex: u32) {
    // SAFETY: the caller's promise; a helper without arguments.
    unsafe {
        (*record).at = bpf_ktime_get_ns();
        (*record).point = point;
        (*record).ifindex = ifindex;
        (*record).code = NO_VERDICT;
        (*record).slot = SLOT_NONE;
    }
}

/// Ends a record, and hands it over if it is wanted.
///
/// # Safety
/// `record` is this CPU's.
#[inline(always)]
unsafe fn end(record: *mut TraceRecord, action: u32) {
    // SAFETY: the caller's promise; fields of an element of the flow table, which is never unmapped.
    unsafe {
        (*record).action = action;
        (*record).meta = 0;
        (*record).endpoint = 0;
        if (*record).slot != SLOT_NONE
            && let Some(slot) = FLOW_SLOTS.get_ptr((*record).slot)
        {
            (*record).meta = (&raw const (*slot).shared.version).read_volatile().raw();
            (*record).endpoint = (*slot).shared.endpoint;
        }
        if !is_wanted(record) {
            return;
        }
        (*record).took = bpf_ktime_get_ns().wrapping_sub((*record).at) as u32;
        if TRACE.output(&*record, 0).is_err()
            && let Some(lost) = TRACE_LOST.get_ptr_mut(0)
        {
            add_here(lost, 1);
        }
    }
}

/// Whether the filter lets a record pass. It lets more pass than the user asked for, who is told by userspace what is meant: where
/// addresses are translated, only the other side of a flow is the same everywhere.
///
/// # Safety
/// `record` is this CPU's.
#[inline(always)]
unsafe fn is_wanted(record: *const TraceRecord) -> bool {
    let filter = |word: usize| TRACE_FILTER.get(word).map_or(0, Global::load);
    // SAFETY: the caller's promise; the addresses stand within the headers, aligned to words.
    unsafe {
        let word = |off: usize| (&raw const (*record).before).cast::<u8>().add(off).cast::<u32>().read_volatile();
        let (source, destination) = (word(ipv4::field::SRC), word(ipv4::field::DST));
        let has = |address: u32| source == address || destination == address;
        let is_ip = (*record).protocol == u32::from(u16::from_ne_bytes(ethertype::IPV4));
        let has_addresses = is_ip && (*record).before_len >= ipv4::MIN_LEN as u32;
        let (endpoint, code) = (filter(trace_filter::ENDPOINT), (*record).code);
        if code == NO_VERDICT
            && filter(trace_filter::NO_OTHERS) != 0
            && !(has_addresses && (is_inside(source) || is_inside(destination)))
            && ENDPOINTS.get_ptr(&(*record).ingress).is_none()
        {
            return false;
        }
        if filter(trace_filter::DROPS) != 0 && (code == NO_VERDICT || code <= Verdict::Delivered.code().raw()) {
            return false;
        }
        if endpoint != 0
            && (*record).ifindex != endpoint
            && (*record).ingress != endpoint
            && (*record).endpoint != endpoint
            && !(has_addresses && has(filter(trace_filter::ADDRESS)))
        {
            return false;
        }
        let (proto, peer, other) =
            (filter(trace_filter::PROTO), filter(trace_filter::PEER), filter(trace_filter::OTHER_PEER));
        if proto | peer | other == 0 {
            return true;
        }
        let own = (&raw const (*record).before).cast::<u8>().add(PROTO).read_volatile();
        has_addresses
            && (proto == 0 || proto == own.into())
            && (peer | other == 0 || peer != 0 && has(peer) || other != 0 && has(other))
    }
}

/// Whether an address (network byte order) may be an endpoint's.
#[inline(always)]
fn is_inside(addr: u32) -> bool {
    let addr = u32::from_be(addr);
    config().is_some_and(|config| addr >= config.subnets_min && addr <= config.subnets_max)
}

/// Copies the headers at `l3`, as much of them as there is; how much, bytes.
///
/// # Safety
/// `to` points into this CPU's record.
#[inline(always)]
unsafe fn headers(skb: Skb, l3: u32, to: *mut [u8; TRACE_HEADERS]) -> u32 {
    // SAFETY: the caller's promise; the lengths are no longer than what is written to.
    let copied = |length: u32| unsafe { bpf_skb_load_bytes(skb.ptr().cast(), l3, to.cast::<c_void>(), length) } == 0;
    longest(copied)
}

/// As [`headers`], of a frame.
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn frame_headers(frame: Frame, to: *mut [u8; TRACE_HEADERS]) -> u32 {
    const L3: u32 = L3_OFF as u32;
    // SAFETY: as in `headers`.
    let copied = |length: u32| unsafe { bpf_xdp_load_bytes(frame.ptr(), L3, to.cast::<c_void>(), length) } == 0;
    longest(copied)
}

/// The longest that can be copied: an ICMP error and what it embeds, a segment of TCP, a datagram, a header of IPv4.
#[inline(always)]
fn longest(copied: impl Fn(u32) -> bool) -> u32 {
    if copied(TRACE_HEADERS as u32) {
        TRACE_HEADERS as u32
    } else if copied(40) {
        40
    } else if copied(28) {
        28
    } else if copied(20) {
        20
    } else {
        0
    }
}
