//! Finds the flow of a tuple.
//!
//! The flow cache (hash → slots, [`cache`]) saves the look-up in the index. Cache entries and index entries are only ever *candidates*:
//! slots are recycled without a grace period, so [`matches`] compares the whole tuple, its interface included, [`copy`] copies the
//! translation, and checks that the slot's generation is still the same. A packet is never translated by another flow's slot. The interface
//! in the tuple is also the protection against spoofed sources on the established path.

use aya_ebpf::bindings::BPF_NOEXIST;
use forwarder_common::{
    abi::{FlowHalf, FlowSlot, FlowState, FlowVersion, SLOT_NONE, Tuple, ZONE_MAIN},
    flow::{self, FlowKey, cache, slot::held},
    types::direction::Direction,
};

use crate::kernel::{
    maps::{FLOW_INDEX, FLOW_SLOTS, secret},
    shared::Shared,
    slots, trace,
};

use super::bucket::{bucket, load_bucket};

/// One direction of a flow that was found: a copy of its translation, and where its counters are.
#[derive(Clone, Copy)]
pub(crate) struct Hit {
    pub(crate) index: u32,
    pub(crate) slot: Shared<FlowSlot>,
    pub(crate) half: Shared<FlowHalf>,
    pub(crate) version: FlowVersion,
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
pub(crate) fn key_hash(key: &FlowKey) -> u32 {
    key.hash(&secret())
}

/// Whether any tuple with `hash` may be in the index. So most packets of the host, which belong to no flow, need no look-up in the
/// hash.
#[inline(always)]
pub(crate) fn is_known(hash: u32) -> bool {
    Cached { hash, bucket: load_bucket(hash) }.is_known()
}

/// What the flow cache has for a key, loaded once. The hash comes with it: computed a second time it would cost as much again, because
/// constants of the loader are read where they stand.
#[derive(Clone, Copy)]
pub(crate) struct Cached {
    hash: u32,
    bucket: u64,
}

impl Cached {
    /// Of a tuple in words.
    #[inline(always)]
    pub(crate) fn of(key: &FlowKey) -> Self {
        let hash = key_hash(key);
        Self { hash, bucket: load_bucket(hash) }
    }

    /// See [`is_known`].
    #[inline(always)]
    pub(crate) fn is_known(self) -> bool {
        let [first, second] = cache::candidates(self.bucket, self.hash);
        first | second != SLOT_NONE || cache::overflows(self.bucket)
    }
}

/// The slot of which this direction is `tuple`, which has `hash`, and the flow's version, as far as the flow cache tells; the
/// version is 0 if they do not.
#[inline(always)]
pub(crate) fn find_cached(direction: Direction, tuple: &Tuple, hash: u32) -> (u32, FlowVersion) {
    let [first, second] = cache::candidates(load_bucket(hash), hash);
    if first != SLOT_NONE {
        let version = matches(direction, first, tuple);
        if !version.is_none() {
            return (first, version);
        }
    }
    // Slot 0 is never used.
    (second, matches(direction, second, tuple))
}

global_fn! {
    /// See [`find_cached`].
    pub(crate) fn fwd_find_cached(direction: Direction, tuple: &Tuple, hash: u32) -> (u32, FlowVersion) = find_cached;
    /// See [`find`].
    pub(crate) fn fwd_find(direction: Direction, tuple: &Tuple) -> (u32, FlowVersion) = find;
    /// See [`indexed`].
    pub(crate) fn fwd_indexed(direction: Direction, tuple: &Tuple, hash: u32) -> (u32, FlowVersion) = indexed;
    /// See [`insert`].
    pub(crate) fn fwd_insert(tuple: &Tuple, slot: u32) -> bool = insert;
    /// See [`is_claimed`].
    pub(crate) fn fwd_is_claimed(tuple: &Tuple) -> bool = is_claimed;
    /// See [`remove`].
    fn fwd_remove(tuple: &Tuple, slot: u32, what: u32) -> u32 = remove_what;
}

/// The slot of which this direction is `tuple`, and the flow's version, as far as the flow cache tells, or else the index, which is asked only
/// about what may be in it; the version is 0 if there is none.
#[inline(always)]
fn find(direction: Direction, tuple: &Tuple) -> (u32, FlowVersion) {
    let hash = hash(tuple);
    let found = find_cached(direction, tuple, hash);
    if !found.1.is_none() || !is_known(hash) {
        return found;
    }
    fwd_indexed(direction, tuple, hash)
}

/// The slot of which this direction is `tuple`, [`SLOT_NONE`] if there is none.
#[inline(always)]
pub(crate) fn slot_of(direction: Direction, tuple: &Tuple) -> u32 {
    let (slot, version) = fwd_indexed(direction, tuple, hash(tuple));
    if version.is_none() { SLOT_NONE } else { slot }
}

/// As [`find_cached`], by the index. A tuple that had no cache entry has one from then on.
#[inline(always)]
fn indexed(direction: Direction, tuple: &Tuple, hash: u32) -> (u32, FlowVersion) {
    let Some(slot) = claimant(tuple) else { return (SLOT_NONE, FlowVersion::NONE) };
    let version = matches(direction, slot, tuple);
    if !version.is_none() && version.state() as u8 != FlowState::Opening as u8 {
        promote(hash, slot, version);
    }
    (slot, version)
}

/// The slot that the index has for a tuple.
#[inline(always)]
pub(crate) fn claimant(tuple: &Tuple) -> Option<u32> {
    Shared::value(&FLOW_INDEX, tuple).map(Shared::read)
}

/// Whether the reply to a host's packet with `tuple` is claimed by a flow.
#[inline(always)]
fn is_claimed(tuple: &Tuple) -> bool {
    let reply = flow::inbound(tuple, ZONE_MAIN);
    is_known(hash(&reply)) && claimant(&reply).is_some()
}

/// Gives the tuple with `hash` of the flow in `slot`, whose version was `version`, a place in the flow cache if it has none.
#[inline(always)]
fn promote(hash: u32, slot: u32, version: FlowVersion) {
    let (Some(bucket), Some(flow)) = (bucket(hash), FLOW_SLOTS.get_ptr(slot)) else { return };
    cache::promote(&bucket, cache::entry(hash, slot), || {
        // SAFETY: an aligned word of a map value.
        let now = unsafe { (&raw const (*flow).shared.version).read_volatile() };
        now.is_same_flow(version)
    });
}

/// Puts a tuple into the index unless it is there, and a cache entry for it; whether it was put there.
#[inline(always)]
fn insert(tuple: &Tuple, slot: u32) -> bool {
    if FLOW_INDEX.insert(tuple, &slot, BPF_NOEXIST.into()).is_err() {
        return false;
    }
    let hash = hash(tuple);
    if let Some(bucket) = bucket(hash) {
        cache::add(&bucket, cache::entry(hash, slot));
    }
    true
}

/// The slot of the flow that has `tuple`, an inbound one; [`VACANT`] if there is none. The index is asked only where the flow cache does
/// not tell.
#[inline(always)]
pub(crate) fn holder(tuple: &Tuple) -> u32 {
    let hash = hash(tuple);
    let bucket = load_bucket(hash);
    let [first, second] = cache::candidates(bucket, hash);
    if first | second == SLOT_NONE && !cache::overflows(bucket) {
        return VACANT;
    }
    if has(first, tuple) {
        return first;
    }
    if has(second, tuple) {
        return second;
    }
    claimant(tuple).unwrap_or(VACANT)
}

/// Whether `tuple` is the inbound one that stands in slot `index`, whatever has become of its flow.
#[inline(always)]
pub(crate) fn has(index: u32, tuple: &Tuple) -> bool {
    index != SLOT_NONE && slots::slot(index).is_some_and(|slot| slot.inbound().tuple().is(tuple))
}

/// What [`holder`] returns for a tuple that nobody has: no slot.
pub(crate) const VACANT: u32 = u32::MAX;

/// Whether an element is not in a hash any more, after this was the result of removing it. Since Linux 6.15 removing can fail.
#[inline(always)]
pub(crate) fn is_gone(removed: Result<(), i32>) -> bool {
    const ENOENT: i32 = -2;
    matches!(removed, Ok(()) | Err(ENOENT))
}

/// Takes the tuple of the flow in `slot` out of the index, and then its cache entry: until then nobody may think that there is none. Of
/// both what `what` says ([`held::TUPLE`], [`held::CACHED`]); what is left is the result, and to be done again.
#[inline(always)]
pub(crate) fn remove(tuple: &Tuple, slot: u32, what: u32) -> u32 {
    if what == 0 { 0 } else { fwd_remove(tuple, slot, what) }
}

#[inline(always)]
fn remove_what(tuple: &Tuple, slot: u32, what: u32) -> u32 {
    if what & held::TUPLE != 0 && !is_gone(FLOW_INDEX.remove(tuple)) {
        return what;
    }
    let hash = hash(tuple);
    match bucket(hash) {
        Some(bucket) if !cache::remove(&bucket, cache::entry(hash, slot)) => held::CACHED,
        _ => 0,
    }
}

/// This direction of the flow that is `cached` for `key`, if it is `key` and the flow is established (one-way, if it is an outbound
/// one), and the flow's version.
#[inline(always)]
pub(crate) fn established(
    direction: Direction,
    key: &FlowKey,
    cached: Cached,
) -> Option<(Shared<FlowSlot>, Shared<FlowHalf>, FlowVersion)> {
    established_as(direction, key, 0, cached).map(|(_, slot, half, version)| (slot, half, version))
}

/// As [`established`], of a tuple of this [`Tuple::family`]; and the index of the slot.
#[inline(always)]
pub(crate) fn established_as(
    direction: Direction,
    key: &FlowKey,
    family: u16,
    cached: Cached,
) -> Option<(u32, Shared<FlowSlot>, Shared<FlowHalf>, FlowVersion)> {
    let [first, second] = cache::candidates(cached.bucket, cached.hash);
    let index = if first != SLOT_NONE { first } else { second };
    let slot = slots::slot(index)?;
    let half = slot.half(direction);
    let version = slot.version().read_in_order();
    // The tuple as words, as they stand in a key.
    let (addresses, ports) = (half.double_word_at::<0>().read(), half.double_word_at::<8>().read());
    let proto = half.word_at::<16>().read();
    let same =
        addresses == key.addresses && ports == key.ports && proto == u32::from(key.proto) | u32::from(family) << 16;
    // What comes in answers a one-way flow, which is noted on the slow path.
    let lasts = if direction.is_inbound() { version.raw() & 0xff } else { version.raw() & 0x07 }
        == FlowState::Established as u32;
    let found = (same && lasts).then_some((index, slot, half, version));
    if found.is_some() {
        trace::flow(index);
    }
    found
}

/// The version of the flow in slot `index` if its direction is `tuple`; 0 if it is not.
#[inline(always)]
pub(crate) fn matches(direction: Direction, index: u32, tuple: &Tuple) -> FlowVersion {
    let Some(slot) = slots::slot(index) else { return FlowVersion::NONE };
    let version = slot.version().read_in_order();
    if version.is_flow() && slot.half(direction).tuple().is(tuple) { version } else { FlowVersion::NONE }
}

/// A copy of the flow in slot `index`, for which [`matches`] gave `version`; `None` if the slot was recycled since.
#[inline(always)]
pub(crate) fn copy(direction: Direction, index: u32, version: FlowVersion) -> Option<Hit> {
    let slot = slots::slot(index)?;
    trace::flow(index);
    let half = slot.half(direction);
    let hit = Hit {
        index,
        slot,
        half,
        version,
        addr: half.addr().read(),
        port: half.port().read(),
        mtu: half.mtu().read(),
        out_if: half.out_if().read(),
        hop: half.hop().read(),
        counters: half.counters().read(),
        uplink_counters: half.uplink_counters().read(),
    };
    version.is_same_flow(slot.version().read_in_order()).then_some(hit)
}

/// Both in one: the flow in slot `index` if its direction is `tuple`.
#[inline(always)]
pub(crate) fn load(direction: Direction, index: u32, tuple: &Tuple) -> Option<Hit> {
    let version = matches(direction, index, tuple);
    if version.is_none() { None } else { copy(direction, index, version) }
}

impl Hit {
    /// The address of the next hop of an outbound flow; see [`FlowShared::next_hop`](forwarder_common::abi::FlowShared::next_hop). It is
    /// no part of the copy, because few need it: `None` if the slot was recycled since.
    #[inline(always)]
    pub(crate) fn next_hop(&self) -> Option<[u32; 4]> {
        let (next_hop, after) = (self.slot.next_hop().read(), self.slot.version().read_in_order());
        self.version.is_same_flow(after).then_some(next_hop)
    }

    /// Whether the flow's route is to be looked up again.
    #[inline(always)]
    pub(crate) fn is_route_old(&self, now: u32, hz: u32) -> bool {
        flow::is_route_old(self.slot.route_checked().read(), now, hz)
    }

    /// Whether the hardware addresses of the next hop are known.
    #[inline(always)]
    pub(crate) fn knows_macs(&self) -> bool {
        // Some byte of the one or of the other is not zero.
        self.hop[0] | self.hop[2] != 0
    }
}
