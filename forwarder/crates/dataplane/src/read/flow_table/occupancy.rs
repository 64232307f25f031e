//! How full the flow table and the range of ports are.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::{IpAddr, SocketAddr},
};

use forwarder_common::{
    abi::{Endpoint, FlowState, endpoint_flags},
    flow::ipv6,
};

use super::slots::FoundFlow;
use crate::Dataplane;
use fwd_base::Result;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Flows by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Seen in one direction only.
    pub half_open: u32,
    /// Seen in both.
    pub established: u32,
    /// After a RST or both FINs.
    pub closing: u32,
}

/// External ports that are taken towards one destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortUse {
    /// The external address.
    pub address: IpAddr,
    /// IP protocol.
    pub proto: u8,
    /// Towards whom, the port 0 for ICMP; `None`: mappings for all destinations.
    pub towards: Option<SocketAddr>,
    /// Ports (or identifiers) of the NAT range that are taken.
    pub taken: u32,
}

/// How full everything is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// Flows of all, those of the host's own sockets included.
    pub total: Usage,
    /// Flows by the host-side veth of their endpoint; 0 for sockets of the host itself.
    pub endpoints: BTreeMap<u32, Usage>,
    /// Taken ports, the fullest first.
    pub ports: Vec<PortUse>,
}

impl Usage {
    fn add(&mut self, state: FlowState) {
        match state {
            FlowState::HalfOpen | FlowState::Opening => self.half_open += 1,
            FlowState::Established | FlowState::OneWay => self.established += 1,
            FlowState::Closing => self.closing += 1,
            FlowState::Free | FlowState::Making | FlowState::Ending | FlowState::Unfinished => {}
        }
    }
}

impl Dataplane {
    /// How many flows there are, of all and of these endpoints, without their ports. Looks into the flow table only where flows are
    /// pending, and then only at whose they are.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn usage(&self, endpoints: &[(u32, Endpoint)]) -> Result<Occupancy> {
        let mut occupancy = Occupancy::default();
        if !self.is_loaded() {
            return Ok(occupancy);
        }
        let alloc = self.alloc()?;
        let counts = self.flows_of(endpoints.iter().map(|(_, endpoint)| endpoint.counters))?;
        // Element 0 is the host's own.
        let hosts = self.flows_of([0])?;
        if counts.iter().chain(&hosts).all(|counts| counts.pending == 0 && counts.inbound == 0) {
            let established = |established| Usage { established, ..Usage::default() };
            let usages = endpoints.iter().zip(counts);
            occupancy.endpoints =
                usages.map(|((index, _), counts)| (*index, established(counts.established))).collect();
            occupancy.total = established(alloc.established);
            return Ok(occupancy);
        }
        self.each_owner(|endpoint, state| {
            occupancy.total.add(state);
            occupancy.endpoints.entry(endpoint).or_default().add(state);
        })?;
        Ok(occupancy)
    }

    /// Looks through the flow table. Takes no lock: flows that begin or end meanwhile may be missing.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn occupancy(&self) -> Result<Occupancy> {
        let config = self.config()?;
        let endpoints = self.endpoints()?.into_iter();
        let shared: HashSet<u32> =
            endpoints.filter(|(_, it)| it.flags & endpoint_flags::NAT_EIM != 0).map(|(index, _)| index).collect();
        let mut occupancy = Occupancy::default();
        let mut taken: HashMap<_, HashSet<u16>> = HashMap::new();
        self.each_flow(|flow| {
            let slot = &flow.slot;
            let state = slot.shared.version.state();
            occupancy.total.add(state);
            occupancy.endpoints.entry(slot.shared.endpoint).or_default().add(state);
            let Some((address, proto, towards, port)) = port_of(&flow) else { return };
            if (config.nat_port_min..=config.nat_port_max).contains(&port) {
                let towards = (!shared.contains(&slot.shared.endpoint)).then_some(towards);
                taken.entry((address, proto, towards)).or_default().insert(port);
            }
        })?;
        let count = |ports: &HashSet<u16>| u32::try_from(ports.len()).unwrap_or(u32::MAX);
        let port_use = |((address, proto, towards), ports): (_, HashSet<u16>)| PortUse {
            address,
            proto,
            towards,
            taken: count(&ports),
        };
        occupancy.ports = taken.into_iter().map(port_use).collect();
        occupancy.ports.sort_by_key(|it| (u32::MAX - it.taken, it.address, it.proto, it.towards));
        Ok(occupancy)
    }
}

/// The external socket of a flow and whom it talks to, as its replies have them; `None` for protocols without ports.
fn port_of(flow: &FoundFlow) -> Option<(IpAddr, u8, SocketAddr, u16)> {
    let tuple = &flow.slot.inbound.tuple;
    let remote_port = match tuple.proto {
        // Both hold the identifier.
        ICMP => 0,
        TCP | UDP => u16::from_be_bytes(tuple.sport),
        _ => return None,
    };
    let [_, remote, external] = flow.addresses();
    let proto = if flow.ends.is_some() { ipv6::number(tuple.proto) } else { tuple.proto };
    Some((external, proto, SocketAddr::new(remote, remote_port), u16::from_be_bytes(tuple.dport)))
}
