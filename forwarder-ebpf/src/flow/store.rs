//! Finds the flow of a tuple.
//!
//! A hint (hash → slot) saves the look-up in the index. Hints and index entries are only ever *candidates*: slots are
//! recycled without a grace period, so [`matches`] compares the whole tuple, its interface included, [`copy`] copies the
//! translation, and checks that the slot's generation is still the same. A packet is never translated by another flow's slot. The interface in
//! the tuple is also the guard against spoofed sources on the established path.

use core::ptr;

use aya_ebpf::bindings::BPF_NOEXIST;
use forwarder_common::{
    abi::{FlowHalf, FlowSlot, FlowState, SLOT_NONE, Tuple, meta},
    flow,
    plain::Key,
};

use crate::maps::{FLOW_HINTS, FLOW_INDEX, FLOW_SLOTS, HINT_MASK, secret};

/// One direction of a flow that was found: a copy of its translation, and where its counters are.
#[derive(Clone, Copy)]
pub(crate) struct Hit {
    pub(crate) index: u32,
    pub(crate) slot: *mut FlowSlot,
    pub(crate) half: *mut FlowHalf,
    pub(crate) meta: u32,
    pub(crate) addr: [u8; 4],
    pub(crate) port: [u8; 2],
    pub(crate) mtu: u16,
    pub(crate) out_if: u32,
    /// Two hardware addresses, as words of a frame.
    pub(crate) hop: [u32; 3],
    pub(crate) counters: u16,
    pub(crate) uplink_counters: u16,
}

/// The hash of a tuple, keyed with this host's secret.
#[inline(always)]
pub(crate) fn hash(tuple: &Tuple) -> u32 {
    flow::hash(tuple, &secret())
}

/// The same of a tuple in words.
#[inline(always)]
pub(crate) fn key_hash(key: &Key) -> u32 {
    key.hash(&secret())
}

/// The slot that the hint for `hash` names, perhaps another flow's.
#[inline(always)]
pub(crate) fn hinted(hash: u32) -> u32 {
    match FLOW_HINTS.get_ptr(hash & HINT_MASK.load()) {
        // SAFETY: an aligned word of a map value; racing writers store whole words.
        Some(hint) => unsafe { hint.read_volatile() },
        None => SLOT_NONE,
    }
}

/// Whether any tuple with `hash` may be in the index. What has no hint was never there: hints are written with each entry,
/// and never erased. So most packets of the host, which belong to no flow, need no look-up in the hash.
#[inline(always)]
pub(crate) fn is_known(hash: u32) -> bool {
    hinted(hash) != SLOT_NONE
}

/// Looks `tuple` up in the index and notes the slot as a hint for `hash`.
#[inline(always)]
pub(crate) fn indexed(tuple: &Tuple, hash: u32) -> u32 {
    let Some(slot) = FLOW_INDEX.get_ptr(tuple) else { return SLOT_NONE };
    // SAFETY: as in `hinted`.
    let slot = unsafe { slot.read_volatile() };
    hint(hash, slot);
    slot
}

/// Notes `slot` as a hint for `hash`.
#[inline(always)]
pub(crate) fn hint(hash: u32, slot: u32) {
    if let Some(hint) = FLOW_HINTS.get_ptr_mut(hash & HINT_MASK.load()) {
        // SAFETY: as in `hinted`.
        unsafe { hint.write_volatile(slot) };
    }
}

/// Puts a tuple into the index unless it is there. Every tuple in the index has left a hint, its own or a later one with the
/// same hash: see [`is_known`].
#[inline(always)]
pub(crate) fn insert(tuple: &Tuple, slot: u32) -> bool {
    fwd_insert(tuple, slot) != 0
}

/// As [`insert`]; 1 if it was put there.
///
/// A global function: the verifier looks at it once, not at each call.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_insert(tuple: *const Tuple, slot: u32) -> u32 {
    // SAFETY: the verifier checks that callers pass a whole tuple; it may be null as far as it knows.
    let Some(tuple) = (unsafe { tuple.as_ref() }) else { return 0 };
    if FLOW_INDEX.insert(tuple, &slot, BPF_NOEXIST.into()).is_err() {
        return 0;
    }
    hint(hash(tuple), slot);
    1
}

/// The direction `BACK` (otherwise outbound) of the flow that the hint for `key` names, if it is `key` and the flow is
/// established, and the flow's word.
#[inline(always)]
pub(crate) fn established<const BACK: bool>(key: &Key) -> Option<(*mut FlowSlot, *mut FlowHalf, u32)> {
    let slot = FLOW_SLOTS.get_ptr_mut(hinted(key_hash(key)))?;
    // SAFETY: as in `matches`; a half is aligned to a cache line, so its first words are whole ones.
    unsafe {
        let half = if BACK { &raw mut (*slot).back } else { &raw mut (*slot).out };
        let word = (&raw const (*slot).shared.meta).read_volatile();
        let tuple = half.cast::<u64>();
        let (addresses, ports) = (tuple.read_volatile(), tuple.add(1).read_volatile());
        let proto = half.cast::<u32>().add(4).read_volatile();
        let same = addresses == key.addresses && ports == key.ports && proto == u32::from(key.proto);
        (same && word & 0xff == FlowState::Established as u32).then_some((slot, half, word))
    }
}

/// The word of the flow in slot `index` if its direction `BACK` (otherwise outbound) is `tuple`; 0 if it is not.
#[inline(always)]
pub(crate) fn matches<const BACK: bool>(index: u32, tuple: &Tuple) -> u32 {
    let Some(slot) = FLOW_SLOTS.get_ptr(index) else { return 0 };
    // SAFETY: `slot` points to a whole `FlowSlot`: every field below lies in it. Volatile reads keep their order.
    unsafe {
        let half = if BACK { &raw const (*slot).back } else { &raw const (*slot).out };
        let word = (&raw const (*slot).shared.meta).read_volatile();
        if FlowState::of(word) as u8 == FlowState::Free as u8 || !same(&raw const (*half).tuple, tuple) {
            return 0;
        }
        word
    }
}

/// A copy of the flow in slot `index`, for which [`matches`] gave `word`; `None` if the slot was recycled since.
#[inline(always)]
pub(crate) fn copy<const BACK: bool>(index: u32, word: u32) -> Option<Hit> {
    let slot = FLOW_SLOTS.get_ptr_mut(index)?;
    // SAFETY: as in `matches`.
    unsafe {
        let half = if BACK { &raw mut (*slot).back } else { &raw mut (*slot).out };
        let hit = Hit {
            index,
            slot,
            half,
            meta: word,
            addr: (&raw const (*half).addr).read_volatile(),
            port: (&raw const (*half).port).read_volatile(),
            mtu: (&raw const (*half).mtu).read_volatile(),
            out_if: (&raw const (*half).out_if).read_volatile(),
            hop: read_hop(&raw const (*half).hop),
            counters: (&raw const (*half).counters).read_volatile(),
            uplink_counters: (&raw const (*half).uplink_counters).read_volatile(),
        };
        let after = (&raw const (*slot).shared.meta).read_volatile();
        (meta::generation(word) == meta::generation(after)).then_some(hit)
    }
}

/// Both in one: the flow in slot `index` if its direction is `tuple`.
#[inline(always)]
pub(crate) fn load<const BACK: bool>(index: u32, tuple: &Tuple) -> Option<Hit> {
    match matches::<BACK>(index, tuple) {
        0 => None,
        word => copy::<BACK>(index, word),
    }
}

impl Hit {
    /// The address of the next hop of an outbound flow; see [`FlowShared::next_hop`](forwarder_common::abi::FlowShared::next_hop).
    #[inline(always)]
    pub(crate) fn next_hop(&self) -> [u32; 4] {
        // SAFETY: aligned words of the slot.
        unsafe { (&raw const (*self.slot).shared.next_hop).read_volatile() }
    }

    /// Whether the hardware addresses of the way are known.
    #[inline(always)]
    pub(crate) fn knows_macs(&self) -> bool {
        // Some byte of the one or of the other is not zero.
        self.hop[0] | self.hop[2] != 0
    }
}

/// The twelve bytes as three words: the field is aligned to four.
///
/// # Safety
/// `hop` points into a `FlowHalf`.
#[inline(always)]
pub(crate) unsafe fn read_hop(hop: *const [u8; 12]) -> [u32; 3] {
    // SAFETY: `FlowHalf::hop` stands at offset 32, aligned to four bytes.
    unsafe { hop.cast::<[u32; 3]>().read_volatile() }
}

/// Whether the tuple in a slot is `tuple`, compared by words.
///
/// # Safety
/// `stored` points to a whole tuple in a map value.
#[inline(always)]
pub(crate) unsafe fn same(stored: *const Tuple, tuple: &Tuple) -> bool {
    const WORDS: usize = size_of::<Tuple>() / 4;
    let (stored, wanted) = (stored.cast::<u32>(), ptr::from_ref(tuple).cast::<u32>());
    let mut difference = 0;
    let mut word = 0;
    while word < WORDS {
        // SAFETY: `word` is below the number of words of a `Tuple`, which is aligned to four bytes.
        difference |= unsafe { stored.add(word).read_volatile() ^ wanted.add(word).read() };
        word = word.wrapping_add(1);
    }
    difference == 0
}
