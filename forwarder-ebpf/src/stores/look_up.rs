//! One look-up in each store: finds the flow, checks that it is the one, copies its translation, counts.

use core::{arch::asm, ops::ControlFlow};

use forwarder_common::{
    abi::{FlowHalf, Tuple},
    types::direction::Direction,
};

use crate::{
    kernel::{
        maps::{DIRECT, FLOW_INDEX, LINES, SET_MASK, WAYS, Walk},
        shared::Shared,
    },
    lookup::{self, Hit},
    walk::{MTU, Step, chain, next},
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
fn end(walk: &mut Walk, found: Option<u16>) -> ControlFlow<()> {
    match found {
        Some(mtu) => chain(walk, mtu),
        None => walk.missed = walk.missed.wrapping_add(1),
    }
    ControlFlow::Continue(())
}

/// What all others do as well.
pub(crate) struct Reference;

impl Step for Reference {
    #[inline(always)]
    fn step(index: u32, walk: &mut Walk) -> ControlFlow<()> {
        let (tuple, _) = begin(index, walk);
        end(walk, Some(MTU ^ tuple.family))
    }
}

/// See the program `direct`.
pub(crate) struct Direct;

impl Step for Direct {
    #[inline(always)]
    fn step(index: u32, walk: &mut Walk) -> ControlFlow<()> {
        let (tuple, _) = begin(index, walk);
        end(walk, in_direct(&tuple))
    }
}

/// See the program `pool`.
pub(crate) struct Pool;

impl Step for Pool {
    #[inline(always)]
    fn step(index: u32, walk: &mut Walk) -> ControlFlow<()> {
        let (tuple, direction) = begin(index, walk);
        let slot = Shared::value(&FLOW_INDEX, &tuple).map(Shared::read);
        let found = slot.and_then(|slot| lookup::load(direction, slot, &tuple));
        end(walk, found.map(|hit| count(&hit)))
    }
}

/// See the program `lines`.
pub(crate) struct Lines;

impl Step for Lines {
    #[inline(always)]
    fn step(index: u32, walk: &mut Walk) -> ControlFlow<()> {
        let (tuple, _) = begin(index, walk);
        let Some(set) = Shared::element(&LINES, lookup::hash(&tuple) & SET_MASK.load()) else {
            return ControlFlow::Break(());
        };
        let mut way = 0;
        while way < WAYS {
            let found = set.nth(way).and_then(|line| take(line, &tuple));
            if found.is_some() {
                return end(walk, found);
            }
            way = way.wrapping_add(1);
        }
        walk.second = walk.second.wrapping_add(1);
        end(walk, in_direct(&tuple))
    }
}

/// See the program `cache`.
pub(crate) struct Cache;

impl Step for Cache {
    #[inline(always)]
    fn step(index: u32, walk: &mut Walk) -> ControlFlow<()> {
        let (tuple, direction) = begin(index, walk);
        let hash = lookup::hash(&tuple);
        let (mut slot, mut version) = lookup::find_cached(direction, &tuple, hash);
        if version.is_none() {
            walk.second = walk.second.wrapping_add(1);
            (slot, version) = lookup::fwd_indexed(direction, &tuple, hash);
        }
        let found = lookup::copy(direction, slot, version);
        end(walk, found.filter(|_| !version.is_none()).map(|hit| count(&hit)))
    }
}

#[inline(always)]
fn count(hit: &Hit) -> u16 {
    hit.half.packets().add(1);
    hit.mtu
}

#[inline(always)]
fn in_direct(tuple: &Tuple) -> Option<u16> {
    take(Shared::value(&DIRECT, tuple)?, tuple)
}

/// What `lookup::copy` and [`count`] do, for a half on its own: all of it is read, though little is used.
#[inline(always)]
fn take(half: Shared<FlowHalf>, tuple: &Tuple) -> Option<u16> {
    if !half.tuple().is(tuple) {
        return None;
    }
    half.addr().read();
    half.port().read();
    half.out_if().read();
    half.hop().read();
    half.counters().read();
    half.uplink_counters().read();
    let mtu = half.mtu().read();
    half.packets().add(1);
    Some(mtu)
}
