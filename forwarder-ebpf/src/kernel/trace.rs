//! Tells userspace of each packet what it was when a program began, what was decided, and what it was when the program ended.
//!
//! An object of its own has this (the feature `trace`), which `fwd trace` puts in the place of the other while it runs; in that one
//! `untraced.rs` stands here. What the packet was stands meanwhile in a record for each CPU, because programs of one CPU do not
//! interleave, and nothing has to be handed through the program. A tail call does not come back: its target begins the record anew.

use core::ptr;

use aya_ebpf::{
    Global,
    btf_maps::{PerCpuArray, RingBuf},
    helpers::bpf_xdp_load_bytes,
    macros::btf_map,
};
use forwarder_common::{
    abi::{NO_VERDICT, SLOT_NONE, TRACE_HEADERS, TRACE_RING, TracePoint, TraceRecord, trace_filter},
    types::verdict::{Code, Verdict},
    wire::{ethernet::ethertype, ipv4, packet::L3_OFF},
};

use crate::kernel::{
    clock::nanoseconds,
    maps::config,
    packet::{
        frame::{Frame, PASS},
        skb::Skb,
    },
    records,
    scratch::scratch,
    shared::Shared,
    slots,
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
    fwd_trace_begin(skb, point as u32, l3_of(point));
    let action = program(skb);
    fwd_trace_end(skb, action as u32, l3_of(point));
    action
}

/// Runs a program of XDP, and tells of its packet, unless it goes on to a program of traffic control.
#[inline(always)]
pub(crate) fn xdp(frame: Frame, point: TracePoint, program: impl FnOnce(Frame) -> u32) -> u32 {
    fwd_trace_frame_begin(frame, point as u32);
    let action = program(frame);
    if action != PASS {
        fwd_trace_frame_end(frame, action);
    }
    action
}

/// The verdict with this code was counted. Of several the first one is the packet's: it is that of its hook.
#[inline(always)]
pub(crate) fn verdict(code: Code) {
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

global_fn! {
    fn fwd_trace_verdict(code: Code) -> () = note_verdict;
    fn fwd_trace_flow(slot: u32) -> () = note_flow;
    fn fwd_trace_begin(skb: Skb, point: u32, l3: u32) -> () = begin_packet;
    fn fwd_trace_end(skb: Skb, action: u32, l3: u32) -> () = end_packet;
    fn fwd_trace_frame_begin(frame: Frame, point: u32) -> () = begin_frame;
    fn fwd_trace_frame_end(frame: Frame, action: u32) -> () = end_frame;
}

#[inline(always)]
fn note_verdict(code: Code) {
    let Some(record) = scratch(&TRACE_NOW) else { return };
    if record.code == NO_VERDICT {
        record.code = code.raw();
    }
}

#[inline(always)]
fn note_flow(slot: u32) {
    if let Some(record) = scratch(&TRACE_NOW) {
        record.slot = slot;
    }
}

#[inline(always)]
fn begin_packet(skb: Skb, point: u32, l3: u32) {
    let Some(record) = scratch(&TRACE_NOW) else { return };
    begin(record, point, skb.ifindex());
    record.ingress = skb.ingress_ifindex();
    record.length = skb.len().wrapping_sub(l3);
    record.segments = skb.gso_segs();
    record.protocol = skb.protocol().into();
    record.before_len = headers(skb, l3, &mut record.before);
}

#[inline(always)]
fn end_packet(skb: Skb, action: u32, l3: u32) {
    let Some(record) = scratch(&TRACE_NOW) else { return };
    // What goes into a namespace has got a link-layer header.
    let added = l3 == 0 && action == REDIRECTED && record.point == TracePoint::FromUplinkL3 as u32;
    let l3 = if added { L3_OFF as u32 } else { l3 };
    record.after_len = headers(skb, l3, &mut record.after);
    end(record, action);
}

#[inline(always)]
fn begin_frame(frame: Frame, point: u32) {
    let Some(record) = scratch(&TRACE_NOW) else { return };
    begin(record, point, frame.ingress_ifindex());
    record.ingress = frame.ingress_ifindex();
    record.segments = 0;
    record.protocol = u16::from_ne_bytes(ethertype::IPV4).into();
    record.before_len = frame_headers(frame, &mut record.before);
    // The frame may be padded, and in several buffers.
    let [_, _, high, low, ..] = record.before;
    record.length = u16::from_be_bytes([high, low]).into();
}

#[inline(always)]
fn end_frame(frame: Frame, action: u32) {
    let Some(record) = scratch(&TRACE_NOW) else { return };
    record.after_len = frame_headers(frame, &mut record.after);
    end(record, action);
}

/// Begins a record.
#[inline(always)]
fn begin(record: &mut TraceRecord, point: u32, ifindex: u32) {
    record.at = nanoseconds();
    record.point = point;
    record.ifindex = ifindex;
    record.code = NO_VERDICT;
    record.slot = SLOT_NONE;
}

/// Ends a record, and hands it over if it is wanted.
#[inline(always)]
fn end(record: &mut TraceRecord, action: u32) {
    record.action = action;
    record.meta = 0;
    record.endpoint = 0;
    if record.slot != SLOT_NONE
        && let Some(slot) = slots::slot(record.slot)
    {
        record.meta = slot.version().read().raw();
        record.endpoint = slot.endpoint().read();
    }
    if !is_wanted(record) {
        return;
    }
    record.took = nanoseconds().wrapping_sub(record.at) as u32;
    if TRACE.output(&*record, 0).is_err()
        && let Some(lost) = Shared::own(&TRACE_LOST, 0)
    {
        lost.add_here(1);
    }
}

/// Whether the filter lets a record pass. It lets more pass than the user asked for, who is told by userspace what is meant: where
/// addresses are translated, only the other side of a flow is the same everywhere.
#[inline(always)]
fn is_wanted(record: &TraceRecord) -> bool {
    let filter = |word: usize| TRACE_FILTER.get(word).map_or(0, Global::load);
    let (source, destination) =
        (word::<{ ipv4::field::SRC }>(&record.before), word::<{ ipv4::field::DST }>(&record.before));
    let has = |address: u32| source == address || destination == address;
    let is_ip = record.protocol == u32::from(u16::from_ne_bytes(ethertype::IPV4));
    let has_addresses = is_ip && record.before_len >= ipv4::MIN_LEN as u32;
    let (endpoint, code) = (filter(trace_filter::ENDPOINT), record.code);
    if code == NO_VERDICT
        && filter(trace_filter::NO_OTHERS) != 0
        && !(has_addresses && (is_inside(source) || is_inside(destination)))
        && records::endpoint(record.ingress).is_none()
    {
        return false;
    }
    if filter(trace_filter::DROPS) != 0 && (code == NO_VERDICT || code <= Verdict::Delivered.code().raw()) {
        return false;
    }
    if endpoint != 0
        && record.ifindex != endpoint
        && record.ingress != endpoint
        && record.endpoint != endpoint
        && !(has_addresses && has(filter(trace_filter::ADDRESS)))
    {
        return false;
    }
    let (proto, peer, other) =
        (filter(trace_filter::PROTO), filter(trace_filter::PEER), filter(trace_filter::OTHER_PEER));
    if proto | peer | other == 0 {
        return true;
    }
    let own = record.before[PROTO];
    has_addresses
        && (proto == 0 || proto == own.into())
        && (peer | other == 0 || peer != 0 && has(peer) || other != 0 && has(other))
}

/// The word at `AT`.
#[inline(always)]
fn word<const AT: usize>(headers: &[u8; TRACE_HEADERS]) -> u32 {
    headers.get(AT..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u32::from_ne_bytes(*word))
}

/// Whether an address (network byte order) may be an endpoint's.
#[inline(always)]
fn is_inside(addr: u32) -> bool {
    let addr = u32::from_be(addr);
    config().is_some_and(|config| addr >= config.subnets_min && addr <= config.subnets_max)
}

/// Copies the headers at `l3`, as much of them as there is; how much, bytes.
#[inline(always)]
fn headers(skb: Skb, l3: u32, to: &mut [u8; TRACE_HEADERS]) -> u32 {
    longest(|length| skb.copy(l3, to, length))
}

/// As [`headers`], of a frame.
#[inline(always)]
fn frame_headers(frame: Frame, to: &mut [u8; TRACE_HEADERS]) -> u32 {
    const L3: u32 = L3_OFF as u32;
    // SAFETY: the context is that of the running program; no length is beyond that of the headers.
    longest(|length| unsafe { bpf_xdp_load_bytes(frame.ptr(), L3, ptr::from_mut(to).cast(), length) } == 0)
}

/// The longest that can be copied: an ICMP error and what it embeds, a segment of TCP, a datagram, a header of IPv4.
#[inline(always)]
fn longest(mut copied: impl FnMut(u32) -> bool) -> u32 {
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
