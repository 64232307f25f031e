//! What there is: everything that was read before deciding.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::{IpNet, Ipv4Net};

use super::{NetConfig, Object, Owner, Records, Surroundings, SysctlRecord, TargetRef, Undo, names};
use crate::{
    dataplane::Backend,
    netlink::{FdbEntry, Link},
    netns::Name,
};

/// Everything that a decision depends on.
#[derive(Clone, Debug, Default)]
pub struct Actual {
    /// The host namespace.
    pub host: Host,
    /// What the pinned maps say.
    pub records: Records,
    /// Entries of the undo log: all, or those that concern the target.
    pub undo: Vec<Undo>,
    /// Cookies of namespaces in the undo log that are gone.
    pub gone: BTreeSet<u64>,
    /// Names in the undo log that stand for no namespace: what a command left that was interrupted while it made one.
    pub leftovers: BTreeSet<Name>,
    /// The namespace that `up` is about; for `down` see [`Actual::namespaces`].
    pub target: Option<Target>,
    /// Other namespaces that matter: those of endpoints whose host-side veth has gone, and all that `down` may have to touch.
    pub namespaces: Vec<EndpointNetns>,
    /// Names under /run/netns.
    pub named: BTreeSet<Name>,
    /// Why the kernel cannot run the programs.
    pub no_tc: Option<String>,
    /// The kernel has no TCX; asked for `up`.
    pub no_tcx: bool,
    /// What is to be done about the target's resolv.conf.
    pub resolv_conf: ResolvConf,
}

/// The host namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// Its cookie.
    pub cookie: u64,
    /// The run directory that a command works for.
    pub owner: Owner,
    /// Interfaces, addresses, routes, neighbours.
    pub net: NetConfig,
    /// Forwarding entries of the bridges that `fwd` made.
    pub fdb: Vec<FdbEntry>,
    /// ifindexes of host-side veths of other endpoints than those that a command is about, which are known to be there and were not
    /// looked at further. Nothing else is known of them: neither they nor what belongs to them are among the interfaces, forwarding
    /// entries and neighbours.
    pub out_of_scope: BTreeSet<u32>,
    /// Networks with a masquerade rule of ours.
    pub masquerades: BTreeSet<String>,
    /// Networks with a rule of ours that keeps others out.
    pub isolated: BTreeSet<String>,
    /// Values of the sysctls that matter, by path below /proc/sys.
    pub sysctls: BTreeMap<String, String>,
    /// How the user gave the namespace that plays the host, where it is not the caller's.
    pub given: Option<String>,
    /// What else happens to packets, as far as it was read.
    pub surroundings: Surroundings,
}

impl Host {
    /// A bridge that was made for another run directory: its networks may lead through the same uplinks.
    #[must_use]
    pub fn other_owners_bridge(&self) -> Option<&Link> {
        let others = |link: &&Link| {
            names::is_made(link) && link.kind.as_deref() == Some("bridge") && !self.owner.has_bridge(link)
        };
        self.net.links.iter().find(others)
    }
}

/// The namespace that `up` is about.
#[derive(Clone, Debug)]
pub struct Target {
    /// How it was given.
    pub reference: TargetRef,
    /// Its name under /run/netns, also where it was given otherwise.
    pub name: Option<Name>,
    /// Process that it was given by.
    pub pid: Option<u32>,
    /// What it is; `None` if it is still to be made.
    pub ns: Option<TargetNetns>,
}

impl Target {
    /// What the namespace is called in aliases and messages.
    #[must_use]
    pub fn label(&self) -> String {
        super::record::label(self.name.as_ref().map(Name::as_str), self.ns.as_ref().map_or(0, |ns| ns.inode))
    }
}

/// A namespace that exists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetNetns {
    /// Its cookie.
    pub cookie: u64,
    /// Its inode.
    pub inode: u64,
    /// `up` made it, for this host namespace: the undo log says so.
    pub made: bool,
    /// Interfaces, addresses, routes, neighbours.
    pub net: NetConfig,
    /// The interface that `up` makes has the offloads that XDP needs; looked at where XDP is asked for.
    pub xdp_ready: bool,
}

/// A namespace of an endpoint, or one that `down` is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointNetns {
    /// How it can be opened.
    pub reference: TargetRef,
    /// Its name under /run/netns.
    pub name: Option<Name>,
    /// Its cookie.
    pub cookie: u64,
    /// `up` made it, for this host namespace: the undo log says so.
    pub made: bool,
    /// Its interfaces.
    pub links: Vec<Link>,
}

impl TargetNetns {
    /// `lo` is up.
    #[must_use]
    pub fn is_loopback_up(&self) -> bool {
        self.net.links.iter().any(|link| link.loopback && link.up)
    }
}

impl EndpointNetns {
    /// `lo` is up.
    #[must_use]
    pub fn is_loopback_up(&self) -> bool {
        self.links.iter().any(|link| link.loopback && link.up)
    }
}

/// What is to be done about /etc/netns/NAME/resolv.conf.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ResolvConf {
    /// Nothing.
    #[default]
    Fine,
    /// It is to say this.
    Write(String),
    /// The host's resolver cannot be reached from inside, and what it asks itself is not known.
    Unreachable,
}

impl Records {
    /// [`has`](Actual::has) for what is recorded of uplinks, and attached to them.
    fn has_at_uplink(&self, object: &Object) -> bool {
        match object {
            Object::Uplink { index, .. } => self.uplinks.iter().any(|uplink| uplink.index == *index),
            Object::UplinkAddress { index, to, .. } => {
                self.uplinks.iter().any(|uplink| uplink.index == *index && uplink.address == *to)
            }
            Object::UplinkName { index, to, .. } => {
                self.uplinks.iter().any(|uplink| uplink.index == *index && uplink.name == *to)
            }
            Object::NetworkUplink { bridge, to, .. } => {
                let moved = |network: &super::NetworkRecord| network.index != *bridge || network.uplink == *to;
                let followed =
                    |endpoint: &super::EndpointRecord| endpoint.network_index != *bridge || endpoint.uplink == *to;
                self.networks.iter().all(moved) && self.endpoints.iter().all(followed)
            }
            Object::UplinkHooks { index, .. } => self.uplink_hooks.contains(index),
            Object::UplinkXdp { index, .. } => self.uplink_xdp.contains(index),
            _ => false,
        }
    }
}

impl Actual {
    /// Whether an object is there already.
    #[must_use]
    pub fn has(&self, object: &Object) -> bool {
        let (host, records) = (&self.host.net, &self.records);
        match object {
            Object::Records => records.loaded,
            Object::OtherVersion { name } => records.others.contains(name),
            Object::Dataplane(_) => records.table.is_some(),
            Object::Undo(entry) => self.undo.iter().any(|known| known.key() == entry.key()),
            Object::Netns { name } => self.named.contains(name),
            Object::Sysctl(wanted) => self.host.sysctls.get(&wanted.path) == Some(&wanted.ours),
            Object::Uplink { .. }
            | Object::UplinkAddress { .. }
            | Object::UplinkName { .. }
            | Object::NetworkUplink { .. }
            | Object::UplinkHooks { .. }
            | Object::UplinkXdp { .. } => records.has_at_uplink(object),
            Object::Bridge(spec) => host.link(&spec.name).is_some_and(|link| self.host.owner.has_bridge(link)),
            Object::GatewayAddress { bridge, address } => host.has_address(bridge, *address),
            Object::LinkUp { name } => host.link(name).is_some_and(|link| link.up),
            Object::Network(spec) => {
                let index = spec.index.or_else(|| host.link(&spec.bridge).map(|bridge| bridge.index));
                records.networks.iter().any(|network| network.name == spec.name && Some(network.index) == index)
            }
            Object::NetworkHook { bridge, index } => {
                let index = index.or_else(|| host.link(bridge).map(|bridge| bridge.index));
                index.is_some_and(|index| records.network_hooks.contains(&index))
            }
            Object::Masquerade { network, .. } => self.host.masquerades.contains(network),
            Object::Isolation { network, .. } => self.host.isolated.contains(network),
            Object::Veth { spec, .. } => host.link(&spec.host_if).is_some_and(|link| self.host.owner.has_veth(link)),
            Object::Endpoint(spec) => {
                let index = spec.index.or_else(|| host.link(&spec.host_if).map(|link| link.index));
                records.endpoints.iter().any(|endpoint| Some(endpoint.index) == index)
            }
            Object::EndpointBridge { .. }
            | Object::EndpointHook { .. }
            | Object::EndpointAttach { .. }
            | Object::EndpointXdp { .. } => self.has_at_host_veth(object),
            Object::Port { host_if, bridge, .. } => {
                let bridge = host.link(bridge).map(|link| link.index);
                bridge.is_some() && host.link(host_if).is_some_and(|link| link.controller == bridge)
            }
            Object::Fdb { host_if, mac } => host.link(host_if).is_some_and(|link| {
                self.host.fdb.iter().any(|entry| entry.port == link.index && entry.mac == *mac && entry.fixed)
            }),
            Object::Neighbour { bridge, address, mac } => host.has_neighbour(bridge, *address, *mac),
            Object::Loopback { .. }
            | Object::NsAddress { .. }
            | Object::NsLinkUp { .. }
            | Object::NsDefaultRoute { .. }
            | Object::NsNeighbour { .. } => self.target_netns().is_some_and(|inside| inside.net.has_inside(object)),
            Object::NsOffloads { .. } => {
                self.target_netns().is_some_and(|inside| inside.xdp_ready && inside.net.ns_if().is_some())
            }
            Object::ResolvConf { .. } => !matches!(self.resolv_conf, ResolvConf::Write(_)),
        }
    }

    /// [`has`](Self::has) for what is noted of host-side veths, and attached to them.
    fn has_at_host_veth(&self, object: &Object) -> bool {
        let (host, records) = (&self.host.net, &self.records);
        match object {
            Object::EndpointBridge { host_if, bridge, .. } => {
                let bridge = host.link(bridge).map(|link| link.index);
                let mut endpoints = records.endpoints.iter();
                endpoints.any(|endpoint| endpoint.host_if == *host_if && Some(endpoint.network_index) == bridge)
            }
            Object::EndpointHook { host_if, index, .. } => {
                let attached = [&records.endpoint_hooks, &records.endpoint_filters];
                attached.into_iter().any(|host_veths| self.is_among(host_veths, host_if, *index))
            }
            Object::EndpointAttach { host_if, to, .. } => {
                let other = match to {
                    Backend::Tcx => &records.endpoint_filters,
                    Backend::Clsact => &records.endpoint_hooks,
                };
                let index = host.link(host_if).map(|link| link.index);
                let mut endpoints = records.endpoints.iter();
                endpoints.any(|endpoint| Some(endpoint.index) == index && endpoint.attach == *to)
                    && !self.is_among(other, host_if, None)
            }
            Object::EndpointXdp { host_if, index, .. } => self.is_among(&records.endpoint_xdp, host_if, *index),
            _ => false,
        }
    }

    /// Whether the host-side veth of this name, or of the number that it had, is one of `host_veths`.
    fn is_among(&self, host_veths: &BTreeSet<u32>, host_if: &str, index: Option<u32>) -> bool {
        let index = index.or_else(|| self.host.net.link(host_if).map(|link| link.index));
        index.is_some_and(|index| host_veths.contains(&index))
    }

    /// The sysctls that were changed, by the undo log.
    pub fn changed_sysctls(&self) -> impl Iterator<Item = &SysctlRecord> {
        self.undo.iter().filter_map(|entry| if let Undo::Sysctl(record) = entry { Some(record) } else { None })
    }

    /// Whether the undo log says that `up` made the namespace with this cookie.
    #[must_use]
    pub fn is_made(&self, cookie: u64) -> bool {
        self.undo.iter().any(|entry| matches!(entry, Undo::Netns { cookie: Some(made), .. } if *made == cookie))
    }

    /// The target's namespace, if it exists.
    #[must_use]
    pub fn target_netns(&self) -> Option<&TargetNetns> {
        self.target.as_ref().and_then(|target| target.ns.as_ref())
    }
}

impl NetConfig {
    /// [`Actual::has`] for objects inside the target.
    fn has_inside(&self, object: &Object) -> bool {
        match object {
            Object::Loopback { .. } => self.links.iter().any(|link| link.loopback && link.up),
            Object::NsAddress { ns_if, address, .. } => self.has_address(ns_if, *address),
            Object::NsLinkUp { ns_if, .. } => self.link(ns_if).is_some_and(|link| link.up),
            Object::NsDefaultRoute { ns_if, gateway, .. } => {
                let index = self.link(ns_if).map(|link| link.index);
                let mut routes = self.routes.iter();
                routes.any(|route| {
                    route.destination == IpNet::V4(Ipv4Net::default())
                        && Some(route.ifindex) == index
                        && route.gateway == Some((*gateway).into())
                })
            }
            Object::NsNeighbour { ns_if, gateway, mac, .. } => self.has_neighbour(ns_if, *gateway, *mac),
            _ => false,
        }
    }
}
