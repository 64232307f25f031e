//! The maps of all stores. Sizes are set when they load.

use aya_ebpf::{
    Global,
    bindings::BPF_F_MMAPABLE,
    btf_maps::{Array, HashMap},
    macros::btf_map,
};
use forwarder_common::abi::{FlowHalf, FlowSlot, Secret, Tuple};

/// With this flag an array's elements begin at a page: 64-byte elements own their cache lines.
const MMAPABLE: usize = BPF_F_MMAPABLE as usize;

/// Lines of a set.
pub(crate) const WAYS: usize = 4;

/// Number of buckets of the flow cache less one; the number is a power of two.
#[unsafe(no_mangle)]
pub(crate) static CACHE_MASK: Global<u32> = Global::new(0);

/// As in the data path.
#[unsafe(no_mangle)]
pub(crate) static SECRET: [Global<u64>; 4] = [const { Global::new(0) }; 4];

/// As in the data path.
#[inline(always)]
pub(crate) fn secret() -> Secret {
    let [a, b, c, d] = &SECRET;
    [a.load(), b.load(), c.load(), d.load()]
}

/// Number of sets of lines less one; the number is a power of two.
#[unsafe(no_mangle)]
pub(crate) static SET_MASK: Global<u32> = Global::new(0);

/// Element 0 of the map `WALK`: userspace sees five integers.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Walk {
    /// State of the random numbers, or the next flow to be made.
    pub(crate) state: u64,
    /// Number of flows that are looked up, less one; the number is a power of two.
    pub(crate) hot_mask: u64,
    /// Number of flows, less one; the number is a power of two.
    pub(crate) flow_mask: u64,
    /// Look-ups without result, or flows that could not be made.
    pub(crate) missed: u64,
    /// Look-ups that took the hash behind the first step.
    pub(crate) second: u64,
}

/// What to look up, and what came of it: kept between runs.
#[btf_map]
pub(crate) static WALK: Array<Walk, 1> = Array::new();

/// `direct`: tuple → the flow's half. The half repeats the tuple: an element may be recycled under a reader.
#[btf_map]
pub(crate) static DIRECT: HashMap<Tuple, FlowHalf, 1024> = HashMap::new();

/// `lines`: sets of halves.
#[btf_map]
pub(crate) static LINES: Array<[FlowHalf; WAYS], 1024, MMAPABLE> = Array::new();

/// As in the data path.
#[btf_map]
pub(crate) static FLOW_INDEX: HashMap<Tuple, u32, 1024> = HashMap::new();

/// As in the data path.
#[btf_map]
pub(crate) static FLOW_SLOTS: Array<FlowSlot, 1024, MMAPABLE> = Array::new();

/// As in the data path.
#[btf_map]
pub(crate) static FLOW_CACHE: Array<u64, 1024> = Array::new();
