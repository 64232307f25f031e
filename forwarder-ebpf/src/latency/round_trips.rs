//! Round trips of TCP, as a namespace sees them: from a segment that leaves it to the first one that comes back with its time
//! ([`forwarder_common::latency::timestamps`]). Of segments with data alone, which the other end answers.

use aya_ebpf::bindings::BPF_NOEXIST;
use forwarder_common::{
    abi::{LatencyConversation, LatencyRoundTrips, LatencySettings, NO_PATH, mapped_words},
    latency::{SEGMENT_WORDS, SEGMENT_WORDS_IPV6, Timestamps, key_of_time, timestamps, timestamps_ipv6},
    types::direction::Direction,
    wire::ethernet::ethertype,
};

use crate::{
    kernel::{
        clock::nanoseconds,
        maps::{ROUND_TRIPS, SETTINGS, TIMES_SENT},
        shared::Shared,
        skb::Skb,
    },
    tally::path_of,
};

shared_fields! {
    LatencyRoundTrips {
        /// Round trips measured.
        count: u64 = count;
        /// Their sum, nanoseconds.
        sum_ns: u64 = sum_ns;
        /// The shortest.
        min_ns: u32 = min_ns;
        /// The longest.
        max_ns: u32 = max_ns;
        /// The last one.
        last_ns: u32 = last_ns;
    }
}

/// A segment of a conversation that is measured.
struct Segment {
    conversation: LatencyConversation,
    times: Timestamps,
}

/// Notes when a time leaves the namespace; the first segment that carries it counts.
#[inline(always)]
pub(crate) fn leaves<const L3: usize>(skb: Skb) {
    let Some(Segment { conversation, times }) = segment::<L3>(skb, Direction::Outbound) else { return };
    if !times.carries {
        return;
    }
    let key = key_of_time(&conversation, times.value);
    // A look-up costs less than an insertion that fails, and of a stream most segments carry a time that is known.
    if TIMES_SENT.get_ptr(&key).is_none() {
        let _full = TIMES_SENT.insert(&key, &nanoseconds(), BPF_NOEXIST.into());
    }
}

/// Counts how long a time was under way that comes back.
#[inline(always)]
pub(crate) fn enters<const L3: usize>(skb: Skb) {
    let Some(Segment { conversation, times }) = segment::<L3>(skb, Direction::Inbound) else { return };
    let key = key_of_time(&conversation, times.echo);
    let Some(sent) = Shared::recent(&TIMES_SENT, &key) else { return };
    let took = nanoseconds().wrapping_sub(sent.read());
    // Later segments that come back with it have waited for something else.
    if TIMES_SENT.remove(&key).is_err() {
        return;
    }
    let ns = if took > u32::MAX.into() { u32::MAX } else { took as u32 };
    count(&conversation, ns);
}

#[inline(always)]
fn count(conversation: &LatencyConversation, ns: u32) {
    let Some(all) = Shared::recent(&ROUND_TRIPS, conversation) else {
        let first = LatencyRoundTrips { count: 1, sum_ns: ns.into(), min_ns: ns, max_ns: ns, last_ns: ns, _pad: 0 };
        let _another_cpu = ROUND_TRIPS.insert(conversation, &first, BPF_NOEXIST.into());
        return;
    };
    all.count().add(1);
    all.sum_ns().add(ns.into());
    all.last_ns().write(ns);
    // Two CPUs rarely have segments of one conversation at once: then the extreme of one is lost.
    if ns < all.min_ns().read() {
        all.min_ns().write(ns);
    }
    if ns > all.max_ns().read() {
        all.max_ns().write(ns);
    }
}

/// The conversation of a packet with timestamps; none where round trips are not asked for.
#[inline(always)]
fn segment<const L3: usize>(skb: Skb, direction: Direction) -> Option<Segment> {
    let LatencySettings { other, round_trips, .. } = *SETTINGS.get(0)?;
    if round_trips == 0 {
        return None;
    }
    let (times, src, dst) = match skb.protocol().to_ne_bytes() {
        ethertype::IPV4 => ipv4::<L3>(skb)?,
        ethertype::IPV6 => ipv6::<L3>(skb)?,
        _ => return None,
    };
    let (inside, outside, ports) = match direction {
        Direction::Outbound => (src, dst, times.ports),
        Direction::Inbound => (dst, src, times.ports.rotate_left(16)),
    };
    let path = path_of(inside, other, None);
    let conversation = LatencyConversation { inside, outside, ports, path };
    (path != NO_PATH).then_some(Segment { conversation, times })
}

/// What is read of a segment: times, source and destination.
type Read = (Timestamps, [u32; 4], [u32; 4]);

#[inline(always)]
fn ipv4<const L3: usize>(skb: Skb) -> Option<Read> {
    let mut words = [0; SEGMENT_WORDS];
    if !skb.copy(L3 as u32, &mut words, (SEGMENT_WORDS << 2) as u32) {
        return None;
    }
    let [_, _, _, src, dst, ..] = words;
    Some((timestamps(&words)?, mapped_words(src), mapped_words(dst)))
}

#[inline(always)]
fn ipv6<const L3: usize>(skb: Skb) -> Option<Read> {
    let mut words = [0; SEGMENT_WORDS_IPV6];
    if !skb.copy(L3 as u32, &mut words, (SEGMENT_WORDS_IPV6 << 2) as u32) {
        return None;
    }
    let [_, _, s0, s1, s2, s3, d0, d1, d2, d3, ..] = words;
    Some((timestamps_ipv6(&words)?, [s0, s1, s2, s3], [d0, d1, d2, d3]))
}
