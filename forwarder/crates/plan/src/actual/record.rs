//! The records of the pinned maps, typed.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::families::{both, main_of};
use crate::{Announced, Datapath, Ipv4, Ipv6, Limits, NetConfig, Sources, TableRecord, Treatment};
use fwd_base::{HostName, text::option};
use fwd_dataplane::{Backend, EndpointId, Publication, Rule, TcxOrder};
use fwd_kernel::netlink::{Link, Mac};

/// A network, by its bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkRecord {
    /// ifindex of the bridge.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Name of the bridge.
    pub bridge: String,
    /// Gateway of IPv4 with the length of the prefix, if the network has that: the bridge's address.
    pub gateway: Option<Ipv4Net>,
    /// The same of IPv6. A network has one of them at least.
    pub gateway6: Option<Ipv6Net>,
    /// ifindex of the uplink; 0 where the network is internal, or the host has no way out yet.
    pub uplink: u32,
    /// MTU, bytes.
    pub mtu: u32,
    /// Hardware address of the bridge.
    pub mac: Mac,
    /// The last 32 bits of the address given last, of IPv4 where the network has that; 0 before the first.
    pub last: u32,
    /// What forwards its packets.
    pub datapath: Datapath,
    /// How they are treated.
    pub treatment: Treatment,
    /// It stays when its last endpoint goes.
    pub kept: bool,
    /// Networks that may reach it, by name: they do once each has allowed the other.
    pub allows: BTreeSet<String>,
    /// Addresses of the host behind which its endpoints appear that ask for none.
    pub source: Sources,
}

/// An endpoint, by its host-side veth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointRecord {
    /// Who it is for whoever asked for it; its interface inside.
    pub id: EndpointId,
    /// ifindex of the host-side veth.
    pub index: u32,
    /// ifindex of the network's bridge.
    pub network_index: u32,
    /// ifindex of the uplink.
    pub uplink: u32,
    /// Name of the network.
    pub network: String,
    /// What the owner calls it.
    pub owner_network: Option<String>,
    /// Name of the namespace, if it has one.
    pub ns: Option<String>,
    /// Process that the namespace was given by.
    pub pid: Option<u32>,
    /// Container that the namespace was given by.
    pub container: Option<String>,
    /// Path that the namespace was given by.
    pub path: Option<String>,
    /// Cookie of the namespace.
    pub cookie: u64,
    /// Inode of the namespace on nsfs.
    pub inode: u64,
    /// Name of the host-side veth.
    pub host_if: String,
    /// Address of IPv4 inside, if the network has that.
    pub address: Option<Ipv4Addr>,
    /// The same of IPv6.
    pub address6: Option<Ipv6Addr>,
    /// Hardware address inside.
    pub mac: Mac,
    /// Families of which the host answers for the addresses behind which its packets appear, which it does not have.
    pub announce: Announced,
    /// It may send from addresses other than its own.
    pub allow_spoof: bool,
    /// Addresses of the host behind which its packets appear, where some were asked for.
    pub source: Sources,
    /// No default route was set inside.
    pub no_default_route: bool,
    /// Metric of the default route inside, where one was asked for.
    pub metric: Option<u32>,
    /// Other routes inside: where they lead, and by which router.
    pub routes: Vec<(IpNet, IpAddr)>,
    /// What it may send and get in a second.
    pub limits: Limits,
    /// Rules about whom it speaks with, in their order.
    pub policy: Vec<Rule>,
    /// How the program is to be attached to the host-side veth.
    pub attach: Backend,
    /// Names by which it is found, besides that of its namespace.
    pub aliases: Vec<HostName>,
    /// What was done for it besides.
    pub marks: Marks,
}

impl NetworkRecord {
    /// The gateway's addresses of both families, each with the length of its prefix.
    pub fn gateways(&self) -> impl Iterator<Item = IpNet> + use<> {
        both(self.gateway, self.gateway6)
    }

    /// Its addresses of both families.
    pub fn subnets(&self) -> impl Iterator<Item = IpNet> + use<> {
        self.gateways().map(|gateway| gateway.trunc())
    }

    /// Those of IPv4.
    #[must_use]
    pub fn subnet(&self) -> Option<Ipv4Net> {
        self.gateway.map(|gateway| gateway.trunc())
    }

    /// Those of IPv6.
    #[must_use]
    pub fn subnet6(&self) -> Option<Ipv6Net> {
        self.gateway6.map(|gateway| gateway.trunc())
    }

    /// What it has of IPv4.
    #[must_use]
    pub const fn ipv4(&self) -> Ipv4 {
        Ipv4::of(self.gateway.is_some())
    }

    /// What it has of IPv6.
    #[must_use]
    pub const fn ipv6(&self) -> Ipv6 {
        self.treatment.ipv6(self.gateway6.is_some())
    }
}

impl EndpointRecord {
    /// The addresses for which the host answers, because it does not have them.
    #[must_use]
    pub fn announced(&self) -> Sources {
        self.source.of(self.announce)
    }

    /// What the namespace is called in aliases and messages.
    #[must_use]
    pub fn label(&self) -> String {
        match &self.path {
            Some(path) if self.marks.awaited => path.clone(),
            _ => label(self.ns.as_deref(), self.inode),
        }
    }

    /// Whether it is the endpoint with this interface inside; of one that is known by its record alone that cannot be told.
    #[must_use]
    pub fn has_interface(&self, ifname: &str) -> bool {
        self.id.ifname == ifname || self.id.ifname.is_empty()
    }

    /// Its addresses of both families.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        both(self.address, self.address6)
    }

    /// By which it is known: its address of IPv4, if it has one.
    #[must_use]
    pub fn main_address(&self) -> IpAddr {
        main_of(self.addresses())
    }

    /// How the namespace is given on the command line, quoted for a shell; none if it has neither name nor process.
    #[must_use]
    pub fn option(&self) -> Option<String> {
        let by_name = self.ns.as_deref().map(|ns| option("--ns", ns));
        by_name.or_else(|| self.pid.map(|pid| format!("--pid {pid}")))
    }
}

/// What a namespace is called: its name, else its inode as /proc/PID/ns/net shows it.
#[must_use]
pub(crate) fn label(ns: Option<&str>, inode: u64) -> String {
    ns.map_or_else(|| format!("net:[{inode}]"), Into::into)
}

/// What `up` did for an endpoint besides, to be shown. What there is to undo says the undo log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Made the namespace.
    pub created: bool,
    /// Wrote /etc/netns/NAME/resolv.conf.
    pub resolv_conf: bool,
    /// Nothing inside: its runtime has not made the namespace yet, and the interface waits in the host's own.
    pub awaited: bool,
    /// Nobody: it was made beforehand, for the next `up` that it fits.
    pub pooled: bool,
}

/// An uplink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UplinkRecord {
    /// Its ifindex.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Address behind which endpoints appear; unspecified where it has none of its own.
    pub address: Ipv4Addr,
    /// A command has asked for it: it stays, whoever leads through it.
    pub asked: bool,
    /// Where its programs stand among those of others.
    pub order: TcxOrder,
}

/// A sysctl that was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SysctlRecord {
    /// Path below /proc/sys.
    pub path: String,
    /// Value found.
    pub original: String,
    /// Value written.
    pub ours: String,
    /// The interface that it belongs to, if it belongs to one.
    pub interface: Option<Interface>,
}

impl SysctlRecord {
    /// The same where it is now: at the interface that it belongs to, whatever that is called by now. None if it has gone.
    ///
    /// Its number alone may be another's by now. It is the same if its name or its hardware address is.
    #[must_use]
    pub fn now(&self, net: &NetConfig) -> Option<Self> {
        let Some(interface) = &self.interface else { return Some(self.clone()) };
        let is_same = |link: &&Link| link.name == interface.name || link.mac == interface.mac;
        let link = net.by_index(interface.index).filter(is_same)?;
        let path = match parts(&self.path) {
            Some((family, name, setting)) if name == interface.name => format!("{family}/{}/{setting}", link.name),
            _ => self.path.clone(),
        };
        Some(Self { path, ..self.clone() })
    }

    /// Whether it is one of IPv6.
    #[must_use]
    pub fn is_ipv6(&self) -> bool {
        self.path.starts_with("net/ipv6/")
    }

    /// Whether both are the same setting, of whatever interface.
    pub(crate) fn is_alike(&self, other: &Self) -> bool {
        let setting = |record| parts(record).map(|(family, _, setting)| (family, setting));
        setting(&self.path) == setting(&other.path)
    }

    /// Whether it is of the interface with this number.
    #[must_use]
    pub fn is_of(&self, index: u32) -> bool {
        self.interface.as_ref().is_some_and(|interface| interface.index == index)
    }
}

/// `net/ipv4/conf`, the name of an interface, and `forwarding`.
fn parts(path: &str) -> Option<(&str, &str, &str)> {
    let (rest, setting) = path.rsplit_once('/')?;
    let (family, name) = rest.rsplit_once('/')?;
    Some((family, name, setting))
}

/// An interface as it was when something of it was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its ifindex.
    pub index: u32,
    /// Its hardware address.
    pub mac: Option<Mac>,
}

/// Everything that the pinned maps say, and which hooks are pinned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// The records of this host namespace can be read.
    pub loaded: bool,
    /// The flow table, once it is loaded.
    pub table: Option<TableRecord>,
    /// Some of the programs and of the flow table is there, if only what an interrupted command left.
    pub partly_loaded: bool,
    /// Other versions of `fwd` that have something pinned for this host namespace.
    pub others: Vec<String>,
    /// Something is pinned for this host namespace, if only what an interrupted command left.
    pub pinned: bool,
    /// Interfaces that are still the ones that the records are about, by number: the kernel says so.
    pub devices: BTreeSet<u32>,
    /// Networks. One whose bridge was deleted may have two records, where a command was killed while it went on with another bridge: the one that
    /// counts comes first.
    pub networks: Vec<NetworkRecord>,
    /// Endpoints.
    pub endpoints: Vec<EndpointRecord>,
    /// Uplinks.
    pub uplinks: Vec<UplinkRecord>,
    /// Published ports.
    pub publications: Vec<Publication>,
    /// The cgroup whose processes reach published ports, if all programs are attached to it.
    pub host_cgroup: Option<u64>,
    /// Some of these programs are attached, if only what an interrupted command left.
    pub host_attached: bool,
    /// ifindexes of uplinks with pinned hooks.
    pub uplink_hooks: BTreeSet<u32>,
    /// ifindexes of uplinks whose programs stand elsewhere among those of others than their records say: others have come since. Looked at only
    /// where an order may be asked for.
    pub misplaced: BTreeSet<u32>,
    /// ifindexes of bridges with pinned hooks.
    pub network_hooks: BTreeSet<u32>,
    /// ifindexes of host-side veths with pinned hooks.
    pub endpoint_hooks: BTreeSet<u32>,
    /// ifindexes of host-side veths with the same hook as a filter.
    pub endpoint_filters: BTreeSet<u32>,
    /// ifindexes of host-side veths of netkit pairs with a pinned hook.
    pub endpoint_netkits: BTreeSet<u32>,
    /// ifindexes of uplinks with a pinned XDP program.
    pub uplink_xdp: BTreeSet<u32>,
    /// ifindexes of host-side veths with a pinned XDP program.
    pub endpoint_xdp: BTreeSet<u32>,
}

impl Records {
    /// Whether ports of the host lead to an endpoint of the network with this bridge.
    #[must_use]
    pub fn publishes(&self, network: u32) -> bool {
        let own = |index: u32| self.endpoints.iter().any(|it| it.index == index && it.network_index == network);
        self.publications.iter().any(|it| own(it.endpoint))
    }

    /// Whether nftables keeps rules of an endpoint of this network, but for the one with the index `but`, so that what its bridge passes from port to
    /// port goes through netfilter.
    #[must_use]
    pub fn filters(&self, network: &str, but: Option<u32>) -> bool {
        let is_kernel = self.networks.iter().any(|it| it.name == network && !it.datapath.is_ebpf());
        let has_rules = |it: &EndpointRecord| it.network == network && Some(it.index) != but && !it.policy.is_empty();
        is_kernel && self.endpoints.iter().any(has_rules)
    }

    /// ifindexes of host-side veths whose program is attached by `backend`.
    #[must_use]
    pub fn attached_by(&self, backend: Backend) -> &BTreeSet<u32> {
        match backend {
            Backend::Tcx => &self.endpoint_hooks,
            Backend::Clsact => &self.endpoint_filters,
            Backend::Netkit => &self.endpoint_netkits,
        }
    }

    /// The same, to be changed.
    pub fn attached_by_mut(&mut self, backend: Backend) -> &mut BTreeSet<u32> {
        match backend {
            Backend::Tcx => &mut self.endpoint_hooks,
            Backend::Clsact => &mut self.endpoint_filters,
            Backend::Netkit => &mut self.endpoint_netkits,
        }
    }
}
