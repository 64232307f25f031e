//! What interrupted commands and other people's deletions leave behind.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashSet},
    net::Ipv6Addr,
};

use ipnet::{Ipv4Net, Ipv6Net};

use super::ipv6;
use crate::{Actual, EndpointRecord, EndpointSpec, NetworkRecord, NetworkSpec, Object, Op, TargetRef, Undo, object};
use fwd_kernel::{
    netlink::{BridgeSpec, Link, PairSpec},
    netns::Name,
};

impl Actual {
    /// Whether the host-side veth of an endpoint's record still exists.
    #[must_use]
    pub(crate) fn is_live(&self, endpoint: &EndpointRecord) -> bool {
        self.is_out_of_scope(endpoint)
            || self.recorded(endpoint.index).is_some_and(|link| self.host.owner.has_veth(link))
    }

    /// The interface of a record, if it is still the one that was recorded.
    #[must_use]
    pub(crate) fn recorded(&self, index: u32) -> Option<&Link> {
        self.host.net.by_index(index).filter(|_| self.records.devices.contains(&index))
    }

    /// Whether the host-side veth of an endpoint's record is there, and nothing more was asked.
    #[must_use]
    pub(crate) fn is_out_of_scope(&self, endpoint: &EndpointRecord) -> bool {
        self.host.out_of_scope.contains(&endpoint.index)
    }

    /// The bridge of a network's record, if it still exists.
    #[must_use]
    pub(crate) fn bridge_of(&self, network: &NetworkRecord) -> Option<&Link> {
        self.recorded(network.index).filter(|link| self.host.owner.has_bridge(link))
    }

    /// Host-side veths that no record mentions.
    pub(crate) fn orphaned_veths(&self) -> impl Iterator<Item = &Link> {
        let recorded: HashSet<u32> = self.records.endpoints.iter().map(|endpoint| endpoint.index).collect();
        let unrecorded = move |link: &&Link| !recorded.contains(&link.index);
        self.host.net.links.iter().filter(|link| self.host.owner.has_veth(link)).filter(unrecorded)
    }

    /// Whether an interface is one of these.
    pub(crate) fn is_orphaned_veth(&self, link: &Link) -> bool {
        let mut recorded = self.records.endpoints.iter().map(|endpoint| endpoint.index);
        self.host.owner.has_veth(link) && recorded.all(|index| index != link.index)
    }

    /// Bridges that no record mentions.
    pub(crate) fn orphaned_bridges(&self) -> impl Iterator<Item = &Link> {
        let recorded = |link: &&Link| self.records.networks.iter().any(|network| network.index == link.index);
        self.host.net.links.iter().filter(|link| self.host.owner.has_bridge(link)).filter(move |link| !recorded(link))
    }

    /// Ports of a bridge.
    pub(crate) fn ports(&self, bridge: u32) -> impl Iterator<Item = &Link> {
        self.host.net.links.iter().filter(move |link| link.controller == Some(bridge))
    }

    /// What there is once `ops` have run.
    #[must_use]
    pub(crate) fn after(&self, ops: &[Op]) -> Cow<'_, Self> {
        if ops.is_empty() {
            return Cow::Borrowed(self);
        }
        let mut rest = self.clone();
        ops.iter().for_each(|op| rest.apply(op));
        Cow::Owned(rest)
    }
}

/// Takes away what an endpoint's record says was done at its host-side veth; what is there no more is left out by the caller.
pub(crate) fn record_objects(endpoint: &EndpointRecord, network: Option<&NetworkRecord>) -> [Object; 3] {
    let (host_if, index) = (endpoint.host_if.clone(), Some(endpoint.index));
    let hook = Object::EndpointHook(object::EndpointHook { host_if: host_if.clone(), index, attach: endpoint.attach });
    [
        Object::EndpointXdp(object::EndpointXdp { host_if, index, uplink: String::new() }),
        hook,
        Object::Endpoint(endpoint_spec(endpoint, network)),
    ]
}

/// What the host-side veth with this number is or was called, as far as that is known.
pub(crate) fn former_name(actual: &Actual, index: u32) -> String {
    let recorded = actual.records.endpoints.iter().find(|endpoint| endpoint.index == index);
    recorded.map_or_else(|| actual.host.net.name_of(index), |endpoint| endpoint.host_if.clone())
}

/// The ports that an endpoint has published, to be taken back.
pub(crate) fn published<'a>(actual: &'a Actual, endpoint: &'a EndpointRecord) -> impl Iterator<Item = Object> {
    actual.published_by(endpoint).map(|it| Object::Published(object::Published::of(it, &endpoint.host_if, actual)))
}

fn endpoint_spec(endpoint: &EndpointRecord, network: Option<&NetworkRecord>) -> EndpointSpec {
    let gateway = network.and_then(|network| network.gateway);
    let prefix = gateway.map_or(32, |gateway| gateway.prefix_len());
    let gateway6 = network.and_then(|network| network.gateway6);
    let prefix6 = gateway6.map_or(128, |gateway| gateway.prefix_len());
    EndpointSpec {
        id: endpoint.id.clone(),
        network: endpoint.network.clone(),
        owner_network: endpoint.owner_network.clone(),
        bridge: network.map_or_else(|| endpoint.network.clone(), |network| network.bridge.clone()),
        uplink: network.map_or(0, |network| network.uplink),
        target: reference(endpoint),
        ns: endpoint.ns.clone(),
        pid: endpoint.pid,
        container: endpoint.container.clone(),
        host_if: endpoint.host_if.clone(),
        index: Some(endpoint.index),
        address: endpoint.address.map(|address| Ipv4Net::new_assert(address, prefix)),
        address6: endpoint.address6.map(|address| Ipv6Net::new_assert(address, prefix6)),
        mac: endpoint.mac,
        gateway: gateway.map(|gateway| gateway.addr()),
        gateway6: gateway6.map(|gateway| gateway.addr()),
        gateway_mac: network.map_or([0; 6], |network| network.mac),
        mtu: network.map_or(0, |network| network.mtu),
        datapath: network.map_or(crate::Datapath::Tc, |network| network.datapath),
        treatment: network.map_or_else(Default::default, |network| network.treatment),
        announce: endpoint.announce,
        allow_spoof: endpoint.allow_spoof,
        source: endpoint.source,
        no_default_route: endpoint.no_default_route,
        metric: endpoint.metric,
        routes: endpoint.routes.clone(),
        limits: endpoint.limits,
        attach: endpoint.attach,
        aliases: endpoint.aliases.clone(),
        marks: endpoint.marks,
    }
}

/// How an endpoint's namespace was given, as far as its record tells.
#[must_use]
pub fn reference(endpoint: &EndpointRecord) -> TargetRef {
    let name = endpoint.ns.as_deref().and_then(|ns| Name::try_from(ns).ok());
    match (name, endpoint.pid, &endpoint.path) {
        (_, _, Some(path)) if endpoint.marks.awaited => TargetRef::Awaited(path.into()),
        (Some(name), ..) => TargetRef::Named(name),
        (None, Some(pid), _) => TargetRef::Pid(pid),
        (None, None, Some(path)) => TargetRef::Path(path.into()),
        (None, None, None) => TargetRef::Path(format!("net:[{}]", endpoint.inode).into()),
    }
}

/// A network's record as the object that removes it.
pub(crate) fn network_object(network: &NetworkRecord) -> Object {
    Object::Network(NetworkSpec {
        name: network.name.clone(),
        index: Some(network.index),
        bridge: network.bridge.clone(),
        gateway: network.gateway,
        gateway6: network.gateway6,
        uplink: network.uplink,
        mtu: network.mtu,
        mac: network.mac,
        last: network.last,
        datapath: network.datapath,
        treatment: network.treatment,
        kept: network.kept,
    })
}

/// The program at a network's bridge, if there is one.
pub(crate) fn network_hook(actual: &Actual, network: &NetworkRecord) -> Option<Object> {
    let hook = Object::NetworkHook(object::NetworkHook { bridge: network.bridge.clone(), index: Some(network.index) });
    Some(hook).filter(|hook| actual.has(hook))
}

/// A bridge as the object that deletes it.
pub(crate) fn bridge_object(link: &Link) -> Object {
    Object::Bridge(BridgeSpec {
        name: link.name.clone(),
        mac: link.mac.unwrap_or_default(),
        mtu: link.mtu,
        alias: link.alias.clone().unwrap_or_default(),
    })
}

/// A pair as the object that deletes it.
pub(crate) fn veth_object(link: &Link, ns_if: &str, ns: TargetRef) -> Object {
    let spec = PairSpec {
        kind: link.pair().unwrap_or_default(),
        host_if: link.name.clone(),
        ns_if: ns_if.into(),
        host_mac: link.mac,
        ns_mac: link.mac.unwrap_or_default(),
        mtu: link.mtu,
        alias: link.alias.clone().unwrap_or_default(),
    };
    Object::Veth(object::Veth { spec, ns })
}

/// Endpoints that are nothing but a record: the host-side veth has gone, and the namespace too, or it is the target's own.
pub(crate) fn dead_endpoints(actual: &Actual) -> impl Iterator<Item = &EndpointRecord> {
    dead(actual, actual.records.endpoints.iter())
}

/// The same of some endpoints.
pub(crate) fn dead<'a>(
    actual: &'a Actual,
    endpoints: impl Iterator<Item = &'a EndpointRecord>,
) -> impl Iterator<Item = &'a EndpointRecord> {
    let gone = |endpoint: &&EndpointRecord| {
        actual.is_of_target(endpoint) || actual.namespaces.iter().all(|known| known.cookie != endpoint.cookie)
    };
    endpoints.filter(|endpoint| !actual.is_live(endpoint)).filter(gone)
}

/// Tells by their cookies the namespaces in the undo log that are gone for certain: they were looked for, or went with endpoints that are
/// `dead`. The records are looked at once, however many are asked about.
pub(crate) fn gone<'a, D: Iterator<Item = &'a EndpointRecord>>(
    actual: &'a Actual,
    dead: D,
) -> impl Fn(u64) -> bool + use<'a, D> {
    let target = actual.target_netns().map(|inside| inside.cookie);
    let dead: BTreeSet<u64> = dead.map(|endpoint| endpoint.cookie).collect();
    move |cookie| actual.gone.contains(&cookie) || (target != Some(cookie) && dead.contains(&cookie))
}

impl Actual {
    /// Whether an endpoint is the one of the target that is meant, or of a former namespace of its name.
    pub(crate) fn is_of_target(&self, endpoint: &EndpointRecord) -> bool {
        let Some(target) = &self.target else { return false };
        let named = target.name.as_ref().is_some_and(|name| endpoint.ns.as_deref() == Some(name.as_str()));
        match target.ns.as_ref().filter(|inside| inside.cookie == endpoint.cookie) {
            Some(_) => target.ifname.as_deref().is_none_or(|ifname| endpoint.has_interface(ifname)),
            None => named,
        }
    }

    /// The network of an endpoint.
    pub(crate) fn network_of(&self, endpoint: &EndpointRecord) -> Option<&NetworkRecord> {
        self.records.networks.iter().find(|network| network.name == endpoint.network)
    }
}

/// An endpoint as a neighbour on its bridge, by each of its addresses by which it is one; and on the link of the uplink, where the host speaks
/// for it, unless another endpoint that `stays` appears behind the same address.
pub(crate) fn neighbours(
    actual: &Actual,
    endpoint: &EndpointRecord,
    stays: impl Fn(&EndpointRecord) -> bool,
) -> Vec<Object> {
    let Some(network) = actual.network_of(endpoint) else { return Vec::new() };
    let of =
        |address| Object::Neighbour(object::Neighbour { bridge: network.bridge.clone(), address, mac: endpoint.mac });
    let uplink = actual.host.net.by_index(network.uplink);
    let proxy = |uplink: &Link, address| {
        Object::ProxyNeighbour(object::ProxyNeighbour { uplink: uplink.name.clone(), address })
    };
    let is_shared = |address: &Ipv6Addr| {
        let announces = |it: &&EndpointRecord| it.announced().contains((*address).into());
        actual.records.endpoints.iter().filter(announces).any(&stays)
    };
    let announced = ipv6::of_ipv6(endpoint.announced()).filter(|address| !is_shared(address));
    let own = endpoint.address6.filter(|_| network.treatment.routed6);
    let proxies = own.into_iter().chain(announced).filter_map(|address| Some(proxy(uplink?, address)));
    endpoint.addresses().map(of).chain(proxies).filter(|object| actual.has(object)).collect()
}

/// What `up` wrote for an endpoint's name resolution, unless another namespace has the same name.
pub(crate) fn resolv_conf(actual: &Actual, endpoint: &EndpointRecord) -> Vec<Object> {
    let Some(name) = endpoint.ns.as_deref().and_then(|ns| Name::try_from(ns).ok()) else { return Vec::new() };
    let entry = Object::Undo(Undo::ResolvConf { ns: name.clone() });
    let shared = |other: &EndpointRecord| other.ns == endpoint.ns && other.cookie != endpoint.cookie;
    if !actual.has(&entry) || actual.records.endpoints.iter().any(|it| shared(it) && actual.is_live(it)) {
        return Vec::new();
    }
    vec![Object::ResolvConf(object::ResolvConf { ns: name, contents: String::new() }), entry]
}
