//! The maps. The number of tallies is set when they load.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    btf_maps::{Array, HashMap, LruHashMap, PerCpuArray},
    macros::btf_map,
};
use forwarder_common::{
    abi::{LatencyConversation, LatencyPath, LatencyRoundTrips, LatencySettings, LatencyStart, LatencyTally},
    latency::{CONVERSATIONS, STARTS, TIMES},
};

/// Settings.
#[btf_map]
pub(crate) static SETTINGS: Array<LatencySettings, 1> = Array::new();

/// Address inside, of either family → its path.
#[btf_map]
pub(crate) static PATHS: HashMap<[u32; 4], LatencyPath, 4096, { BPF_F_NO_PREALLOC as usize }> = HashMap::new();

/// Packets under way from a namespace, by their keys. What never arrives is overwritten by what follows: an array, because
/// every step of a hash would be part of what is measured.
#[btf_map]
pub(crate) static STARTS_OUT: Array<LatencyStart, STARTS> = Array::new();

/// Packets under way from an uplink. Most may be the host's own.
#[btf_map]
pub(crate) static STARTS_IN: Array<LatencyStart, STARTS> = Array::new();

/// What was measured, both ways of each path.
#[btf_map]
pub(crate) static TALLIES: Array<LatencyTally, 2> = Array::new();

/// Packets that passed each of the four programs, chosen or not: start and end of the way out, then of the way in.
#[btf_map]
pub(crate) static PASSED: PerCpuArray<u64, 4> = PerCpuArray::new();

/// When a time of a conversation left, nanoseconds of the monotonic clock, by its key
/// ([`key_of_time`](forwarder_common::latency::key_of_time)).
#[btf_map]
pub(crate) static TIMES_SENT: LruHashMap<u64, u64, TIMES> = LruHashMap::new();

/// Round trips of TCP conversations, the ones that were used last.
#[btf_map]
pub(crate) static ROUND_TRIPS: LruHashMap<LatencyConversation, LatencyRoundTrips, CONVERSATIONS> = LruHashMap::new();
