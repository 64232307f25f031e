//! What stands beside the slots in the maps of the flow table.

use forwarder_common::abi::{
    ConversationRecord, Counter, CounterBlock, EndpointFlows, FROM_OUTSIDE, FlowAlloc, Internal, Mapping, PortUse,
    TrafficBlock,
};

use super::{
    maps::{ENDPOINT_FLOWS, FLOW_ALLOC},
    shared::Shared,
};

/// Who uses how much of the table.
#[inline(always)]
pub(crate) fn alloc() -> Option<Shared<FlowAlloc>> {
    Shared::element(&FLOW_ALLOC, 0)
}

/// How many flows the endpoint with block `counters` has, wherever they begin.
#[inline(always)]
pub(crate) fn flows_of(counters: u32) -> Option<Shared<EndpointFlows>> {
    Shared::element(&ENDPOINT_FLOWS, counters & !FROM_OUTSIDE)
}

impl Shared<EndpointFlows> {
    /// Pending ones of a flow with block `counters`: those that begin on the same side.
    #[inline(always)]
    pub(crate) fn pending_of(self, counters: u32) -> Shared<u32> {
        if counters & FROM_OUTSIDE == 0 { self.pending() } else { self.inbound() }
    }
}

shared_fields! {
    FlowAlloc {
        /// First slot that was never used.
        next_unused: u32 = next_unused;
        /// Flows that are established.
        established: u32 = established;
        /// Flows of the host's own sockets.
        host_flows: u32 = host_flows;
        /// How often slots were looked at for a flow to evict.
        evict_cursor: u32 = evict_cursor;
        /// Flows that are translated by address only.
        address_only: u32 = address_only;
        /// Flows that are one-way.
        one_way: u32 = one_way;
    }
    EndpointFlows {
        /// Established ones.
        established: u32 = established;
        /// Half-open and closing ones.
        pending: u32 = pending;
        /// Those of them that began from outside.
        inbound: u32 = inbound;
        /// Whose they are; 0 for nobody's.
        host_veth: u32 = host_veth;
    }
    PortUse {
        /// Who uses the port.
        word: u32 = word;
        /// External address of the mapping; of a port that is shared, when it was revoked.
        addr: [u8; 4] = addr;
        /// The flow that took the port last.
        slot: u32 = slot;
        /// The endpoint whose flows have to leave it.
        revoked: u32 = revoked;
    }
    Mapping {
        /// Whose port it is.
        internal: Internal = internal;
    }
    TrafficBlock {
        /// Counters by code.
        by_code: [Counter; forwarder_common::abi::COMMON_CODES] = by_code;
    }
    CounterBlock {
        /// Counters by code.
        by_code: [Counter; forwarder_common::abi::CODES] = by_code;
    }
    ConversationRecord {
        /// When it was last seen.
        seen: u32 = seen;
        /// How the one who began it has ended it.
        ended: u32 = ended;
        /// How the other end has.
        ended_by_other: u32 = ended_by_other;
        /// What the one who began it has sent.
        sent: Counter = sent;
        /// What came back.
        received: Counter = received;
    }
    Counter {
        /// Packets.
        packets: u64 = packets;
        /// IP bytes.
        bytes: u64 = bytes;
    }
}
