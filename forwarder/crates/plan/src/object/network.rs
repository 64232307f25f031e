//! The record of a network, and the program at its bridge.

mod bridge;
mod name_server;
mod source;

use std::{collections::BTreeSet, fmt};

use ipnet::{Ipv4Net, Ipv6Net};

pub use self::{bridge::NetworkBridge, name_server::NameServer, source::NetworkSource};
use super::{super::shell, Acts, Handling, Managed};
use crate::{Actual, Datapath, EndpointRecord, NetworkRecord, Sources, Treatment};
use fwd_base::text::option;
use fwd_kernel::netlink::Mac;

/// What a network's record is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkSpec {
    /// Name.
    pub name: String,
    /// ifindex of the bridge of a record that exists; the new one's is looked up by its name.
    pub index: Option<u32>,
    /// Name of the bridge.
    pub bridge: String,
    /// Gateway of IPv4 with the length of the prefix, if it has that.
    pub gateway: Option<Ipv4Net>,
    /// The same of IPv6.
    pub gateway6: Option<Ipv6Net>,
    /// ifindex of the uplink; 0 where the network is internal, or the host has no way out yet.
    pub uplink: u32,
    /// MTU, bytes.
    pub mtu: u32,
    /// Hardware address of the bridge.
    pub mac: Mac,
    /// The last 32 bits of the address given last; 0 before the first.
    pub last: u32,
    /// What forwards its packets.
    pub datapath: Datapath,
    /// How they are treated.
    pub treatment: Treatment,
    /// It stays when its last endpoint goes.
    pub kept: bool,
}

impl NetworkSpec {
    /// The record that it becomes, with the ifindex of its bridge.
    pub(crate) fn record(&self, index: u32) -> NetworkRecord {
        let Self { name, index: _, bridge, gateway, gateway6, uplink, mtu, mac, last, datapath, treatment, kept } =
            self.clone();
        // What it allows, and its endpoints' sources, are told by objects of their own.
        let (allows, source) = (BTreeSet::new(), Sources::default());
        NetworkRecord {
            index,
            name,
            bridge,
            gateway,
            gateway6,
            uplink,
            mtu,
            mac,
            last,
            datapath,
            treatment,
            kept,
            allows,
            source,
        }
    }
}

impl Managed for NetworkSpec {
    fn handling(&self) -> Handling {
        Handling::new("record", "forget", Acts::OnPins).in_steps().notable()
    }

    fn is_there(&self, actual: &Actual) -> bool {
        let index = self.index.or_else(|| actual.host.net.link(&self.bridge).map(|bridge| bridge.index));
        actual.records.networks.iter().any(|network| network.name == self.name && Some(network.index) == index)
    }

    fn equivalent(&self, make: bool, pins: &str) -> Vec<String> {
        let mut lines = vec![shell::record("NETWORKS", &self.bridge, make, pins)];
        lines.extend(note(self.treatment).filter(|_| make));
        lines.extend((self.kept && make).then(|| format!("# {STAYS}")));
        lines
    }
}

impl fmt::Display for NetworkSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "network {}", self.name)
    }
}

/// What a network is that somebody has made by itself.
const STAYS: &str = "it stays when its last endpoint goes";

/// What the record of a network says besides, if it is not the usual.
fn note(treatment: Treatment) -> Option<String> {
    let options = treatment.options();
    (!options.is_empty()).then(|| format!("# with {}", options.join(", ")))
}

/// A network leads through another uplink: the former was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkUplink {
    /// Name of the network.
    pub network: String,
    /// ifindex of its bridge.
    pub bridge: u32,
    /// ifindex of the former uplink.
    pub from: u32,
    /// ifindex of the other one.
    pub to: u32,
}

impl Managed for NetworkUplink {
    fn handling(&self) -> Handling {
        Handling::new("correct", "revert", Acts::OnPins)
    }

    fn is_there(&self, actual: &Actual) -> bool {
        let moved = |network: &NetworkRecord| network.index != self.bridge || network.uplink == self.to;
        let followed = |endpoint: &EndpointRecord| endpoint.network_index != self.bridge || endpoint.uplink == self.to;
        actual.records.networks.iter().all(moved) && actual.records.endpoints.iter().all(followed)
    }

    fn equivalent(&self, make: bool, pins: &str) -> Vec<String> {
        vec![shell::record("NETWORKS", &self.network, make, pins)]
    }
}

impl fmt::Display for NetworkUplink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uplink of network {}: interface {}", self.network, self.to)
    }
}

/// A network stays when its last endpoint goes, from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkKept {
    /// Name of the network.
    pub network: String,
    /// Name of its bridge.
    pub bridge: String,
}

impl Managed for NetworkKept {
    fn handling(&self) -> Handling {
        Handling::new("note", "revert", Acts::OnPins)
    }

    fn is_there(&self, actual: &Actual) -> bool {
        // One that is still to be made has it in its record.
        actual.records.networks.iter().all(|network| network.name != self.network || network.kept)
    }

    fn equivalent(&self, _: bool, pins: &str) -> Vec<String> {
        vec![shell::record("NETWORKS", &self.bridge, true, pins), format!("# {STAYS}")]
    }
}

impl fmt::Display for NetworkKept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "of network {} that it stays without endpoints", self.network)
    }
}

/// Which networks may reach a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkAllows {
    /// Name of the network.
    pub network: String,
    /// Names of those that might.
    pub from: BTreeSet<String>,
    /// Names of those that may.
    pub to: BTreeSet<String>,
}

impl Managed for NetworkAllows {
    fn handling(&self) -> Handling {
        Handling::new("change", "revert", Acts::OnPins).in_steps()
    }

    fn is_there(&self, actual: &Actual) -> bool {
        let record = actual.records.networks.iter().find(|network| network.name == self.network);
        record.map_or(self.to.is_empty(), |network| network.allows == self.to)
    }

    fn equivalent(&self, make: bool, pins: &str) -> Vec<String> {
        let allowed = if make { &self.to } else { &self.from };
        let options = allowed.iter().map(|name| format!("# {}", option("--allow-network", name)));
        [shell::record("METADATA", &self.network, true, pins)].into_iter().chain(options).collect()
    }
}

impl fmt::Display for NetworkAllows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.to.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        write!(f, "who may reach network {}: {}", self.network, if names.is_empty() { "nobody" } else { &names })
    }
}

/// The program at a network's bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkHook {
    /// Name of the bridge.
    pub bridge: String,
    /// Its ifindex, where it has or had one.
    pub index: Option<u32>,
}

impl Managed for NetworkHook {
    fn handling(&self) -> Handling {
        Handling::new("attach", "detach", Acts::OnPins).in_steps()
    }

    fn is_there(&self, actual: &Actual) -> bool {
        let index = self.index.or_else(|| actual.host.net.link(&self.bridge).map(|bridge| bridge.index));
        index.is_some_and(|index| actual.records.network_hooks.contains(&index))
    }

    fn equivalent(&self, make: bool, pins: &str) -> Vec<String> {
        vec![match self.index {
            // By its pin: the interface may have gone before.
            Some(index) if !make => format!("rm {pins}/links/to_network-{index}"),
            _ => shell::hook("to_network", "egress", &self.bridge, make, pins),
        }]
    }
}

impl fmt::Display for NetworkHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "program to_network at {}", self.bridge)
    }
}
