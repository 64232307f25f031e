//! Values of the maps of the flow table, by reference.
//!
//! An element of an array lives as long as the programs. Other CPUs write it meanwhile, so there is no Rust reference to it: a field is
//! read as a whole, when it is asked for, and not again. What is read together belongs together only as far as the version of the slot says
//! so.

use forwarder_common::abi::{EndpointFlows, FlowAlloc, FlowSlot, FlowVersion};

use super::maps::{ENDPOINT_FLOWS, FLOW_ALLOC, FLOW_SLOTS};

/// Declares a reference to an element of an array, and reads of its fields.
macro_rules! value {
    ($(#[$doc:meta])* $name:ident: $type:ty { $($(#[$field_doc:meta])* $field:ident: $kind:ty = $($path:ident).+;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(crate) struct $name(*const $type);

        impl $name {
            $(
                $(#[$field_doc])*
                #[inline(always)]
                pub(crate) fn $field(self) -> $kind {
                    // SAFETY: see the head of this file; the field is aligned, and any bits are valid in it.
                    unsafe { (&raw const (*self.0).$($path).+).read_volatile() }
                }
            )*
        }
    };
}

value! {
    /// A slot.
    SlotRef: FlowSlot {
        /// Which flow it holds.
        version: FlowVersion = shared.version;
        /// When a packet was last seen, jiffies.
        last_seen: u32 = shared.last_seen;
        /// When the route was last looked up, jiffies.
        route_checked: u32 = shared.route_checked;
        /// The endpoint's host-side veth, 0 for the host itself.
        endpoint: u32 = shared.endpoint;
        /// The endpoint's block of counters.
        counters: u32 = shared.counters;
        /// TCP flags seen so far, outbound and inbound.
        tcp_flags: [u8; 2] = shared.tcp_flags;
        /// How the flow holds its port.
        port_use: u8 = shared.port_use;
        /// That port, network byte order.
        external_port: [u8; 2] = inbound.tuple.dport;
        /// IP protocol.
        proto: u8 = outbound.tuple.proto;
        /// The uplink.
        uplink: u32 = outbound.out_if;
    }
}

value! {
    /// Who uses how much of the table.
    AllocRef: FlowAlloc {
        /// Flows of the host's own sockets.
        host_flows: u32 = host_flows;
        /// Flows that are translated by address only.
        address_only: u32 = address_only;
        /// Flows that are one-way.
        one_way: u32 = one_way;
    }
}

value! {
    /// How many flows an endpoint has.
    FlowsRef: EndpointFlows {
        /// Established ones.
        established: u32 = established;
        /// Half-open and closing ones.
        pending: u32 = pending;
    }
}

/// Slot `index`.
#[inline(always)]
pub(crate) fn slot(index: u32) -> Option<SlotRef> {
    FLOW_SLOTS.get_ptr(index).map(SlotRef)
}

/// Who uses how much of the table.
#[inline(always)]
pub(crate) fn alloc() -> Option<AllocRef> {
    FLOW_ALLOC.get_ptr(0).map(AllocRef)
}

/// How many flows the endpoint with block `counters` has.
#[inline(always)]
pub(crate) fn flows_of(counters: u32) -> Option<FlowsRef> {
    ENDPOINT_FLOWS.get_ptr(counters).map(FlowsRef)
}
