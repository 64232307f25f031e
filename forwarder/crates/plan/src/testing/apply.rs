//! What each operation does to the model.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{World, connected};
use crate::{
    ALL_FORWARDING6, Action, NetConfig, Object, Op, TargetNetns, TargetRef, Undo, UplinkRecord, arp_ignore, forwarding,
    ignore_linkdown, ignore_linkdown6, object,
};
use fwd_dataplane::{Backend, TcxOrder};
use fwd_kernel::netlink::{FdbEntry, Link, Neighbour, Route, TABLE_MAIN};

fn insert<T: PartialEq + std::fmt::Debug>(list: &mut Vec<T>, item: T) {
    assert!(!list.contains(&item), "{item:?} exists");
    list.push(item);
}

pub(super) fn take<T: std::fmt::Debug>(list: &mut Vec<T>, which: impl Fn(&T) -> bool) {
    let before = list.len();
    list.retain(|item| !which(item));
    assert_eq!(list.len() + 1, before, "exactly one goes: {list:?}");
}

impl World {
    /// Does what the kernel would.
    pub(in super::super) fn apply(&mut self, op: &Op) {
        match op.action {
            Action::Make => self.make(&op.object),
            Action::Remove => self.remove(&op.object),
        }
    }

    pub(super) fn index(&self, name: &str) -> u32 {
        self.host.net.link(name).unwrap_or_else(|| panic!("{name} exists")).index
    }

    pub(super) fn namespace(&mut self, ns: &TargetRef) -> &mut TargetNetns {
        let name = self.resolve(ns).unwrap_or_else(|| panic!("{ns} exists"));
        self.namespaces.get_mut(&name).unwrap_or_else(|| panic!("{ns} exists"))
    }

    fn net(&mut self, ns: &TargetRef) -> &mut NetConfig {
        &mut self.namespace(ns).net
    }

    fn make(&mut self, object: &Object) {
        match object.clone() {
            Object::Records(_) => {
                assert!(!self.records.loaded);
                (self.records.loaded, self.records.pinned) = (true, true);
            }
            Object::Dataplane(sizes) => {
                assert!(self.records.loaded && self.records.table.is_none());
                (self.records.table, self.records.partly_loaded) = (Some((&sizes).into()), true);
            }
            Object::Uplink(object::Uplink { name, index, address }) => {
                self.note(index);
                insert(
                    &mut self.records.uplinks,
                    UplinkRecord { index, name, address, asked: false, order: TcxOrder::default() },
                );
            }
            Object::UplinkAddress(it) => self.change_address(it.index, it.from, it.to),
            Object::UplinkName(name) => self.rename_uplink(name),
            Object::NetworkUplink(it) => self.lead_through(it.bridge, it.from, it.to),
            Object::NetworkKept(it) => self.keep(&it.network),
            Object::UplinkAsked(object::UplinkAsked { index, .. }) => self.ask_for_uplink(index, true),
            Object::UplinkOrder(it) => self.order_uplink(&it),
            Object::NetworkAllows(it) => self.allow(&it),
            Object::NetworkSource(it) => self.appear_behind(&it),
            Object::UplinkHooks(object::UplinkHooks { index, .. }) => {
                assert!(self.records.uplinks.iter().any(|uplink| uplink.index == index));
                self.records.uplink_hooks.insert(index);
                self.half_hooked.remove(&index);
            }
            Object::UplinkXdp(object::UplinkXdp { index, .. }) => {
                assert!(self.records.uplink_hooks.contains(&index));
                assert!(self.records.uplink_xdp.insert(index));
            }
            Object::EndpointXdp(object::EndpointXdp { host_if, .. }) => {
                let index = self.index(&host_if);
                let records = &self.records;
                assert!(records.endpoint_hooks.contains(&index) || records.endpoint_filters.contains(&index));
                assert!(self.records.endpoint_xdp.insert(index));
            }
            Object::Network(spec) => self.record_network(&spec),
            Object::NetworkBridge(it) => self.rebridge(&it),
            Object::NetworkHook(it) => self.hook_network(&it.bridge),
            Object::Endpoint(spec) => self.record_endpoint(spec),
            Object::EndpointBridge(bridge) => self.rehome(&bridge),
            Object::EndpointHook(object::EndpointHook { host_if, attach, .. }) => {
                let index = self.index(&host_if);
                assert!(self.records.endpoints.iter().any(|endpoint| endpoint.index == index));
                assert!(self.attached_by(attach).insert(index));
            }
            Object::EndpointAttach(it) => self.attach_otherwise(&it.host_if, it.from, it.to),
            Object::EndpointLimits(limits) => self.limit(&limits),
            Object::EndpointNames(names) => self.rename(&names),
            Object::EndpointNetns(arrival) => self.arrive(&arrival),
            Object::EndpointTaken(taken) => self.take(&taken),
            Object::EndpointPolicy(policy) => self.give_rules(&policy),
            Object::HostAccess(it) => self.give_access(&it),
            Object::Published(it) => self.publish(&it),
            _ => self.make_rules(object),
        }
    }

    fn hook_network(&mut self, bridge: &str) {
        let index = self.index(bridge);
        assert!(self.records.networks.iter().any(|network| network.index == index));
        assert!(self.records.network_hooks.insert(index));
    }

    fn order_uplink(&mut self, it: &object::UplinkOrder) {
        let record = self.records.uplinks.iter_mut().find(|uplink| uplink.index == it.index);
        let record = record.expect("it is recorded");
        assert_eq!(record.order, it.from);
        record.order = it.to;
        self.records.misplaced.remove(&it.index);
    }

    /// Whether somebody has asked for an uplink by itself.
    fn ask_for_uplink(&mut self, index: u32, asked: bool) {
        let record = self.records.uplinks.iter_mut().find(|uplink| uplink.index == index);
        record.expect("it is recorded").asked = asked;
    }

    /// What the undo log has to say, and what it has said before.
    pub(super) fn make_noted(&mut self, object: &Object) {
        match object.clone() {
            Object::Undo(Undo::Netns { name, cookie: None }) => {
                let draft = self.fresh();
                insert(&mut self.undo, Undo::Netns { name, cookie: Some(draft.cookie) });
                self.draft = Some(draft);
            }
            Object::Undo(entry) => insert(&mut self.undo, entry),
            Object::Netns(object::NamedNetns { name }) => {
                let draft = self.draft.take().expect("it was made");
                assert!(self.namespaces.insert(name, draft).is_none());
            }
            Object::Sysctl(record) => {
                let theirs = record.interface.is_some();
                let is_noted = self.undo.iter().any(|entry| entry.is_for(object));
                assert!(is_noted || !theirs, "{record:?} is changed before it is noted");
                self.set_sysctl(&record.path, &record.original, &record.ours);
            }
            Object::ResolvConf(object::ResolvConf { ns, contents }) => self.resolve_by(ns, contents),
            Object::NameServer(object::NameServer { network, addresses }) => {
                let is_there =
                    |address: &std::net::IpAddr| self.host.net.addresses.iter().any(|(_, it)| it.addr() == *address);
                assert!(addresses.iter().all(is_there), "it can listen");
                assert_ne!(self.host.served.insert(network, addresses.clone()), Some(addresses));
            }
            other => self.make_link(other),
        }
    }

    pub(super) fn attached_by(&mut self, backend: Backend) -> &mut std::collections::BTreeSet<u32> {
        self.records.attached_by_mut(backend)
    }

    fn make_link(&mut self, object: Object) {
        match object {
            Object::Bridge(spec) => {
                let link = Link { kind: Some("bridge".into()), ..link(&spec.name, spec.mac, spec.mtu, &spec.alias) };
                self.host.sysctls.insert(forwarding(&spec.name), "0".into());
                self.host.sysctls.insert(arp_ignore(&spec.name), "0".into());
                self.host.sysctls.insert(ignore_linkdown(&spec.name), "0".into());
                self.host.sysctls.insert(ignore_linkdown6(&spec.name), "0".into());
                self.add_settings6(&spec.name);
                self.add(link);
            }
            Object::Veth(object::Veth { spec, ns }) => {
                let inside = self.next + 1;
                let mac = spec.host_mac.expect("it is fixed");
                let host = Link {
                    kind: Some(spec.kind.name().into()),
                    peer: Some(inside),
                    ..link(&spec.host_if, mac, spec.mtu, &spec.alias)
                };
                let host = self.add(Link { peer_netnsid: Some(1), ..host });
                let kind = Some(spec.kind.name().into());
                let end = link(&spec.ns_if, spec.ns_mac, spec.mtu, "");
                let end = Link { kind, index: inside, peer: Some(host), up: false, ..end };
                let net = self.net(&ns);
                assert!(net.link(&end.name).is_none());
                let name = end.name.clone();
                net.links.push(Link { peer_netnsid: Some(0), alias: None, ..end });
                let inside = self.namespace(&ns);
                inside.xdp_ready.remove(&name);
                inside.ipv6_ready.remove(&name);
            }
            Object::LinkUp(object::LinkUp { name }) => {
                self.host.net.links.iter_mut().filter(|link| link.name == name).for_each(|l| l.up = true)
            }
            Object::GatewayAddress(object::GatewayAddress { bridge, address }) => {
                let index = self.index(&bridge);
                insert(&mut self.host.net.addresses, (index, address));
                self.host.net.routes.push(connected(index, &address.to_string()));
            }
            Object::Port(object::Port { host_if, bridge, .. }) => {
                let bridge = Some(self.index(&bridge));
                let link = self.host.net.links.iter_mut().find(|link| link.name == host_if).expect("the port exists");
                assert_ne!(std::mem::replace(&mut link.controller, bridge), bridge);
            }
            Object::HostSide(it) => self.close(&it),
            Object::Fdb(object::Fdb { host_if, mac }) => {
                let port = self.index(&host_if);
                insert(&mut self.host.fdb, FdbEntry { port, mac, fixed: true });
            }
            Object::Neighbour(object::Neighbour { bridge, address, mac }) => {
                let ifindex = self.index(&bridge);
                let neighbour = Neighbour { ifindex, address, mac: Some(mac), permanent: true };
                insert(&mut self.host.net.neighbours, neighbour);
            }
            Object::ProxyNeighbour(object::ProxyNeighbour { uplink, address }) => {
                let ifindex = self.index(&uplink);
                insert(&mut self.host.net.proxies, (ifindex, address));
            }
            other => self.make_inside(other),
        }
    }

    fn make_inside(&mut self, object: Object) {
        match object {
            Object::Loopback(object::Loopback { ns }) => self.net(&ns).links[0].up = true,
            Object::NsAddress(object::NsAddress { ns, ns_if, address }) => {
                let inside = self.namespace(&ns);
                assert!(
                    inside.ipv6_ready.contains(&ns_if) || address.addr().is_ipv4(),
                    "an interface without IPv6 takes no address of it"
                );
                let index = inside.net.link(&ns_if).expect("it exists").index;
                insert(&mut inside.net.addresses, (index, address));
            }
            Object::NsIpv6(object::NsIpv6 { ns, ns_if }) => {
                let inside = self.namespace(&ns);
                assert!(inside.net.link(&ns_if).is_some());
                assert!(inside.ipv6_ready.insert(ns_if));
            }
            Object::NsLinkUp(object::NsLinkUp { ns, ns_if, .. }) => {
                let net = self.net(&ns);
                let link = net.links.iter_mut().find(|link| link.name == ns_if).expect("it exists");
                link.up = true;
                let index = link.index;
                let address = net.ipv4(index);
                net.routes.extend(address.map(|address| connected(index, &address.to_string())));
            }
            Object::NsOffloads(object::NsOffloads { ns, ns_if }) => {
                let inside = self.namespace(&ns);
                assert!(inside.net.link(&ns_if).expect("it exists").up, "a veth that is down takes no frames");
                assert!(inside.xdp_ready.insert(ns_if));
            }
            Object::NsDefaultRoute(it) => {
                let metric = it.metric.unwrap_or(0);
                self.add_route(&it.ns, &it.ns_if, it.destination(), it.gateway, metric);
            }
            Object::NsRoute(it) => self.add_route(&it.ns, &it.ns_if, it.to, it.via, 0),
            Object::NsNeighbour(object::NsNeighbour { ns, ns_if, gateway, mac }) => {
                let net = self.net(&ns);
                let ifindex = net.link(&ns_if).expect("it exists").index;
                let neighbour = Neighbour { ifindex, address: gateway, mac: Some(mac), permanent: true };
                insert(&mut net.neighbours, neighbour);
            }
            other => panic!("{other} is not made in the model"),
        }
    }

    fn add_route(&mut self, ns: &TargetRef, ns_if: &str, destination: IpNet, gateway: IpAddr, metric: u32) {
        let net = self.net(ns);
        let link = net.link(ns_if).expect("it exists");
        assert!(link.up, "a route needs an interface that is up");
        let (ifindex, gateway) = (link.index, Some(gateway));
        let is_same = |known: &Route| (known.destination, known.metric) == (destination, metric);
        assert!(!net.routes.iter().any(is_same), "the kernel has one route of a metric");
        net.routes.push(Route { destination, ifindex, gateway, metric, table: TABLE_MAIN, mtu: None });
    }

    fn add(&mut self, link: Link) -> u32 {
        assert!(self.host.net.link(&link.name).is_none(), "{} exists", link.name);
        self.next += 2;
        self.host.net.links.push(Link { index: self.next, ..link });
        self.next
    }

    fn set_sysctl(&mut self, path: &str, from: &str, to: &str) {
        assert_eq!(self.host.sysctls.insert(path.into(), to.into()).as_deref(), Some(from), "{path}");
        if path == ALL_FORWARDING6 {
            self.forward6(to);
        }
    }

    /// Makes a host-side veth no port of anything, which takes up nothing.
    fn close(&mut self, host_side: &object::HostSide) {
        let mut links = self.host.net.links.iter_mut();
        links.find(|link| link.name == host_side.host_if).expect("the interface exists").controller = None;
        self.host.sysctls.extend(host_side.sysctls().map(|(path, value)| (path, value.to_owned())));
    }

    /// Takes an interface from its bridge.
    fn release(&mut self, host_if: &str) {
        let link = self.host.net.links.iter_mut().find(|link| link.name == *host_if).expect("the port exists");
        assert!(link.controller.take().is_some());
        let index = link.index;
        self.host.fdb.retain(|entry| entry.port != index);
    }

    /// The number of an endpoint's host-side veth: what has just been made is undone by its name.
    fn numbered(&self, index: Option<u32>, host_if: &str) -> u32 {
        index.unwrap_or_else(|| self.index(host_if))
    }

    fn remove(&mut self, object: &Object) {
        match object {
            Object::Dataplane(_) => {
                assert!(self.records.partly_loaded && self.records.uplink_hooks.is_empty());
                assert!(self.records.network_hooks.is_empty());
                assert!(self.records.uplink_xdp.is_empty());
                (self.records.table, self.records.partly_loaded) = (None, false);
            }
            Object::Records(_) => {
                let records = std::mem::take(&mut self.records);
                assert!(records.pinned);
                assert_eq!((records.networks.len(), records.endpoints.len(), records.uplinks.len()), (0, 0, 0));
                assert!(records.uplink_hooks.is_empty());
            }
            Object::Undo(entry) => take(&mut self.undo, |known| known == entry),
            Object::Netns(object::NamedNetns { name }) => self.delete_namespace(name),
            Object::Sysctl(record) => self.set_sysctl(&record.path, &record.ours, &record.original),
            Object::Uplink(object::Uplink { index, .. }) => {
                self.records.devices.remove(index);
                take(&mut self.records.uplinks, |uplink| uplink.index == *index);
            }
            Object::UplinkAsked(object::UplinkAsked { index, .. }) => self.ask_for_uplink(*index, false),
            Object::UplinkHooks(object::UplinkHooks { index, .. }) => {
                let (whole, half) = (self.records.uplink_hooks.remove(index), self.half_hooked.remove(index));
                assert!(whole || half);
            }
            Object::UplinkXdp(object::UplinkXdp { index, .. }) => assert!(self.records.uplink_xdp.remove(index)),
            Object::EndpointXdp(object::EndpointXdp { host_if, index, .. }) => {
                assert!(self.records.endpoint_xdp.remove(&self.numbered(*index, host_if)));
            }
            Object::Bridge(spec) => self.delete_link(&spec.name),
            Object::Veth(object::Veth { spec, .. }) => self.delete_link(&spec.host_if),
            Object::Network(spec) => {
                self.records.devices.remove(&spec.index.expect("the index is known"));
                take(&mut self.records.networks, |network| Some(network.index) == spec.index);
            }
            Object::NetworkHook(object::NetworkHook { index, .. }) => {
                assert!(self.records.network_hooks.remove(&index.expect("the index is known")));
            }
            Object::Endpoint(spec) => {
                let index = self.numbered(spec.index, &spec.host_if);
                self.records.devices.remove(&index);
                take(&mut self.records.endpoints, |endpoint| endpoint.index == index);
            }
            Object::EndpointHook(object::EndpointHook { host_if, index, .. }) => {
                let index = self.numbered(*index, host_if);
                let hooks = Backend::ALL.map(|backend| self.attached_by(backend).remove(&index));
                assert!(hooks.contains(&true));
            }
            Object::HostAccess(_) => self.take_access(),
            Object::Published(it) => self.withdraw(it),
            Object::Port(object::Port { host_if, .. }) => self.release(host_if),
            Object::Neighbour(object::Neighbour { bridge, address, .. }) => {
                let index = self.index(bridge);
                take(&mut self.host.net.neighbours, |n| n.ifindex == index && n.address == *address);
            }
            Object::Loopback(object::Loopback { ns }) => {
                assert!(std::mem::replace(&mut self.net(ns).links[0].up, false))
            }
            _ => self.remove_rules(object),
        }
    }
}

fn link(name: &str, mac: [u8; 6], mtu: u32, alias: &str) -> Link {
    Link { name: name.into(), mac: Some(mac), mtu, alias: Some(alias.into()), up: true, ..Link::default() }
}
