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
    abi::{
        NO_VERDICT, SLOT_NONE, TRACE_HEADERS, TRACE_RING, TracePoint, TraceRecord, is_v4, mapped_words, trace_filter,
    },
    types::verdict::{Code, Verdict},
    wire::{ethernet::ethertype, extension, ipv4, ipv6, packet::L3_OFF},
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
    record.ingress = skb.came_in_by();
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
    let before = addresses(record, &record.before, record.before_len);
    let (endpoint, code) = (filter(trace_filter::ENDPOINT), record.code);
    if code == NO_VERDICT
        && filter(trace_filter::NO_OTHERS) != 0
        && !before.is_some_and(|[source, destination]| is_inside(source) || is_inside(destination))
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
        && !is_of_endpoint(before)
        // What came in for a flow of IPv6 has the endpoint's address afterwards.
        && !is_of_endpoint(addresses(record, &record.after, record.after_len))
    {
        return false;
    }
    let (proto, any_peer) =
        (filter(trace_filter::PROTO), !names(trace_filter::PEER) && !names(trace_filter::OTHER_PEER));
    let has_proto = proto == 0 || before.is_some() && has_proto(record, proto);
    has_proto && (any_peer || has(before, trace_filter::PEER) || has(before, trace_filter::OTHER_PEER))
}

/// A word of the filter.
#[inline(always)]
fn filter(word: usize) -> u32 {
    TRACE_FILTER.get(word).map_or(0, Global::load)
}

/// The address of the filter whose first word this is.
#[inline(always)]
fn wanted(first: usize) -> [u32; 4] {
    [0, 1, 2, 3].map(|word| filter(first.wrapping_add(word)))
}

/// Whether the filter has an address there.
#[inline(always)]
fn names(first: usize) -> bool {
    wanted(first).into_iter().fold(0, |all, word| all | word) != 0
}

/// Whether one of a packet's addresses is the one of the filter whose first word this is, if it has one.
#[inline(always)]
fn has(addresses: Option<[[u32; 4]; 2]>, first: usize) -> bool {
    let [a, b, c, d] = wanted(first);
    let is_it = |[e, f, g, h]: [u32; 4]| (a ^ e) | (b ^ f) | (c ^ g) | (d ^ h) == 0;
    names(first) && addresses.is_some_and(|[source, destination]| is_it(source) || is_it(destination))
}

#[inline(always)]
fn is_of_endpoint(addresses: Option<[[u32; 4]; 2]>) -> bool {
    has(addresses, trace_filter::ADDRESS) || has(addresses, trace_filter::ADDRESS_IPV6)
}

/// Source and destination of a packet, as the filter has addresses; none for what is neither IPv4 nor IPv6, or cut off.
#[inline(always)]
fn addresses(record: &TraceRecord, headers: &[u8; TRACE_HEADERS], length: u32) -> Option<[[u32; 4]; 2]> {
    if is(record, ethertype::IPV4) && length >= ipv4::MIN_LEN as u32 {
        let (source, destination) = (word::<{ ipv4::field::SRC }>(headers), word::<{ ipv4::field::DST }>(headers));
        return Some([mapped_words(source), mapped_words(destination)]);
    }
    (is(record, ethertype::IPV6) && length >= ipv6::LEN as u32).then(|| {
        [
            [
                word::<{ ipv6::field::SRC }>(headers),
                word::<{ ipv6::field::SRC + 4 }>(headers),
                word::<{ ipv6::field::SRC + 8 }>(headers),
                word::<{ ipv6::field::SRC + 12 }>(headers),
            ],
            [
                word::<{ ipv6::field::DST }>(headers),
                word::<{ ipv6::field::DST + 4 }>(headers),
                word::<{ ipv6::field::DST + 8 }>(headers),
                word::<{ ipv6::field::DST + 12 }>(headers),
            ],
        ]
    })
}

/// Whether a packet of IP is of this protocol; of what extension headers of IPv6 hide, userspace knows it.
#[inline(always)]
fn has_proto(record: &TraceRecord, proto: u32) -> bool {
    let next = if is(record, ethertype::IPV4) { record.before[PROTO] } else { record.before[ipv6::field::NEXT_HEADER] };
    u32::from(next) == proto || is(record, ethertype::IPV6) && extension::is_walked_over(next)
}

#[inline(always)]
fn is(record: &TraceRecord, kind: [u8; 2]) -> bool {
    record.protocol == u32::from(u16::from_ne_bytes(kind))
}

/// The word at `AT`.
#[inline(always)]
fn word<const AT: usize>(headers: &[u8; TRACE_HEADERS]) -> u32 {
    headers.get(AT..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u32::from_ne_bytes(*word))
}

/// Whether an address may be an endpoint's address of IPv4.
#[inline(always)]
fn is_inside([a, b, c, addr]: [u32; 4]) -> bool {
    if !is_v4([a, b, c, addr]) {
        return false;
    }
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

/// The longest that can be copied: an ICMP error and what it embeds; of IPv6 a segment of TCP, a datagram; of IPv4 the same, which is as long as a
/// header of IPv6, and a header.
#[inline(always)]
fn longest(mut copied: impl FnMut(u32) -> bool) -> u32 {
    for length in [TRACE_HEADERS as u32, 60, 48, 40, 28, 20] {
        if copied(length) {
            return length;
        }
    }
    0
}
