//! A slot of the table, for the steps of its life in [`forwarder_common::flow::slot`].

use forwarder_common::{
    abi::{FlowSlot, FlowState, FlowVersion, Tuple, flow_kind},
    flow::slot::{self, Slot},
    types::direction::Direction,
    wire::l4::has_ports,
};

use crate::{
    kernel::{maps::FLOW_FREE, shared::Shared, slots, values},
    table::{lookup, mapping, state},
};

/// Slot `index`.
#[derive(Clone, Copy)]
pub(crate) struct At {
    index: u32,
    slot: Shared<FlowSlot>,
}

impl At {
    #[inline(always)]
    pub(crate) fn new(index: u32) -> Option<Self> {
        Some(Self { index, slot: slots::slot(index)? })
    }
}

impl Slot for At {
    #[inline(always)]
    fn replace(&self, old: FlowVersion, new: FlowVersion) -> bool {
        self.slot.version().replace(old, new)
    }

    #[inline(always)]
    fn held(&self) -> u32 {
        self.own().shared.held
    }

    #[inline(always)]
    fn hold(&self, held: u32) {
        self.own().shared.held = held;
    }

    #[inline(always)]
    fn insert(&self, direction: Direction) -> bool {
        lookup::fwd_insert(self.tuple(direction), self.index)
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
        let FlowSlot { outbound, shared, .. } = self.own();
        let (counters, kind, proto) = (shared.counters, shared.kind, outbound.tuple.proto);
        state::fwd_count_states(counters, FlowVersion::new(0, from), FlowVersion::new(0, to));
        let (begins, ends) = (matches!(from, FlowState::Opening), matches!(to, FlowState::Free));
        if !begins && !ends {
            return;
        }
        let Some(alloc) = values::alloc() else { return };
        let one = if begins { 1 } else { u32::MAX };
        if kind == flow_kind::HOST {
            alloc.host_flows().fetch_add(one);
        }
        if !has_ports(proto) {
            alloc.address_only().fetch_add(one);
        }
    }
}

impl At {
    /// All of it but its version, for who makes or ends it. Not a [`Shared`]: what was written need not be read again.
    #[inline(always)]
    fn own(&self) -> &'static mut FlowSlot {
        // SAFETY: an element of an array lives as long as the programs, and the steps of a slot's life are taken by who it belongs to: see
        // [`forwarder_common::flow::slot`]. Others read it, and believe nothing while its version says that it is nobody's.
        unsafe { &mut *self.slot.ptr() }
    }

    /// One of its tuples. Not copied: the stack is short.
    #[inline(always)]
    fn tuple(&self, direction: Direction) -> &'static Tuple {
        let FlowSlot { outbound, inbound, .. } = self.own();
        match direction {
            Direction::Outbound => &outbound.tuple,
            Direction::Inbound => &inbound.tuple,
        }
    }
}

global_fn! {
    /// See [`publish`].
    pub(crate) fn fwd_slot_publish(index: u32, version: FlowVersion) -> bool = publish;
    /// See [`abandon`].
    pub(crate) fn fwd_slot_abandon(index: u32, version: FlowVersion) -> () = abandon;
    /// See [`end`].
    pub(crate) fn fwd_flow_end(index: u32, version: FlowVersion) -> u32 = end;
    /// See [`resume`].
    pub(crate) fn fwd_slot_resume(index: u32, version: FlowVersion) -> u32 = resume;
}

/// Makes the flow visible that was prepared in slot `index`, whose version is `version`; whether it is. See [`slot::publish`].
#[inline(always)]
fn publish(index: u32, version: FlowVersion) -> bool {
    At::new(index).is_some_and(|at| slot::publish(&at, version))
}

/// Gives a slot back that was taken. See [`slot::abandon`].
#[inline(always)]
fn abandon(index: u32, version: FlowVersion) {
    if let Some(at) = At::new(index) {
        slot::abandon(&at, version);
    }
}

/// Ends the flow in slot `index`, if its version is still `version`; 1 if it did, which is added up: the verifier would follow a `bool` both
/// ways. See [`slot::end`].
#[inline(always)]
fn end(index: u32, version: FlowVersion) -> u32 {
    At::new(index).is_some_and(|at| slot::end(&at, version)).into()
}

/// Goes on with slot `index`, whose version is `version` and says that it was left unfinished; 1 if it did. See
/// [`slot::resume`].
#[inline(always)]
fn resume(index: u32, version: FlowVersion) -> u32 {
    At::new(index).is_some_and(|at| slot::resume(&at, version)).into()
}
