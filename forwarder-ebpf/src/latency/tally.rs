//! Start and end of a way.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use forwarder_common::{
    abi::{LatencySettings, LatencyStart, LatencyTally, NO_PATH},
    latency::{BUCKETS, STARTS, bucket, is_inside, key},
    types::direction::Direction,
};

use crate::{
    atomic::{add64, replace32},
    maps::{PASSED, PATHS, SETTINGS, STARTS_IN, STARTS_OUT, TALLIES},
    packet,
    skb::Skb,
};

/// How long a packet may be under way before it is taken for lost, nanoseconds.
const LOST: u64 = 2_000_000_000;
/// Tries to write a maximum that another CPU changes at the same time.
const TRIES: usize = 4;

/// A packet that was chosen.
struct Chosen {
    key: u64,
    weight: u32,
    other: u32,
    src: [u8; 4],
    dst: [u8; 4],
}

/// Counts the packet at one of the four places; the packet if it is to be measured.
#[inline(always)]
fn chosen<const L3: usize>(skb: Skb, direction: Direction, place: u32) -> Option<Chosen> {
    let words = packet::words::<L3>(skb)?;
    let key = key(&words, direction);
    if key == 0 {
        return None;
    }
    if let Some(passed) = PASSED.get_ptr_mut(place) {
        // SAFETY: this CPU's own element; programs of one CPU do not interleave.
        unsafe { *passed = (*passed).wrapping_add(1) };
    }
    let LatencySettings { threshold, weight, other, .. } = *SETTINGS.get(0)?;
    if (key >> 32) as u32 > threshold {
        return None;
    }
    let [_, _, _, src, dst, ..] = words;
    Some(Chosen { key, weight, other, src: src.to_ne_bytes(), dst: dst.to_ne_bytes() })
}

/// Where a packet of this key notes its start.
#[inline(always)]
fn start_of(direction: Direction, key: u64) -> Option<*mut LatencyStart> {
    let index = key as u32 >> 1 & (STARTS as u32).wrapping_sub(1);
    match direction {
        Direction::Outbound => STARTS_OUT.get_ptr_mut(index),
        Direction::Inbound => STARTS_IN.get_ptr_mut(index),
    }
}

/// Notes that a packet begins its way.
#[inline(always)]
pub(crate) fn starts<const L3: usize>(skb: Skb, direction: Direction) {
    let Some(Chosen { key, weight, other, src, dst }) = chosen::<L3>(skb, direction, (direction as u32) << 1) else {
        return;
    };
    let path = match direction {
        Direction::Inbound => NO_PATH,
        Direction::Outbound => {
            let path = path_of(src, other, Some(dst));
            let Some(tally) = tally(path, direction) else { return };
            // SAFETY: an element of the map.
            add64(unsafe { &raw mut (*tally).started }, 1);
            path
        }
    };
    let Some(start) = start_of(direction, key) else { return };
    // SAFETY: an element of the map. Two CPUs may write it at once: the key is written last, so that what an end finds under
    // its own key is at worst the time of a packet that began at that very moment.
    unsafe {
        let known = (&raw const (*start).key).read_volatile() == key;
        let (before, pending) = ((*start).at, (*start).pending);
        (&raw mut (*start).key).write_volatile(0);
        (*start).path = path;
        (*start).weight = weight;
        let at = bpf_ktime_get_ns();
        let again = known && at.wrapping_sub(before) < LOST;
        (&raw mut (*start).pending).write_volatile(if again { pending.wrapping_add(1) } else { 1 });
        (&raw mut (*start).at).write_volatile(at);
        (&raw mut (*start).key).write_volatile(key);
    }
}

/// Counts how long the way of a packet took.
#[inline(always)]
pub(crate) fn ends<const L3: usize>(skb: Skb, direction: Direction) {
    let Some(Chosen { key, other, dst, .. }) = chosen::<L3>(skb, direction, (direction as u32) << 1 | 1) else {
        return;
    };
    let Some(started) = start_of(direction, key) else { return };
    // SAFETY: an element of the map; see `starts`.
    let (start, now) = unsafe {
        if (&raw const (*started).key).read_volatile() != key {
            return;
        }
        let now = bpf_ktime_get_ns();
        let start = *started;
        if start.pending > 1 {
            (&raw mut (*started).pending).write_volatile(start.pending.wrapping_sub(1));
        } else {
            (&raw mut (*started).key).write_volatile(0);
        }
        (start, now)
    };
    let path = if start.path == NO_PATH { path_of(dst, other, None) } else { start.path };
    let Some(tally) = tally(path, direction) else { return };
    // SAFETY: an element of the map.
    unsafe {
        if start.pending > 1 {
            add64(&raw mut (*tally).ambiguous, 1);
        } else {
            count(tally, now.wrapping_sub(start.at), start.weight);
        }
    }
}

/// Counts one latency.
///
/// # Safety
/// `tally` points to an element of the map.
#[inline(always)]
unsafe fn count(tally: *mut LatencyTally, ns: u64, weight: u32) {
    let weight = u64::from(weight);
    let index = bucket(ns);
    if index >= BUCKETS {
        return;
    }
    // SAFETY: the caller's promise; `index` is below the number of buckets.
    unsafe {
        add64((&raw mut (*tally).buckets).cast::<u64>().add(index), weight);
        add64(&raw mut (*tally).measured, 1);
        add64(&raw mut (*tally).packets, weight);
        add64(&raw mut (*tally).sum_ns, ns.wrapping_mul(weight));
        let (longest, own) = (&raw mut (*tally).max_ns, if ns > u32::MAX.into() { u32::MAX } else { ns as u32 });
        let mut tries = 0;
        while tries < TRIES {
            let before = longest.read_volatile();
            if own <= before || replace32(longest, before, own) {
                return;
            }
            tries = tries.wrapping_add(1);
        }
    }
}

/// The path of the address inside; `to` is where the packet goes, if that may be a neighbour, which is not reached by the
/// uplink.
#[inline(always)]
fn path_of(inside: [u8; 4], other: u32, to: Option<[u8; 4]>) -> u32 {
    let Some(path) = PATHS.get_ptr(&inside) else { return other };
    // SAFETY: records are written before the programs are attached.
    let path = unsafe { *path };
    match to {
        Some(to) if is_inside(to, path.network, path.mask) => NO_PATH,
        _ => path.index,
    }
}

#[inline(always)]
fn tally(path: u32, direction: Direction) -> Option<*mut LatencyTally> {
    if path == NO_PATH {
        return None;
    }
    TALLIES.get_ptr_mut(path << 1 | direction as u32)
}
