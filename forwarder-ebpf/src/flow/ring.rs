//! Rings of slot numbers: half-open flows (a ring per endpoint) and closed ones. Noting a flow overwrites the oldest entry,
//! and the flow that stood there is ended, if it is still what it was. So half-open flows can only evict half-open flows of
//! the same endpoint, and established flows stand in no ring.

use forwarder_common::abi::RingEntry;

use crate::{
    atomic::{exchange64, fetch_add32},
    flow::life,
    maps::{CLOSING_RING, FLOW_ALLOC, HALF_OPEN_CURSOR, HALF_OPEN_RING, config},
};

/// Notes that the flow in `slot` with word `meta` is half-open, and evicts the oldest of its ring.
#[inline(always)]
pub(crate) fn note_half_open(ring: u32, slot: u32, meta: u32) {
    let Some(config) = config() else { return };
    let Some(cursor) = HALF_OPEN_CURSOR.get_ptr_mut(ring) else { return };
    let position = fetch_add32(cursor, 1) & config.half_open_quota.wrapping_sub(1);
    let base = ring.wrapping_mul(config.half_open_quota);
    if let Some(entry) = HALF_OPEN_RING.get_ptr_mut(base.wrapping_add(position)) {
        displace(entry, slot, meta);
    }
}

/// Notes that the flow in `slot` with word `meta` is closing, and forgets the oldest closed one.
#[inline(always)]
pub(crate) fn note_closing(slot: u32, meta: u32) {
    let (Some(config), Some(alloc)) = (config(), FLOW_ALLOC.get_ptr_mut(0)) else { return };
    // SAFETY: `alloc` points to the element of the map.
    let cursor = unsafe { &raw mut (*alloc).closing_cursor };
    let position = fetch_add32(cursor, 1) & config.closing_quota.wrapping_sub(1);
    if let Some(entry) = CLOSING_RING.get_ptr_mut(position) {
        displace(entry, slot, meta);
    }
}

/// Writes an entry and ends the flow that stood there.
#[inline(always)]
fn displace(entry: *mut RingEntry, slot: u32, meta: u32) {
    let new = u64::from(slot) | u64::from(meta) << 32;
    // The entry is eight aligned bytes: slot and meta change together.
    let old = exchange64(entry.cast(), new);
    let (old_slot, old_meta) = (old as u32, (old >> 32) as u32);
    if old_meta != 0 {
        life::fwd_flow_end(old_slot, old_meta);
    }
}
