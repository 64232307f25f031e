//! Flows, and whose they are.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::SocketAddr,
    sync::LazyLock,
    time::Duration,
};

use super::State;
use fwd_base::Result;
use fwd_dataplane::{Described, Flow};
use fwd_observe::protocol;
use fwd_plan::TargetRef;
use fwd_render::FlowView;

/// Flows in the order in which they are shown.
pub struct Flows {
    flows: Vec<Flow>,
    /// By the ifindex of the host-side veth.
    owners: HashMap<u32, Owner>,
}

impl Flows {
    /// The flows of one namespace, or all; what neighbours speak is of both.
    ///
    /// # Errors
    /// The namespace is not up, or the maps cannot be read.
    pub fn read(state: &State, target: Option<&TargetRef>) -> Result<Self> {
        let shown: BTreeMap<u32, Described> = match target {
            Some(target) => state.of(target)?.into_iter().collect(),
            None => state.endpoints.iter().cloned().collect(),
        };
        let everybody: BTreeMap<u32, Described> = state.endpoints.iter().cloned().collect();
        let mut flows = state.plane.flows_unsorted()?;
        // What somebody has spoken who is gone by now is nobody's.
        let is_there = |flow: &Flow| everybody.contains_key(&flow.endpoint);
        flows.extend(state.plane.neighbour_flows()?.into_iter().filter(is_there));
        if target.is_some() {
            let is_shown = |host_veth: &u32| shown.contains_key(host_veth);
            flows.retain(|flow| is_shown(&flow.endpoint) || flow.peer.as_ref().is_some_and(is_shown));
        }
        let owners = owners(&everybody);
        flows.sort_by_cached_key(|flow| order(flow, owners.get(&flow.endpoint)));
        Ok(Self { flows, owners })
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Flow] {
        &self.flows
    }

    /// One as it is shown.
    #[must_use]
    pub fn view(&self, flow: &Flow) -> FlowView {
        view(flow, self.owners.get(&flow.endpoint))
    }
}

/// Whose a flow is, and where that is in the order of listings.
struct Owner {
    network: String,
    ns: Option<String>,
    ns_if: String,
    rank: u32,
}

/// By the ifindex of the host-side veth. Owners of the same names have the same rank.
fn owners(shown: &BTreeMap<u32, Described>) -> HashMap<u32, Owner> {
    let names = |endpoint: &Described| (endpoint.metadata.network.clone(), endpoint.metadata.netns.name.clone());
    let ranks: BTreeMap<(String, Option<String>), u32> =
        shown.values().map(names).collect::<BTreeSet<_>>().into_iter().zip(0..).collect();
    let owner = |(index, endpoint): (&u32, &Described)| {
        let (network, ns) = names(endpoint);
        let rank = ranks.get(&(network.clone(), ns.clone())).copied().unwrap_or(u32::MAX);
        (*index, Owner { network, ns, ns_if: endpoint.metadata.id.ifname.clone(), rank })
    };
    shown.iter().map(owner).collect()
}

/// The order of listings, by who, then by what: numbers, because there may be a million. The host's own come last.
fn order(flow: &Flow, owner: Option<&Owner>) -> impl Ord + use<> {
    let rank = owner.map_or(u32::MAX, |owner| owner.rank);
    let proto = protocol_rank(flow.proto);
    (rank, flow.src.ip(), proto, flow.src.port(), flow.icmp_id, flow.dst.ip(), flow.dst.port())
}

/// Protocols in the order of their names.
fn protocol_rank(number: u8) -> u8 {
    static RANKS: LazyLock<[u8; 256]> = LazyLock::new(|| {
        let mut numbers: Vec<u8> = (0..=u8::MAX).collect();
        numbers.sort_by_key(|number| protocol::name(*number));
        let mut ranks = [0; 256];
        for (rank, number) in (0..=u8::MAX).zip(numbers) {
            ranks[usize::from(number)] = rank;
        }
        ranks
    });
    RANKS[usize::from(number)]
}

/// A flow as it is shown; `owner` is none for a flow of the host's own.
fn view(flow: &Flow, owner: Option<&Owner>) -> FlowView {
    let port = |socket: &SocketAddr| has_ports(flow.proto).then(|| socket.port());
    FlowView {
        network: owner.map(|owner| owner.network.clone().into()),
        ns: owner.and_then(|owner| owner.ns.clone()).map(Into::into),
        ns_if: owner.map(|owner| owner.ns_if.clone().into()),
        proto: protocol::name(flow.proto),
        src_addr: flow.src.ip(),
        src_port: port(&flow.src),
        dst_addr: flow.dst.ip(),
        dst_port: port(&flow.dst),
        nat_addr: flow.peer.is_none().then(|| flow.nat.ip()),
        nat_port: port(&flow.nat).filter(|_| flow.peer.is_none()),
        icmp_id: flow.icmp_id,
        state: state(flow).into(),
        tx_packets: flow.tx.0,
        tx_bytes: flow.tx.1,
        rx_packets: flow.rx.0,
        rx_bytes: flow.rx.1,
        age_ms: milliseconds(flow.age),
        idle_ms: milliseconds(flow.idle),
        handshake_rtt_us: flow.handshake_rtt.map(|rtt| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX)),
    }
}

/// The state of a flow. A query and its answer (UDP, ICMP) are no conversation yet, but nothing is missing.
fn state(flow: &Flow) -> &'static str {
    let is_answered = flow.tx.0 > 0 && flow.rx.0 > 0 && i32::from(flow.proto) != libc::IPPROTO_TCP;
    if flow.state == "half-open" && is_answered { "answered" } else { flow.state }
}

/// Whether flows of the protocol have ports: ICMP has an identifier, others nothing.
fn has_ports(number: u8) -> bool {
    matches!(i32::from(number), libc::IPPROTO_TCP | libc::IPPROTO_UDP)
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
