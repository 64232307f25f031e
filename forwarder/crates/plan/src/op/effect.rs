//! What there is once an operation has run: how a plan knows what its next operation meets.
//!
//! Numbers and cookies that the kernel will give are made up here; nothing of a plan names what it makes by them.

mod inside;
mod network;
mod nftables;
mod publish;

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{
    Action, Actual, EndpointRecord, EndpointSpec, NetConfig, Object, Op, Records, ResolvConf, TargetNetns,
    UplinkRecord, are_ends, object,
};
use fwd_dataplane::{Backend, Sizes, TcxOrder};
use fwd_kernel::{
    netlink::{BridgeSpec, FdbEntry, Link, Neighbour, Route, TABLE_MAIN},
    netns::Name,
};

impl Actual {
    /// Takes in what an operation does.
    pub(crate) fn apply(&mut self, op: &Op) {
        match op.action {
            Action::Make => self.make(&op.object),
            Action::Remove => self.unmake(&op.object),
        }
    }

    /// What these objects change.
    fn make(&mut self, object: &Object) {
        match object {
            Object::Records(_) => (self.records.loaded, self.records.pinned) = (true, true),
            Object::Dataplane(sizes) => self.make_dataplane(sizes),
            Object::Undo(entry) => self.undo.push(entry.clone()),
            Object::Netns(object::NamedNetns { name }) => self.make_namespace(name),
            Object::Sysctl(record) => self.host.set_sysctl(&record.path, &record.ours),
            Object::Isolation(_)
            | Object::KernelPolicy(_)
            | Object::KernelRate(_)
            | Object::NetworkPair(_)
            | Object::Masquerade(_)
            | Object::SourceNat(_)
            | Object::Rules6(_) => self.make_rules(object),
            Object::NameServer(it) => drop(self.host.served.insert(it.network.clone(), it.addresses.clone())),
            Object::ResolvConf(_) => self.target.iter_mut().for_each(|target| target.resolv_conf = ResolvConf::Fine),
            // No plan makes it.
            Object::OtherVersion(_) => {}
            Object::Uplink(_)
            | Object::UplinkAddress(_)
            | Object::UplinkName(_)
            | Object::UplinkAsked(_)
            | Object::UplinkOrder(_)
            | Object::UplinkHooks(_)
            | Object::UplinkXdp(_) => self.make_uplink(object),
            Object::Network(_)
            | Object::NetworkBridge(_)
            | Object::NetworkUplink(_)
            | Object::NetworkKept(_)
            | Object::NetworkAllows(_)
            | Object::NetworkSource(_)
            | Object::NetworkHook(_) => self.make_network(object),
            Object::Endpoint(_)
            | Object::EndpointBridge(_)
            | Object::EndpointHook(_)
            | Object::EndpointAttach(_)
            | Object::EndpointLimits(_)
            | Object::EndpointNames(_)
            | Object::EndpointNetns(_)
            | Object::EndpointTaken(_)
            | Object::EndpointPolicy(_)
            | Object::EndpointXdp(_) => self.make_endpoint(object),
            Object::HostAccess(_) | Object::Published(_) => self.publish(object),
            Object::Bridge(_)
            | Object::GatewayAddress(_)
            | Object::LinkUp(_)
            | Object::Veth(_)
            | Object::Port(_)
            | Object::HostSide(_)
            | Object::Fdb(_)
            | Object::Neighbour(_)
            | Object::ProxyNeighbour(_) => self.make_link(object),
            Object::Loopback(_)
            | Object::NsIpv6(_)
            | Object::NsAddress(_)
            | Object::NsLinkUp(_)
            | Object::NsOffloads(_)
            | Object::NsDefaultRoute(_)
            | Object::NsRoute(_)
            | Object::NsNeighbour(_) => self.make_inside(object),
        }
    }

    fn make_dataplane(&mut self, sizes: &Sizes) {
        (self.records.table, self.records.partly_loaded) = (Some(sizes.into()), true);
    }

    fn make_uplink(&mut self, object: &Object) {
        let records = &mut self.records;
        let mut uplinks = records.uplinks.iter_mut();
        match object {
            Object::Uplink(object::Uplink { name, index, address }) => {
                records.uplinks.push(UplinkRecord {
                    index: *index,
                    name: name.clone(),
                    address: *address,
                    asked: false,
                    order: TcxOrder::default(),
                });
                records.devices.insert(*index);
            }
            Object::UplinkAddress(object::UplinkAddress { index, to, .. }) => {
                uplinks.filter(|it| it.index == *index).for_each(|it| it.address = *to);
            }
            Object::UplinkName(object::UplinkName { index, to, .. }) => {
                let renamed = uplinks.find(|it| it.index == *index);
                renamed.into_iter().for_each(|it| it.name.clone_from(to));
            }
            Object::UplinkAsked(it) => {
                uplinks.filter(|uplink| uplink.index == it.index).for_each(|uplink| uplink.asked = true);
            }
            Object::UplinkOrder(it) => {
                uplinks.filter(|uplink| uplink.index == it.index).for_each(|uplink| uplink.order = it.to);
                records.misplaced.remove(&it.index);
            }
            Object::UplinkHooks(it) => drop(records.uplink_hooks.insert(it.index)),
            Object::UplinkXdp(it) => drop(records.uplink_xdp.insert(it.index)),
            other => unreachable!("{other} is no part of an uplink"),
        }
    }

    fn make_endpoint(&mut self, object: &Object) {
        let index = |host_if: &str| self.host.net.link(host_if).map(|link| link.index);
        let records = &mut self.records;
        match object {
            Object::Endpoint(spec) => self.record_endpoint(spec),
            Object::EndpointBridge(object::EndpointBridge { host_if, bridge, .. }) => {
                let bridge = index(bridge).unwrap_or_default();
                let endpoints = records.endpoints.iter_mut().filter(|endpoint| endpoint.host_if == *host_if);
                endpoints.for_each(|endpoint| endpoint.network_index = bridge);
            }
            Object::EndpointHook(object::EndpointHook { host_if, attach, .. }) => {
                records.attached_by_mut(*attach).extend(index(host_if));
            }
            Object::EndpointAttach(object::EndpointAttach { host_if, to, .. }) => {
                let Some(index) = index(host_if) else { return };
                let endpoints = records.endpoints.iter_mut().filter(|endpoint| endpoint.index == index);
                endpoints.for_each(|endpoint| endpoint.attach = *to);
                Backend::ALL.into_iter().for_each(|backend| _ = records.attached_by_mut(backend).remove(&index));
                records.attached_by_mut(*to).insert(index);
            }
            Object::EndpointLimits(it) => alter(records, index(&it.host_if), |known| known.limits = it.to),
            Object::EndpointNames(it) => alter(records, index(&it.host_if), |known| known.aliases.clone_from(&it.to)),
            Object::EndpointNetns(it) => self.arrive(it),
            Object::EndpointTaken(it) => self.take(it),
            Object::EndpointPolicy(it) => alter(records, index(&it.host_if), |known| known.policy.clone_from(&it.to)),
            Object::EndpointXdp(it) => records.endpoint_xdp.extend(index(&it.host_if)),
            other => unreachable!("{other} is no part of an endpoint"),
        }
    }

    fn record_endpoint(&mut self, spec: &EndpointSpec) {
        let index = |name: &str| self.host.net.link(name).map_or(0, |link| link.index);
        let (index, network_index) = (index(&spec.host_if), index(&spec.bridge));
        let netns = self.target_netns().map_or((0, 0), |inside| (inside.cookie, inside.inode));
        self.records.devices.insert(index);
        let networks = self.records.networks.iter_mut().filter(|it| it.index == network_index);
        networks.for_each(|it| it.last = spec.number());
        self.records.endpoints.push(spec.record([index, network_index], netns));
    }

    fn make_namespace(&mut self, name: &Name) {
        self.named.insert(name.clone());
        let number = u64::MAX - self.named.len() as u64;
        let lo = Link { index: 1, name: "lo".into(), loopback: true, ..Link::default() };
        let net = NetConfig { links: vec![lo], ..NetConfig::default() };
        let inside = TargetNetns { cookie: number, inode: number, made: true, net, ..TargetNetns::default() };
        self.target.iter_mut().for_each(|target| target.ns = Some(inside.clone()));
    }

    fn make_link(&mut self, object: &Object) {
        let index = |name: &str| self.host.net.link(name).map(|link| link.index);
        match object {
            Object::Bridge(BridgeSpec { name, mac, mtu, alias }) => {
                let bridge = Link { kind: Some("bridge".into()), mtu: *mtu, mac: Some(*mac), ..made(name, alias) };
                self.add_link(bridge);
            }
            Object::Veth(object::Veth { spec, .. }) => {
                let inside = self.target.as_mut().and_then(|target| target.ns.as_mut());
                let end = inside.as_ref().map_or(1, |inside| next_index(&inside.net));
                let veth = |link: Link| Link { kind: Some(spec.kind.name().into()), mtu: spec.mtu, ..link };
                let host = next_index(&self.host.net);
                if let Some(inside) = inside {
                    let link = Link {
                        index: end,
                        mac: Some(spec.ns_mac),
                        peer: Some(host),
                        up: false,
                        ..made(&spec.ns_if, "")
                    };
                    inside.net.links.push(veth(link));
                    inside.xdp_ready.remove(&spec.ns_if);
                    inside.ipv6_ready.remove(&spec.ns_if);
                }
                self.add_link(veth(Link { mac: spec.host_mac, peer: Some(end), ..made(&spec.host_if, &spec.alias) }));
            }
            Object::LinkUp(object::LinkUp { name }) => {
                self.host.net.links.iter_mut().filter(|link| link.name == *name).for_each(|link| link.up = true);
            }
            Object::GatewayAddress(object::GatewayAddress { bridge, address }) => {
                let Some(index) = index(bridge) else { return };
                self.host.net.addresses.push((index, *address));
                self.host.net.routes.push(route(index, address.trunc(), None));
            }
            Object::Port(object::Port { host_if, bridge, .. }) => {
                let bridge = index(bridge);
                let ports = self.host.net.links.iter_mut().filter(|link| link.name == *host_if);
                ports.for_each(|link| link.controller = bridge);
            }
            Object::HostSide(it) => {
                it.sysctls().into_iter().for_each(|(path, value)| self.host.set_sysctl(&path, value));
                let links = self.host.net.links.iter_mut().filter(|link| link.name == it.host_if);
                links.for_each(|link| link.controller = None);
            }
            Object::Fdb(object::Fdb { host_if, mac }) => {
                let entry = index(host_if).map(|port| FdbEntry { port, mac: *mac, fixed: true });
                self.host.fdb.extend(entry);
            }
            Object::Neighbour(object::Neighbour { bridge, address, mac }) => {
                let entry = index(bridge).map(|index| neighbour(index, *address, *mac));
                self.host.net.neighbours.extend(entry);
            }
            Object::ProxyNeighbour(object::ProxyNeighbour { uplink, address }) => {
                let entry = index(uplink).map(|index| (index, *address));
                self.host.net.proxies.extend(entry);
            }
            other => unreachable!("{other} is no interface of the host"),
        }
    }

    fn add_link(&mut self, link: Link) {
        let index = next_index(&self.host.net);
        self.host.net.links.push(Link { index, ..link });
    }

    fn unmake(&mut self, object: &Object) {
        let records = &mut self.records;
        match object {
            Object::Records(_) => *records = crate::Records { others: records.others.clone(), ..Default::default() },
            Object::Dataplane(_) => (records.table, records.partly_loaded) = (None, false),
            Object::OtherVersion(it) => records.others.retain(|name| *name != it.name),
            Object::Undo(entry) => self.undo.retain(|known| !known.is_about_same(entry)),
            Object::Netns(object::NamedNetns { name }) => self.unmake_namespace(name),
            Object::Sysctl(record) => self.host.set_sysctl(&record.path, &record.original),
            Object::Isolation(_)
            | Object::KernelPolicy(_)
            | Object::KernelRate(_)
            | Object::NetworkPair(_)
            | Object::Masquerade(_)
            | Object::SourceNat(_)
            | Object::Rules6(_) => self.unmake_rules(object),
            Object::NameServer(it) => drop(self.host.served.remove(&it.network)),
            Object::Uplink(_) | Object::UplinkAsked(_) | Object::UplinkHooks(_) | Object::UplinkXdp(_) => {
                self.unmake_uplink(object)
            }
            Object::Network(spec) => records.networks.retain(|network| Some(network.index) != spec.index),
            Object::NetworkHook(it) => it.index.iter().for_each(|index| _ = records.network_hooks.remove(index)),
            Object::Endpoint(spec) => records.endpoints.retain(|endpoint| Some(endpoint.index) != spec.index),
            Object::EndpointHook(it) => it.index.iter().for_each(|index| self.unmake_endpoint_hook(*index)),
            Object::EndpointXdp(it) => it.index.iter().for_each(|index| _ = records.endpoint_xdp.remove(index)),
            Object::HostAccess(_) | Object::Published(_) => self.withdraw(object),
            Object::Bridge(spec) => self.drop_link(&spec.name),
            Object::Veth(object::Veth { spec, .. }) => self.drop_link(&spec.host_if),
            Object::Neighbour(it) => self.host.net.drop_neighbour(&it.bridge, it.address),
            Object::ProxyNeighbour(it) => self.host.net.proxies.retain(|(_, address)| *address != it.address),
            Object::Loopback(it) => self.unmake_loopback(it),
            // Plans remove them with what they belong to, or look no more at what is left.
            Object::ResolvConf(_)
            | Object::UplinkAddress(_)
            | Object::UplinkName(_)
            | Object::NetworkBridge(_)
            | Object::UplinkOrder(_)
            | Object::NetworkUplink(_)
            | Object::NetworkKept(_)
            | Object::NetworkAllows(_)
            | Object::NetworkSource(_)
            | Object::EndpointBridge(_)
            | Object::EndpointAttach(_)
            | Object::EndpointLimits(_)
            | Object::EndpointNames(_)
            | Object::EndpointNetns(_)
            | Object::EndpointTaken(_)
            | Object::EndpointPolicy(_)
            | Object::GatewayAddress(_)
            | Object::LinkUp(_)
            | Object::Port(_)
            | Object::HostSide(_)
            | Object::Fdb(_)
            | Object::NsIpv6(_)
            | Object::NsAddress(_)
            | Object::NsLinkUp(_)
            | Object::NsOffloads(_)
            | Object::NsDefaultRoute(_)
            | Object::NsRoute(_)
            | Object::NsNeighbour(_) => {}
        }
    }

    fn unmake_endpoint_hook(&mut self, index: u32) {
        Backend::ALL.into_iter().for_each(|backend| _ = self.records.attached_by_mut(backend).remove(&index));
    }

    fn unmake_loopback(&mut self, object::Loopback { ns }: &object::Loopback) {
        let known = self.namespaces.iter_mut().filter(|known| known.reference == *ns);
        known.flat_map(|known| &mut known.links).filter(|link| link.loopback).for_each(|link| link.up = false);
    }

    /// What is removed of an uplink.
    fn unmake_uplink(&mut self, object: &Object) {
        let records = &mut self.records;
        match object {
            Object::Uplink(object::Uplink { index, .. }) => {
                records.uplinks.retain(|uplink| uplink.index != *index);
                records.devices.remove(index);
            }
            Object::UplinkAsked(it) => {
                let asked = records.uplinks.iter_mut().filter(|uplink| uplink.index == it.index);
                asked.for_each(|uplink| uplink.asked = false);
            }
            Object::UplinkHooks(it) => drop(records.uplink_hooks.remove(&it.index)),
            Object::UplinkXdp(it) => drop(records.uplink_xdp.remove(&it.index)),
            other => unreachable!("{other} is nothing of an uplink"),
        }
    }

    fn unmake_namespace(&mut self, name: &Name) {
        self.named.remove(name);
        self.leftovers.remove(name);
        self.namespaces.retain(|known| known.name.as_ref() != Some(name));
        let named = |target: &&mut crate::Target| target.name.as_ref() == Some(name);
        self.target.iter_mut().chain(self.targets.values_mut()).filter(named).for_each(|target| target.ns = None);
    }

    /// Forgets an interface and all that goes with it, the other end of a veth pair included.
    fn drop_link(&mut self, name: &str) {
        let Some(gone) = self.host.net.link(name).cloned() else { return };
        let index = gone.index;
        self.host.net.forget(index);
        self.host.fdb.retain(|entry| entry.port != index);
        self.host.sysctls.retain(|path, _| !crate::sysctls::is_of(path, name));
        let ports = self.host.net.links.iter_mut().filter(|link| link.controller == Some(index));
        ports.for_each(|port| port.controller = None);
        for inside in self.target.iter_mut().chain(self.targets.values_mut()).filter_map(|target| target.ns.as_mut()) {
            let net = &mut inside.net;
            let ends = net.links.iter().filter(|link| are_ends(&gone, link)).map(|link| link.index);
            let ends: Vec<u32> = ends.collect();
            ends.into_iter().for_each(|end| net.forget(end));
        }
    }
}

fn next_index(net: &NetConfig) -> u32 {
    net.links.iter().map(|link| link.index).max().unwrap_or_default() + 1
}

fn made(name: &str, alias: &str) -> Link {
    Link { name: name.into(), alias: Some(alias.into()), up: true, ..Link::default() }
}

pub(super) fn neighbour(ifindex: u32, address: IpAddr, mac: fwd_kernel::netlink::Mac) -> Neighbour {
    Neighbour { ifindex, address, mac: Some(mac), permanent: true }
}

pub(super) fn route(ifindex: u32, destination: IpNet, gateway: Option<IpAddr>) -> Route {
    Route { destination, ifindex, gateway, metric: 0, table: TABLE_MAIN, mtu: None }
}

/// Changes what the records say of the endpoint with this host-side veth.
fn alter(records: &mut Records, index: Option<u32>, change: impl Fn(&mut EndpointRecord)) {
    records.endpoints.iter_mut().filter(|known| Some(known.index) == index).for_each(change);
}
