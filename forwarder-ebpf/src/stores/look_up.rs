//! One look-up in each store: finds the flow, checks that it is the one, copies its translation, counts.

use core::{arch::asm, ptr};

use forwarder_common::{
    abi::{FlowHalf, Tuple},
    types::direction::Direction,
};

use crate::{
    kernel::{
        atomic::add64,
        maps::{DIRECT, LINES, SET_MASK, WAYS},
    },
    lookup::{self, Hit},
    walk::{MTU, Walk, chain, next},
};

/// The tuple as a look-up gets it from a packet: in memory, with values that the compiler does not know.
#[inline(always)]
fn begin(index: u32, walk: &mut Walk) -> (Tuple, Direction) {
    let direction = Direction::of(index & 1);
    let mut tuple = next(walk, direction);
    // SAFETY: a register is copied to itself. The compiler has to assume that `tuple` was read and written.
    unsafe { asm!("{0} = {0}", in(reg) &raw mut tuple, options(nostack)) };
    (tuple, direction)
}

#[inline(always)]
fn end(walk: &mut Walk, found: Option<u16>) -> i64 {
    match found {
        Some(mtu) => chain(walk, mtu),
        None => walk.missed = walk.missed.wrapping_add(1),
    }
    0
}

/// What all others do as well.
#[inline(never)]
pub(crate) unsafe extern "C" fn nothing(index: u32, walk: *mut Walk) -> i64 {
    // SAFETY: `bpf_loop` passes the pointer that `run` gave it; so below.
    let walk = unsafe { &mut *walk };
    let (tuple, _) = begin(index, walk);
    end(walk, Some(MTU ^ tuple._pad))
}

/// See the program `direct`.
#[inline(never)]
pub(crate) unsafe extern "C" fn direct(index: u32, walk: *mut Walk) -> i64 {
    // SAFETY: as in `nothing`.
    let walk = unsafe { &mut *walk };
    let (tuple, _) = begin(index, walk);
    end(walk, in_direct(&tuple))
}

/// See the program `pool`.
#[inline(never)]
pub(crate) unsafe extern "C" fn pool(index: u32, walk: *mut Walk) -> i64 {
    // SAFETY: as in `nothing`.
    let walk = unsafe { &mut *walk };
    let (tuple, direction) = begin(index, walk);
    let slot = crate::kernel::maps::FLOW_INDEX.get_ptr(&tuple);
    // SAFETY: an aligned word of a map value.
    let found = slot.and_then(|slot| lookup::load(direction, unsafe { slot.read_volatile() }, &tuple));
    end(walk, found.map(|hit| count(&hit)))
}

/// See the program `lines`.
#[inline(never)]
pub(crate) unsafe extern "C" fn lines(index: u32, walk: *mut Walk) -> i64 {
    // SAFETY: as in `nothing`.
    let walk = unsafe { &mut *walk };
    let (tuple, _) = begin(index, walk);
    let Some(set) = LINES.get_ptr_mut(lookup::hash(&tuple) & SET_MASK.load()) else { return 1 };
    let mut way = 0;
    while way < WAYS {
        // SAFETY: `way` is below the number of lines of a set.
        let found = unsafe { take(set.cast::<FlowHalf>().add(way), &tuple) };
        if found.is_some() {
            return end(walk, found);
        }
        way = way.wrapping_add(1);
    }
    walk.second = walk.second.wrapping_add(1);
    end(walk, in_direct(&tuple))
}

/// See the program `cache`.
#[inline(never)]
pub(crate) unsafe extern "C" fn cache(index: u32, walk: *mut Walk) -> i64 {
    // SAFETY: as in `nothing`.
    let walk = unsafe { &mut *walk };
    let (tuple, direction) = begin(index, walk);
    let hash = lookup::hash(&tuple);
    let (mut slot, mut version) = lookup::find_cached(direction, &tuple, hash);
    if version.is_none() {
        walk.second = walk.second.wrapping_add(1);
        (slot, version) = lookup::indexed(direction, &tuple, hash);
    }
    let found = lookup::copy(direction, slot, version);
    end(walk, found.filter(|_| !version.is_none()).map(|hit| count(&hit)))
}

#[inline(always)]
fn count(hit: &Hit) -> u16 {
    // SAFETY: `hit` points into a map value.
    add64(unsafe { &raw mut (*hit.half).packets }, 1);
    hit.mtu
}

#[inline(always)]
fn in_direct(tuple: &Tuple) -> Option<u16> {
    let half = DIRECT.get_ptr_mut(tuple)?;
    // SAFETY: an element of the map.
    unsafe { take(half, tuple) }
}

/// What `lookup::copy` and [`count`] do, for a half on its own.
///
/// # Safety
/// `half` points into a map value.
#[inline(always)]
unsafe fn take(half: *mut FlowHalf, tuple: &Tuple) -> Option<u16> {
    // SAFETY: the caller's; volatile, so that all of it is read though little is used.
    unsafe {
        if !lookup::same(&raw const (*half).tuple, tuple) {
            return None;
        }
        ptr::read_volatile(&raw const (*half).addr);
        ptr::read_volatile(&raw const (*half).port);
        ptr::read_volatile(&raw const (*half).out_if);
        lookup::read_hop(&raw const (*half).hop);
        ptr::read_volatile(&raw const (*half).counters);
        ptr::read_volatile(&raw const (*half).uplink_counters);
        let mtu = ptr::read_volatile(&raw const (*half).mtu);
        add64(&raw mut (*half).packets, 1);
        Some(mtu)
    }
}
