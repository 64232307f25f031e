//! Finds the flow of a tuple.
//!
//! Hints (hash → slots, [`hint`]) save the look-up in the index. Hints and index entries are only ever *candidates*: slots are
//! recycled without a grace period, so [`matches`] compares the whole tuple, its interface included, [`copy`] copies the
//! translation, and checks that the slot's generation is still the same. A packet is never translated by another flow's slot. The interface in
//! the tuple is also the guard against spoofed sources on the established path.

use core::ptr;

use aya_ebpf::bindings::BPF_NOEXIST;
use forwarder_common::{
    abi::{FlowHalf, FlowSlot, FlowState, SLOT_NONE, Tuple, meta},
    flow::{
        self,
        hint::{self, Bucket as _},
        slot::held,
    },
    plain::Key,
};

use crate::{
    atomic::{add64, replace64},
    maps::{FLOW_HINTS, FLOW_INDEX, FLOW_SLOTS, HINT_MASK, secret},
    trace,
};

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

/// The bucket of hints for `hash`.
#[inline(always)]
fn bucket(hash: u32) -> Option<Bucket> {
    FLOW_HINTS.get_ptr_mut(hash & HINT_MASK.load()).map(Bucket)
}

/// The hints for `hash`: see [`hint`].
#[inline(always)]
pub(crate) fn hints(hash: u32) -> u64 {
    bucket(hash).map_or(0, |bucket| bucket.load())
}

/// Whether any tuple with `hash` may be in the index. So most packets of the host, which belong to no flow, need no look-up in the
/// hash.
#[inline(always)]
pub(crate) fn is_known(hash: u32) -> bool {
    let hints = hints(hash);
    let [first, second] = hint::candidates(hints, hash);
    first | second != SLOT_NONE || hint::overflows(hints)
}

/// The slot whose direction `BACK` (otherwise outbound) is `tuple`, which has `hash`, and the flow's word, as far as hints tell; the
/// word is 0 if they do not.
#[inline(always)]
pub(crate) fn hinted<const BACK: bool>(tuple: &Tuple, hash: u32) -> (u32, u32) {
    let [first, second] = hint::candidates(hints(hash), hash);
    if first != SLOT_NONE {
        let word = matches::<BACK>(first, tuple);
        if word != 0 {
            return (first, word);
        }
    }
    // Slot 0 is never used.
    (second, matches::<BACK>(second, tuple))
}

/// As [`hinted`], as a global function: the verifier does not look at what follows with each slot and each word.
#[inline(always)]
pub(crate) fn hinted_once<const BACK: bool>(tuple: &Tuple, hash: u32) -> (u32, u32) {
    let found = if BACK { fwd_hinted_back(tuple, hash) } else { fwd_hinted_out(tuple, hash) };
    (found as u32, (found >> 32) as u32)
}

/// [`hinted`] for an outbound tuple, the word in the high half.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_hinted_out(tuple: *const Tuple, hash: u32) -> u64 {
    // SAFETY: the verifier checks that callers pass a whole tuple; it may be null as far as it knows.
    unsafe { tuple.as_ref() }.map_or(0, |tuple| packed(hinted::<false>(tuple, hash)))
}

/// [`hinted`] for an inbound tuple.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_hinted_back(tuple: *const Tuple, hash: u32) -> u64 {
    // SAFETY: as in `fwd_hinted_out`.
    unsafe { tuple.as_ref() }.map_or(0, |tuple| packed(hinted::<true>(tuple, hash)))
}

/// A slot, and its word in the high half.
#[inline(always)]
fn packed((slot, word): (u32, u32)) -> u64 {
    u64::from(slot) | u64::from(word) << 32
}

/// As [`hinted`], by the index. A tuple that had no hint has one from then on.
#[inline(always)]
pub(crate) fn indexed<const BACK: bool>(tuple: &Tuple, hash: u32) -> (u32, u32) {
    let found = if BACK { fwd_indexed_back(tuple, hash) } else { fwd_indexed_out(tuple, hash) };
    (found as u32, (found >> 32) as u32)
}

/// [`indexed`] for an outbound tuple, the word in the high half.
///
/// A global function: the verifier looks at it once, not at each call.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_indexed_out(tuple: *const Tuple, hash: u32) -> u64 {
    // SAFETY: the verifier checks that callers pass a whole tuple; it may be null as far as it knows.
    unsafe { tuple.as_ref() }.map_or(0, |tuple| look_up::<false>(tuple, hash))
}

/// [`indexed`] for an inbound tuple.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_indexed_back(tuple: *const Tuple, hash: u32) -> u64 {
    // SAFETY: as in `fwd_indexed_out`.
    unsafe { tuple.as_ref() }.map_or(0, |tuple| look_up::<true>(tuple, hash))
}

#[inline(always)]
fn look_up<const BACK: bool>(tuple: &Tuple, hash: u32) -> u64 {
    let Some(slot) = FLOW_INDEX.get_ptr(tuple) else { return 0 };
    // SAFETY: an aligned word of a map value.
    let slot = unsafe { slot.read_volatile() };
    let word = matches::<BACK>(slot, tuple);
    if word != 0 && FlowState::of(word) as u8 != FlowState::Opening as u8 {
        promote(hash, slot, word);
    }
    packed((slot, word))
}

/// Gives the tuple with `hash` of the flow in `slot`, whose word was `word`, a place among the hints if it has none.
#[inline(always)]
fn promote(hash: u32, slot: u32, word: u32) {
    let (Some(bucket), Some(flow)) = (bucket(hash), FLOW_SLOTS.get_ptr(slot)) else { return };
    hint::promote(&bucket, hint::entry(hash, slot), || {
        // SAFETY: an aligned word of a map value.
        let now = unsafe { (&raw const (*flow).shared.meta).read_volatile() };
        meta::generation(now) == meta::generation(word)
    });
}

/// A bucket of hints.
struct Bucket(*mut u64);

impl hint::Bucket for Bucket {
    #[inline(always)]
    fn load(&self) -> u64 {
        // SAFETY: an aligned word of a map value; writers replace whole words.
        unsafe { self.0.read_volatile() }
    }

    #[inline(always)]
    fn replace(&self, old: u64, new: u64) -> bool {
        replace64(self.0, old, new)
    }

    #[inline(always)]
    fn add(&self, amount: u64) {
        add64(self.0, amount);
    }
}

/// Puts a tuple into the index unless it is there, and a hint for it.
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
    let hash = hash(tuple);
    if let Some(bucket) = bucket(hash) {
        hint::add(&bucket, hint::entry(hash, slot));
    }
    1
}

/// The slot of the flow that has `tuple`, an inbound one; [`VACANT`] if there is none. The index is asked only where hints do not tell.
#[inline(always)]
pub(crate) fn holder(tuple: &Tuple) -> u32 {
    let hash = hash(tuple);
    let hints = hints(hash);
    let [first, second] = hint::candidates(hints, hash);
    if first | second == SLOT_NONE && !hint::overflows(hints) {
        return VACANT;
    }
    if has(first, tuple) {
        return first;
    }
    if has(second, tuple) {
        return second;
    }
    match FLOW_INDEX.get_ptr(tuple) {
        // SAFETY: an aligned word of a map value.
        Some(slot) => unsafe { slot.read_volatile() },
        None => VACANT,
    }
}

/// Whether `tuple` is the inbound one that stands in slot `index`, whatever has become of its flow.
#[inline(always)]
fn has(index: u32, tuple: &Tuple) -> bool {
    // SAFETY: the pointer is to a whole slot.
    index != SLOT_NONE
        && FLOW_SLOTS.get_ptr(index).is_some_and(|slot| unsafe { same(&raw const (*slot).back.tuple, tuple) })
}

/// What [`holder`] returns for a tuple that nobody has: no slot.
pub(crate) const VACANT: u32 = u32::MAX;

/// Whether an element is not in a hash any more, after this was the result of removing it. Since Linux 6.15 removing can fail.
#[inline(always)]
pub(crate) fn is_gone(removed: Result<(), i32>) -> bool {
    const ENOENT: i32 = -2;
    matches!(removed, Ok(()) | Err(ENOENT))
}

/// Takes the tuple of the flow in `slot` out of the index, and then its hint: until then nobody may think that there is none. Of both what
/// `what` says ([`held::TUPLE`], [`held::HINT`]); what is left is the result, and to be done again.
#[inline(always)]
pub(crate) fn remove(tuple: &Tuple, slot: u32, what: u32) -> u32 {
    if what == 0 { 0 } else { fwd_remove(tuple, slot, what) }
}

/// As [`remove`].
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_remove(tuple: *const Tuple, slot: u32, what: u32) -> u32 {
    // SAFETY: as in `fwd_insert`.
    let Some(tuple) = (unsafe { tuple.as_ref() }) else { return 0 };
    if what & held::TUPLE != 0 && !is_gone(FLOW_INDEX.remove(tuple)) {
        return what;
    }
    let hash = hash(tuple);
    match bucket(hash) {
        Some(bucket) if !hint::remove(&bucket, hint::entry(hash, slot)) => held::HINT,
        _ => 0,
    }
}

/// The direction `BACK` (otherwise outbound) of the flow that the hint for `key` names, if it is `key` and the flow is
/// established (one-way, if it is an outbound one), and the flow's word.
#[inline(always)]
pub(crate) fn established<const BACK: bool>(key: &Key) -> Option<(*mut FlowSlot, *mut FlowHalf, u32)> {
    let hash = key_hash(key);
    let [first, second] = hint::candidates(hints(hash), hash);
    let index = if first != SLOT_NONE { first } else { second };
    let slot = FLOW_SLOTS.get_ptr_mut(index)?;
    // SAFETY: as in `matches`; a half is aligned to a cache line, so its first words are whole ones.
    unsafe {
        let half = if BACK { &raw mut (*slot).back } else { &raw mut (*slot).out };
        let word = (&raw const (*slot).shared.meta).read_volatile();
        let tuple = half.cast::<u64>();
        let (addresses, ports) = (tuple.read_volatile(), tuple.add(1).read_volatile());
        let proto = half.cast::<u32>().add(4).read_volatile();
        let same = addresses == key.addresses && ports == key.ports && proto == u32::from(key.proto);
        // What comes in answers a one-way flow, which is noted on the other path.
        let lasts = if BACK { word & 0xff } else { word & 0x07 } == FlowState::Established as u32;
        let found = (same && lasts).then_some((slot, half, word));
        if found.is_some() {
            trace::flow(index);
        }
        found
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
        if !FlowState::is_flow(word) || !same(&raw const (*half).tuple, tuple) {
            return 0;
        }
        word
    }
}

/// A copy of the flow in slot `index`, for which [`matches`] gave `word`; `None` if the slot was recycled since.
#[inline(always)]
pub(crate) fn copy<const BACK: bool>(index: u32, word: u32) -> Option<Hit> {
    let slot = FLOW_SLOTS.get_ptr_mut(index)?;
    trace::flow(index);
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
