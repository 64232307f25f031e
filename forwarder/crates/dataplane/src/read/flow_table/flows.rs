//! Flows as users see them.

use std::{net::SocketAddr, time::Duration};

use forwarder_common::{
    abi::{FlowHalf, FlowSlot, FlowState, flow_kind},
    flow::{Handshake, ipv6},
};

use super::slots::FoundFlow;
use crate::{Clock, Dataplane};
use fwd_base::Result;

pub(super) const ICMP: u8 = 1;

/// One flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// IP protocol: 1 ICMP, 6 TCP, 17 UDP, 58 ICMPv6.
    pub proto: u8,
    /// The socket inside; the port is 0 for ICMP.
    pub src: SocketAddr,
    /// The socket outside.
    pub dst: SocketAddr,
    /// What the outside sees as the source; for ICMP the port is the identifier outside. Between neighbours it is the source.
    pub nat: SocketAddr,
    /// Identifier of an ICMP echo inside.
    pub icmp_id: Option<u16>,
    /// `half-open`, `established` or `closing`.
    pub state: &'static str,
    /// Namespace → outside: packets on the wire, IP bytes.
    pub tx: (u64, u64),
    /// Outside → namespace: packets on the wire, IP bytes.
    pub rx: (u64, u64),
    /// Time since the first packet.
    pub age: Duration,
    /// Time since the last packet.
    pub idle: Duration,
    /// The endpoint's host-side veth; 0 for a socket of the host itself.
    pub endpoint: u32,
    /// The host-side veth of the neighbour with whom it is spoken: nothing is translated then.
    pub peer: Option<u32>,
    /// Round trip of the TCP handshake, where the SYN went out and was answered at once.
    pub handshake_rtt: Option<Duration>,
}

impl Dataplane {
    /// Every flow, in the order of its addresses and ports. Takes no lock: flows that begin or end meanwhile may be missing.
    ///
    /// # Errors
    /// The flow table cannot be read.
    pub fn flows(&self) -> Result<Vec<Flow>> {
        let mut flows = self.flows_unsorted()?;
        flows.sort_unstable_by_key(|flow| (flow.endpoint, flow.proto, flow.src, flow.dst));
        Ok(flows)
    }

    /// Every flow, in no order.
    ///
    /// # Errors
    /// As [`flows`](Self::flows).
    pub fn flows_unsorted(&self) -> Result<Vec<Flow>> {
        if !self.is_loaded() || self.slots_used()? == 0 {
            return Ok(Vec::new());
        }
        let clock = self.clock()?;
        self.map_flows(|flow| Flow::new(&flow, &clock))
    }
}

impl Flow {
    fn new(found: &FoundFlow, clock: &Clock) -> Self {
        let FlowSlot { outbound, inbound, shared } = &found.slot;
        let proto = outbound.tuple.proto;
        let [internal, remote, external] = found.addresses();
        let port = |bytes: [u8; 2]| u16::from_be_bytes(bytes);
        let icmp = proto == ICMP;
        let (src_port, dst_port) = if icmp { (0, 0) } else { (port(outbound.tuple.sport), port(outbound.tuple.dport)) };
        let handshake = Handshake { syn_at: shared.syn_at, rtt: shared.handshake_rtt };
        debug_assert!(shared.kind == flow_kind::HOST || shared.endpoint != 0);
        Self {
            proto: if found.ends.is_some() { ipv6::number(proto) } else { proto },
            src: SocketAddr::new(internal, src_port),
            dst: SocketAddr::new(remote, dst_port),
            nat: SocketAddr::new(external, port(outbound.port)),
            icmp_id: icmp.then(|| port(outbound.tuple.sport)),
            state: state_name(shared.version.state()),
            tx: counters(outbound),
            rx: counters(inbound),
            age: clock.since(shared.created),
            idle: clock.since(shared.last_seen),
            endpoint: shared.endpoint,
            peer: None,
            handshake_rtt: handshake.known().map(|rtt| Duration::from_micros(rtt.into())),
        }
    }
}

const fn counters(half: &FlowHalf) -> (u64, u64) {
    (half.packets, half.bytes)
}

/// The state of a flow, as it is shown.
#[must_use]
pub const fn state_name(state: FlowState) -> &'static str {
    match state {
        FlowState::HalfOpen | FlowState::Opening => "half-open",
        FlowState::Established | FlowState::OneWay => "established",
        FlowState::Closing => "closing",
        FlowState::Free | FlowState::Making | FlowState::Ending | FlowState::Unfinished => "free",
    }
}
