//! Makes the flows, both directions of each.

use core::ops::ControlFlow;

use aya_ebpf::bindings::BPF_NOEXIST;
use forwarder_common::abi::{FlowHalf, FlowState, FlowVersion, Tuple};

use crate::{
    kernel::{
        maps::{DIRECT, LINES, SET_MASK, WAYS, Walk},
        shared::Shared,
        slots,
    },
    lookup,
    walk::{MTU, Step, outbound, reply},
};

/// The flow to make now; `None` when all are made.
#[inline(always)]
fn next(walk: &mut Walk) -> Option<u32> {
    if walk.state > walk.flow_mask {
        return None;
    }
    let flow = walk.state as u32;
    walk.state = walk.state.wrapping_add(1);
    Some(flow)
}

#[inline(always)]
fn note(walk: &mut Walk, made: bool) {
    if !made {
        walk.missed = walk.missed.wrapping_add(1);
    }
}

#[inline(always)]
fn half(tuple: Tuple) -> FlowHalf {
    FlowHalf { tuple, mtu: MTU, ..FlowHalf::default() }
}

const ON: ControlFlow<()> = ControlFlow::Continue(());
const STOP: ControlFlow<()> = ControlFlow::Break(());

/// Flows of `direct`.
pub(crate) struct Direct;

impl Step for Direct {
    #[inline(always)]
    fn step(_index: u32, walk: &mut Walk) -> ControlFlow<()> {
        let Some(flow) = next(walk) else { return STOP };
        for tuple in [outbound(flow), reply(flow)] {
            note(walk, DIRECT.insert(&tuple, &half(tuple), BPF_NOEXIST.into()).is_ok());
        }
        ON
    }
}

/// Flows of `pool` and `cache`.
pub(crate) struct Pool;

impl Step for Pool {
    #[inline(always)]
    fn step(_index: u32, walk: &mut Walk) -> ControlFlow<()> {
        let Some(flow) = next(walk) else { return STOP };
        // Slot 0 is never used.
        let index = flow.wrapping_add(1);
        let Some(slot) = slots::slot(index) else { return STOP };
        let (outbound, inbound) = (outbound(flow), reply(flow));
        slot.outbound().write(half(outbound));
        slot.inbound().write(half(inbound));
        slot.version().write(FlowVersion::new(1, FlowState::Established));
        for tuple in [outbound, inbound] {
            note(walk, lookup::fwd_insert(&tuple, index));
        }
        ON
    }
}

/// Flows of `lines`: whoever finds its set full stands in the hash only.
pub(crate) struct Lines;

impl Step for Lines {
    #[inline(always)]
    fn step(_index: u32, walk: &mut Walk) -> ControlFlow<()> {
        let Some(flow) = next(walk) else { return STOP };
        for tuple in [outbound(flow), reply(flow)] {
            let Some(set) = Shared::element(&LINES, lookup::hash(&tuple) & SET_MASK.load()) else { return STOP };
            let mut way = 0;
            while way < WAYS {
                let Some(line) = set.nth(way) else { return STOP };
                if line.tuple().read().proto == 0 {
                    line.write(half(tuple));
                    break;
                }
                way = way.wrapping_add(1);
            }
        }
        ON
    }
}
