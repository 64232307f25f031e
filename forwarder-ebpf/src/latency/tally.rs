//! Start and end of a way.

use forwarder_common::{
    abi::{LatencySettings, LatencyStart, LatencyTally, NO_PATH},
    latency::{BUCKETS, STARTS, bucket, is_inside},
    types::direction::Direction,
};

use crate::{
    kernel::{
        clock::nanoseconds,
        maps::{PASSED, PATHS, SETTINGS, STARTS_IN, STARTS_OUT, TALLIES},
        shared::Shared,
        skb::Skb,
    },
    packet::{self, Packet},
};

shared_fields! {
    LatencyStart {
        /// The packet's key; 0 for none.
        key: u64 = key;
        /// When it began its way, nanoseconds.
        at: u64 = at;
        /// Packets of this key under way.
        pending: u32 = pending;
        /// Its path.
        path: u32 = path;
        /// How many packets it stands for.
        weight: u32 = weight;
    }
    LatencyTally {
        /// Packets that began their way.
        started: u64 = started;
        /// Packets of which it is not known when they began.
        ambiguous: u64 = ambiguous;
        /// Packets that were measured.
        measured: u64 = measured;
        /// For how many they stand.
        packets: u64 = packets;
        /// The sum of their latencies, nanoseconds.
        sum_ns: u64 = sum_ns;
        /// The longest of them.
        max_ns: u32 = max_ns;
        /// How many took how long.
        buckets: [u64; BUCKETS] = buckets;
    }
}

/// How long a packet may be under way before it is taken for lost, nanoseconds.
const LOST: u64 = 2_000_000_000;
/// Tries to write a maximum that another CPU changes at the same time.
const TRIES: usize = 4;

/// A packet that was chosen.
struct Chosen {
    packet: Packet,
    weight: u32,
    other: u32,
}

/// Counts the packet at one of the four places; the packet if it is to be measured.
#[inline(always)]
fn chosen<const L3: usize>(skb: Skb, direction: Direction, place: u32) -> Option<Chosen> {
    let packet = packet::read::<L3>(skb, direction)?;
    if let Some(passed) = Shared::own(&PASSED, place) {
        passed.add_here(1);
    }
    let LatencySettings { threshold, weight, other, .. } = *SETTINGS.get(0)?;
    ((packet.key >> 32) as u32 <= threshold).then_some(Chosen { packet, weight, other })
}

/// Where a packet of this key notes its start.
#[inline(always)]
fn start_of(direction: Direction, key: u64) -> Option<Shared<LatencyStart>> {
    let index = key as u32 >> 1 & (STARTS as u32).wrapping_sub(1);
    match direction {
        Direction::Outbound => Shared::element(&STARTS_OUT, index),
        Direction::Inbound => Shared::element(&STARTS_IN, index),
    }
}

/// Notes that a packet begins its way.
#[inline(always)]
pub(crate) fn starts<const L3: usize>(skb: Skb, direction: Direction) {
    let Some(Chosen { packet: Packet { key, src, dst }, weight, other }) =
        chosen::<L3>(skb, direction, (direction as u32) << 1)
    else {
        return;
    };
    let path = match direction {
        Direction::Inbound => NO_PATH,
        Direction::Outbound => {
            let path = path_of(src, other, Some(dst));
            let Some(tally) = tally(path, direction) else { return };
            tally.started().add(1);
            path
        }
    };
    let Some(start) = start_of(direction, key) else { return };
    // Two CPUs may write it at once: the key is written last, so that what an end finds under its own key is at worst the time of a packet
    // that began at that very moment.
    let known = start.key().read() == key;
    let (before, pending) = (start.at().read(), start.pending().read());
    start.key().write(0);
    start.path().write(path);
    start.weight().write(weight);
    let at = nanoseconds();
    let again = known && at.wrapping_sub(before) < LOST;
    start.pending().write(if again { pending.wrapping_add(1) } else { 1 });
    start.at().write(at);
    start.key().write(key);
}

/// Counts how long the way of a packet took.
#[inline(always)]
pub(crate) fn ends<const L3: usize>(skb: Skb, direction: Direction) {
    let Some(Chosen { packet: Packet { key, dst, .. }, other, .. }) =
        chosen::<L3>(skb, direction, (direction as u32) << 1 | 1)
    else {
        return;
    };
    let Some(started) = start_of(direction, key) else { return };
    if started.key().read() != key {
        return;
    }
    let now = nanoseconds();
    let start = started.read();
    if start.pending > 1 {
        started.pending().write(start.pending.wrapping_sub(1));
    } else {
        started.key().write(0);
    }
    let path = if start.path == NO_PATH { path_of(dst, other, None) } else { start.path };
    let Some(tally) = tally(path, direction) else { return };
    if start.pending > 1 {
        tally.ambiguous().add(1);
    } else {
        count(tally, now.wrapping_sub(start.at), start.weight);
    }
}

/// Counts one latency.
#[inline(always)]
fn count(tally: Shared<LatencyTally>, ns: u64, weight: u32) {
    let weight = u64::from(weight);
    let Some(taken) = tally.buckets().nth(bucket(ns)) else { return };
    taken.add(weight);
    tally.measured().add(1);
    tally.packets().add(weight);
    tally.sum_ns().add(ns.wrapping_mul(weight));
    let own = if ns > u32::MAX.into() { u32::MAX } else { ns as u32 };
    let mut tries = 0;
    while tries < TRIES {
        let before = tally.max_ns().read();
        if own <= before || tally.max_ns().replace(before, own) {
            return;
        }
        tries = tries.wrapping_add(1);
    }
}

/// The path of the address inside; `to` is where the packet goes, if that may be a neighbour, which is not reached by the
/// uplink.
#[inline(always)]
pub(crate) fn path_of(inside: [u32; 4], other: u32, to: Option<[u32; 4]>) -> u32 {
    // Records are written before the programs are attached.
    let Some(path) = Shared::value(&PATHS, &inside).map(Shared::read) else { return other };
    match to {
        Some(to) if is_inside(to, path.network, path.mask) => NO_PATH,
        _ => path.index,
    }
}

#[inline(always)]
fn tally(path: u32, direction: Direction) -> Option<Shared<LatencyTally>> {
    if path == NO_PATH {
        return None;
    }
    Shared::element(&TALLIES, path << 1 | direction as u32)
}
