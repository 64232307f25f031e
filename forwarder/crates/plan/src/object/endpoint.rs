//! The record of an endpoint, and the programs at its host-side veth.

mod hook;
mod limits;
mod names;
mod netns;
mod policy;
mod taken;

use std::{
    collections::BTreeSet,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use self::limits::queues;
pub use self::{
    hook::{EndpointAttach, EndpointHook, EndpointXdp},
    limits::EndpointLimits,
    names::EndpointNames,
    netns::EndpointNetns,
    policy::EndpointPolicy,
    taken::EndpointTaken,
};
use super::{super::shell, Acts, Handling, Managed};
use crate::{
    Actual, Announced, Datapath, EndpointRecord, Limits, Marks, Sources, TargetRef, Treatment,
    families::{both, everything, main_of},
};
use fwd_base::HostName;
use fwd_dataplane::{Backend, EndpointId, Metadata, NetnsMetadata, RouteMetadata};
use fwd_kernel::netlink::Mac;

/// What an endpoint's record is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSpec {
    /// Who it is for whoever asked for it; its interface inside.
    pub id: EndpointId,
    /// Name of the network.
    pub network: String,
    /// What the owner calls it.
    pub owner_network: Option<String>,
    /// Name of its bridge.
    pub bridge: String,
    /// ifindex of the uplink.
    pub uplink: u32,
    /// How the namespace was given.
    pub target: TargetRef,
    /// Name of the namespace.
    pub ns: Option<String>,
    /// Process that the namespace was given by.
    pub pid: Option<u32>,
    /// Container that the namespace was given by.
    pub container: Option<String>,
    /// Name of the host-side veth.
    pub host_if: String,
    /// ifindex of the host-side veth of a record that exists; the new one's is looked up by its name.
    pub index: Option<u32>,
    /// Address of IPv4 inside, with the length of the network's prefix, if the network has that.
    pub address: Option<Ipv4Net>,
    /// The same of IPv6.
    pub address6: Option<Ipv6Net>,
    /// Hardware address inside.
    pub mac: Mac,
    /// Gateway of IPv4.
    pub gateway: Option<Ipv4Addr>,
    /// The same of IPv6.
    pub gateway6: Option<Ipv6Addr>,
    /// Its hardware address.
    pub gateway_mac: Mac,
    /// MTU, bytes.
    pub mtu: u32,
    /// What forwards its packets.
    pub datapath: Datapath,
    /// How they are treated: as all of the network.
    pub treatment: Treatment,
    /// Families of which the host answers for the addresses behind which its packets appear, which it does not have.
    pub announce: Announced,
    /// It may send from addresses other than its own.
    pub allow_spoof: bool,
    /// Addresses of the host behind which its packets appear, where some were asked for.
    pub source: Sources,
    /// No default route is set inside.
    pub no_default_route: bool,
    /// Metric of the default route inside, where one was asked for.
    pub metric: Option<u32>,
    /// Other routes inside: where they lead, and by which router.
    pub routes: Vec<(IpNet, IpAddr)>,
    /// What it may send and get in a second.
    pub limits: Limits,
    /// How the program is attached to the host-side veth.
    pub attach: Backend,
    /// Names by which it is found, besides that of its namespace.
    pub aliases: Vec<HostName>,
    /// What is done for it besides.
    pub marks: Marks,
}

impl EndpointSpec {
    /// Its addresses of both families, each with the length of the network's prefix.
    fn addresses(&self) -> impl Iterator<Item = IpNet> + use<> {
        both(self.address, self.address6)
    }

    /// By which it is known.
    fn main_address(&self) -> IpAddr {
        main_of(self.addresses().map(|address| address.addr()))
    }

    /// The last 32 bits of that: after it, addresses of the network are given on.
    #[must_use]
    pub fn number(&self) -> u32 {
        match self.main_address() {
            IpAddr::V4(address) => address.to_bits(),
            IpAddr::V6(address) => address.to_bits() as u32,
        }
    }

    /// What else is known of it, in a namespace with this inode.
    #[must_use]
    pub fn metadata(&self, inode: u64) -> Metadata {
        let metric = self.metric;
        let default = |via: IpAddr| RouteMetadata { to: everything(via), via, metric };
        let defaults = both(self.gateway, self.gateway6).map(default);
        let others = self.routes.iter().map(|(to, via)| RouteMetadata { to: *to, via: *via, metric: None });
        // Not twice: paths are long.
        let path = self.target.recorded_path().filter(|_| TargetRef::path_of(&self.id).is_none());
        Metadata {
            id: self.id.clone(),
            network: self.network.clone(),
            owner_network: self.owner_network.clone(),
            netns: NetnsMetadata {
                name: self.ns.clone(),
                pid: self.pid,
                path,
                container: self.container.clone(),
                inode,
            },
            host_if: self.host_if.clone(),
            addresses: self.addresses().collect(),
            routes: defaults.filter(|_| !self.no_default_route).chain(others).collect(),
            aliases: self.aliases.clone(),
        }
    }

    /// The record that it becomes: with the ifindex of its host-side veth and that of its network's bridge, and the cookie and the inode of
    /// its namespace.
    pub(crate) fn record(&self, [index, network_index]: [u32; 2], (cookie, inode): (u64, u64)) -> EndpointRecord {
        let Self {
            id,
            network,
            owner_network,
            uplink,
            ns,
            pid,
            container,
            host_if,
            mac,
            announce,
            allow_spoof,
            source,
            no_default_route,
            metric,
            routes,
            limits,
            attach,
            aliases,
            marks,
            ..
        } = self.clone();
        let (path, address) = (self.target.recorded_path(), self.address.map(|address| address.addr()));
        EndpointRecord {
            id,
            index,
            network_index,
            uplink,
            network,
            owner_network,
            ns,
            pid,
            container,
            path,
            cookie,
            inode,
            host_if,
            address,
            address6: self.address6.map(|address| address.addr()),
            mac,
            announce,
            allow_spoof,
            source,
            no_default_route,
            metric,
            routes,
            limits,
            // They come after it.
            policy: Vec::new(),
            attach,
            aliases,
            marks,
        }
    }
}

impl Managed for EndpointSpec {
    fn handling(&self) -> Handling {
        Handling::new("record", "forget", Acts::OnPins).in_steps().notable()
    }

    fn is_there(&self, actual: &Actual) -> bool {
        let index = index_of(actual, &self.host_if, self.index);
        actual.records.endpoints.iter().any(|endpoint| Some(endpoint.index) == index)
    }

    fn equivalent(&self, make: bool, pins: &str) -> Vec<String> {
        let mut lines = vec![shell::record("ENDPOINTS", &self.host_if, make, pins)];
        let address = self.main_address();
        let note = || format!("# {address} may send from other addresses (--allow-spoof)");
        lines.extend((self.allow_spoof && make).then(note));
        let behind = |how: &'static str| {
            move |(option, source): (&'static str, String)| {
                format!("# {address} appears behind {source} ({option}{how})")
            }
        };
        let announced = self.source.of(self.announce).options().map(behind(", --announce"));
        lines.extend(announced.chain(self.source.not_of(self.announce).options().map(behind(""))).filter(|_| make));
        let without = || format!("# {address} gets no default route (--no-default-route)");
        lines.extend((self.no_default_route && make).then(without));
        let alias = |alias: &HostName| format!("# {address} is found as {alias}, too (--alias)");
        lines.extend(self.aliases.iter().map(alias).filter(|_| make));
        if make && self.limits != Limits::default() {
            lines.extend(self.limits.options().into_iter().map(|option| format!("# {option}")));
            lines.extend(queues(self.limits, &self.host_if, (&self.target, &self.id.ifname), self.mtu));
        }
        lines
    }
}

impl fmt::Display for EndpointSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "endpoint {} of network {}", self.main_address(), self.network)
    }
}

/// An endpoint's record points at this bridge: a former one was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointBridge {
    /// Name of the host-side veth.
    pub host_if: String,
    /// ifindex of the former bridge.
    pub from: u32,
    /// Name of the bridge.
    pub bridge: String,
}

impl Managed for EndpointBridge {
    fn handling(&self) -> Handling {
        Handling::new("correct", "revert", Acts::OnPins)
    }

    fn is_there(&self, actual: &Actual) -> bool {
        let bridge = actual.host.net.link(&self.bridge).map(|link| link.index);
        let mut endpoints = actual.records.endpoints.iter();
        endpoints.any(|endpoint| endpoint.host_if == self.host_if && Some(endpoint.network_index) == bridge)
    }

    fn equivalent(&self, make: bool, pins: &str) -> Vec<String> {
        vec![shell::record("ENDPOINTS", &self.host_if, make, pins)]
    }
}

impl fmt::Display for EndpointBridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bridge {} of {}", self.bridge, self.host_if)
    }
}

/// The number of a host-side veth: the one that it had, or by its name.
fn index_of(actual: &Actual, host_if: &str, index: Option<u32>) -> Option<u32> {
    index.or_else(|| actual.host.net.link(host_if).map(|link| link.index))
}

/// Whether the host-side veth of this name, or of the number that it had, is one of `host_veths`.
fn is_among(actual: &Actual, host_veths: &BTreeSet<u32>, host_if: &str, index: Option<u32>) -> bool {
    index_of(actual, host_if, index).is_some_and(|index| host_veths.contains(&index))
}
