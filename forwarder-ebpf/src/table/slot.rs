//! A slot of the table, for the steps of its life in [`forwarder_common::flow::slot`].

use forwarder_common::{
    abi::{FlowSlot, FlowState, FlowVersion, flow_kind},
    flow::slot::{self, Slot},
    types::direction::Direction,
    wire::l4::has_ports,
};

use crate::{
    kernel::{
        atomic::{fetch_add32, replace_version},
        maps::{FLOW_ALLOC, FLOW_FREE, FLOW_SLOTS},
    },
    table::{lookup, mapping, state},
};

/// Slot `index`.
#[derive(Clone, Copy)]
pub(crate) struct At {
    index: u32,
    slot: *mut FlowSlot,
}

impl At {
    #[inline(always)]
    pub(crate) fn new(index: u32) -> Option<Self> {
        Some(Self { index, slot: FLOW_SLOTS.get_ptr_mut(index)? })
    }
}

impl Slot for At {
    #[inline(always)]
    fn replace(&self, old: FlowVersion, new: FlowVersion) -> bool {
        // SAFETY: an element of the map; so below.
        replace_version(unsafe { &raw mut (*self.slot).shared.version }, old, new)
    }

    #[inline(always)]
    fn held(&self) -> u32 {
        // SAFETY: as above; the owner's alone.
        unsafe { (*self.slot).shared.held }
    }

    #[inline(always)]
    fn hold(&self, held: u32) {
        // SAFETY: as above.
        unsafe { (*self.slot).shared.held = held };
    }

    #[inline(always)]
    fn insert(&self, direction: Direction) -> bool {
        lookup::insert(self.tuple(direction), self.index)
    }

    #[inline(always)]
    fn remove(&self, direction: Direction, what: u32) -> u32 {
        lookup::remove(self.tuple(direction), self.index, what)
    }

    #[inline(always)]
    fn release(&self, held: u32) -> u32 {
        let reply = self.tuple(Direction::Inbound);
        mapping::fwd_port_release(held, reply.proto.into(), u16::from_be_bytes(reply.dport).into())
    }

    #[inline(always)]
    fn offer(&self) -> bool {
        FLOW_FREE.push(&self.index, 0).is_ok()
    }

    #[inline(always)]
    fn count(&self, from: FlowState, to: FlowState) {
        // SAFETY: the fields of a flow that its maker, or who ends it, counts.
        let (counters, kind, proto) = unsafe {
            let FlowSlot { outbound, shared, .. } = &*self.slot;
            (shared.counters, shared.kind, outbound.tuple.proto)
        };
        state::fwd_count_states(counters, from as u32, to as u32);
        let (begins, ends) = (matches!(from, FlowState::Opening), matches!(to, FlowState::Free));
        if !begins && !ends {
            return;
        }
        let Some(alloc) = FLOW_ALLOC.get_ptr_mut(0) else { return };
        let one = if begins { 1 } else { u32::MAX };
        if kind == flow_kind::HOST {
            // SAFETY: the element of the map.
            fetch_add32(unsafe { &raw mut (*alloc).host_flows }, one);
        }
        if !has_ports(proto) {
            // SAFETY: the element of the map.
            fetch_add32(unsafe { &raw mut (*alloc).address_only }, one);
        }
    }
}

impl At {
    /// One of its tuples. Not copied: the stack is short.
    #[inline(always)]
    fn tuple(&self, direction: Direction) -> &'static forwarder_common::abi::Tuple {
        // SAFETY: elements of the map are never unmapped, and the tuples of a slot that is made or ends stand still.
        unsafe {
            match direction {
                Direction::Outbound => &(*self.slot).outbound.tuple,
                Direction::Inbound => &(*self.slot).inbound.tuple,
            }
        }
    }
}

/// Makes the flow visible that was prepared in slot `index`, whose version is `version`: 1 if it is; see [`slot::publish`].
#[inline(never)]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn fwd_slot_publish(index: u32, version: u32) -> u32 {
    At::new(index).is_some_and(|slot| slot::publish(&slot, FlowVersion::from_raw(version))).into()
}

/// Gives a slot back that was taken; returns 0. See [`slot::abandon`].
#[inline(never)]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn fwd_slot_abandon(index: u32, version: u32) -> u32 {
    if let Some(at) = At::new(index) {
        slot::abandon(&at, FlowVersion::from_raw(version));
    }
    0
}

/// Ends the flow in slot `index`, if its version is still `version`: 1 if it did. See [`slot::end`].
#[inline(never)]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn fwd_flow_end(index: u32, version: u32) -> u32 {
    At::new(index).is_some_and(|at| slot::end(&at, FlowVersion::from_raw(version))).into()
}

/// Goes on with slot `index`, whose version is `version` and says that it was left unfinished; 1 if it did. See [`slot::resume`].
#[inline(never)]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn fwd_slot_resume(index: u32, version: u32) -> u32 {
    At::new(index).is_some_and(|at| slot::resume(&at, FlowVersion::from_raw(version))).into()
}
