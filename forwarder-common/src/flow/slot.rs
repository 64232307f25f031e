//! The life of a slot: in which order its version, its tuples in the index and its place in the queue of free slots change, so that
//! neither a slot nor a tuple is lost or given out twice, whatever two CPUs do at once, and whatever a map refuses.
//!
//! ```text
//! free ──take──► making ──► opening ──► half-open ⇄ established ⇄ closing
//!  ▲               │           │            └───────────┴────────────┤
//!  │               └───────────┴────────────► ending ◄───────────────┘
//!  └──────────────────────offer────────────────┘ ▲ └──► unfinished
//!                                                └─────────┘ by the expiry timer
//! ```
//!
//! A slot belongs to whoever takes it out of the queue until its version is *half-open*, and to whoever replaces its version by *ending*
//! until it is back in the queue. Deletions from a hash and additions to a queue can fail since Linux 6.15, where a lock cannot be had in
//! time: then the slot is *unfinished*, and still says what of its flow is left where.

pub mod renew;

use crate::{
    abi::{FlowState, FlowVersion},
    types::direction::Direction,
};

/// Bits of [`crate::abi::FlowShared::held`]: what is to be given back when the flow ends.
pub mod held {
    /// Of one direction: its tuple in the index.
    pub const TUPLE: u32 = 1 << 0;
    /// Of one direction: the cache entry for its tuple. It goes after the tuple.
    pub const CACHED: u32 = 1 << 1;
    /// Both of the outbound direction.
    pub const OUTBOUND: u32 = TUPLE | CACHED;
    /// Where the bits of the inbound direction begin.
    pub const INBOUND_SHIFT: u32 = 2;
    /// Both of the inbound direction.
    pub const INBOUND: u32 = (TUPLE | CACHED) << INBOUND_SHIFT;
    /// A flow's part in the use of its port (`PORT_USE`).
    pub const PORT: u32 = 1 << 4;
    /// The mapping that ends with the flow (`MAPPINGS`, `EXTERNAL`), and the port.
    pub const MAPPING: u32 = 1 << 5;
}

/// A slot, and the maps that know of it.
pub trait Slot {
    /// Replaces the version `old` by `new`; whether it was `old`. A full barrier.
    fn replace(&self, old: FlowVersion, new: FlowVersion) -> bool;
    /// What is held; only the slot's owner asks.
    fn held(&self) -> u32;
    /// Notes what is held; only the slot's owner does.
    fn hold(&self, held: u32);
    /// Puts one of its tuples into the index, with a cache entry, unless it is there.
    fn insert(&self, direction: Direction) -> bool;
    /// Takes one of its tuples out of the index, and then its cache entry, of both what `what` says ([`held::TUPLE`], [`held::CACHED`]);
    /// what is left.
    fn remove(&self, direction: Direction, what: u32) -> u32;
    /// Gives [`held::PORT`] and [`held::MAPPING`] back; what of them is left.
    fn release(&self, held: u32) -> u32;
    /// Puts it at the end of the queue of free slots.
    fn offer(&self) -> bool;
    /// Counts the flow in another state than before.
    fn count(&self, from: FlowState, to: FlowState);
}

/// The version of a slot whose flow has ended: no reader takes it for that flow's any more.
#[inline(always)]
const fn ending(version: FlowVersion) -> FlowVersion {
    FlowVersion::new(version.generation().wrapping_add(1), FlowState::Ending)
}

/// Makes the flow visible whose slot has the version `version` ([`FlowState::Making`]), and whose inbound tuple was claimed. False if there
/// is one with the same outbound tuple: then the slot is given back.
#[inline(always)]
pub fn publish(slot: &impl Slot, version: FlowVersion) -> bool {
    let opening = version.with_state(FlowState::Opening);
    slot.replace(version, opening);
    if !slot.insert(Direction::Outbound) {
        abandon(slot, opening);
        return false;
    }
    slot.hold(slot.held() | held::OUTBOUND);
    // Counted first: once the flow can be ended, its end is taken off.
    slot.count(FlowState::Opening, FlowState::HalfOpen);
    slot.replace(opening, version.with_state(FlowState::HalfOpen));
    true
}

/// Gives back a slot that was taken, with the version `version`, and all that is held.
#[inline(always)]
pub fn abandon(slot: &impl Slot, version: FlowVersion) {
    slot.replace(version, ending(version));
    finish(slot, ending(version));
}

/// Ends the flow in a slot, if its version is still `version`, that of a flow that may be ended. Whether it did.
#[inline(always)]
pub fn end(slot: &impl Slot, version: FlowVersion) -> bool {
    let state = version.state();
    if !state.can_end() || !slot.replace(version, ending(version)) {
        return false;
    }
    slot.count(state, FlowState::Free);
    finish(slot, ending(version));
    true
}

/// Goes on with a slot that was left unfinished, if its version is still `version`. Whether it did.
#[inline(always)]
pub fn resume(slot: &impl Slot, version: FlowVersion) -> bool {
    let ending = version.with_state(FlowState::Ending);
    if !matches!(version.state(), FlowState::Unfinished) || !slot.replace(version, ending) {
        return false;
    }
    finish(slot, ending);
    true
}

/// Gives back what an ending slot holds: the tuples first, so that nobody finds a free slot by them; the slot last, behind all that
/// are free already.
#[inline(always)]
fn finish(slot: &impl Slot, version: FlowVersion) {
    let held = slot.held();
    let outbound = slot.remove(Direction::Outbound, held & held::OUTBOUND);
    let inbound = slot.remove(Direction::Inbound, (held & held::INBOUND) >> held::INBOUND_SHIFT);
    let mut held = held & !(held::OUTBOUND | held::INBOUND) | outbound | inbound << held::INBOUND_SHIFT;
    let port = held & (held::PORT | held::MAPPING);
    if port != 0 {
        held = held & !port | slot.release(port);
    }
    slot.hold(held);
    let (free, unfinished) = (version.with_state(FlowState::Free), version.with_state(FlowState::Unfinished));
    if held != 0 {
        slot.replace(version, unfinished);
        return;
    }
    // Before it is offered: then it may be another's at once.
    slot.replace(version, free);
    if !slot.offer() {
        slot.replace(free, unfinished);
    }
}

#[cfg(test)]
mod interleave;
#[cfg(test)]
mod model;
