//! The plan of `down`: the exact reverse of `up`, as far as it is there.

use std::collections::BTreeSet;

use super::{
    Actual, Datapath, DownRequest, EndpointRecord, Known, NetworkRecord, Object, Op, SysctlRecord, TargetRef, garbage,
    names,
    up::{ALL_FORWARDING, ON, forwarding},
};
use crate::{
    Error, Kind, Result,
    dataplane::Sizes,
    netlink::{Link, LinkLayer},
    netns::{Name, nearest},
};

/// What `down` is going to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DownPlan {
    /// In this order; empty when there is nothing to do.
    pub ops: Vec<Op>,
    /// Of what is not up: the nearest name of something that is.
    pub nearest: Option<String>,
}

/// Decides what has to be done for `request`: takes away what belongs to the target, and whatever nothing uses any more.
///
/// # Errors
/// [`Kind::Usage`] if the target is the host's own namespace, or a namespace without a name is to be deleted.
pub fn plan_down(request: &DownRequest, actual: &Actual) -> Result<DownPlan> {
    refuse(request, actual)?;
    let (gone, kept): (Vec<_>, Vec<_>) =
        actual.records.endpoints.iter().partition(|endpoint| is_meant(request, actual, endpoint));
    let dead: Vec<&EndpointRecord> = garbage::dead_endpoints(actual).collect();
    let (dead, kept): (Vec<_>, Vec<_>) = kept.into_iter().partition(|endpoint| dead.contains(endpoint));
    let doomed = doomed(request, actual, &gone);
    let scope = Scope { actual, request, doomed: &doomed, kept: &kept };
    let mut objects = scope.endpoints(gone.iter().chain(&dead).copied());
    objects.extend(scope.strays());
    objects.extend(scope.networks());
    objects.extend(scope.uplinks());
    objects.extend(doomed.iter().map(|name| Object::Netns { name: name.clone() }));
    if actual.records.partly_loaded && !scope.kept_networks().any(|network| network.datapath.is_ebpf()) {
        objects.push(Object::Dataplane(Sizes::default()));
    }
    if kept.is_empty() && actual.records.pinned {
        objects.push(Object::Records);
    }
    let nearest = if gone.is_empty() { nearest_up(request, actual) } else { None };
    Ok(DownPlan { ops: objects.into_iter().map(Op::remove).collect(), nearest })
}

fn refuse(request: &DownRequest, actual: &Actual) -> Result<()> {
    let Some((reference, known)) = request.target.as_ref().zip(target(request, actual)) else { return Ok(()) };
    let refuse = |doing: &str, why: &str| Error::new(Kind::Usage, doing, reference.to_string(), why);
    if known.cookie == actual.host.cookie {
        return Err(refuse("take down", "it is the host's own namespace")
            .remedy("name the namespace that was attached; `fwd ls` lists them"));
    }
    if request.delete_ns && known.name.is_none() {
        return Err(refuse("delete", "it has no name under /run/netns: it goes with its last process")
            .remedy("leave out --delete-ns"));
    }
    Ok(())
}

/// The namespace that was named, if it exists.
fn target<'a>(request: &DownRequest, actual: &'a Actual) -> Option<&'a Known> {
    let reference = request.target.as_ref()?;
    actual.known.iter().find(|known| known.reference == *reference)
}

/// Whether an endpoint is to go by request: of the namespace itself, or of a former one of that name.
fn is_meant(request: &DownRequest, actual: &Actual, endpoint: &EndpointRecord) -> bool {
    let Some(reference) = &request.target else { return true };
    let known = target(request, actual);
    known.is_some_and(|known| known.cookie == endpoint.cookie)
        || match reference {
            TargetRef::Named(name) => endpoint.ns.as_deref() == Some(name.as_str()),
            TargetRef::Pid(pid) => known.is_none() && endpoint.pid == Some(*pid),
            TargetRef::Path(_) => false,
        }
}

/// Names of the namespaces that are deleted.
fn doomed(request: &DownRequest, actual: &Actual, gone: &[&EndpointRecord]) -> BTreeSet<Name> {
    let meant = target(request, actual);
    let is_doomed = |known: &&Known| {
        let endpoints = || gone.iter().filter(|endpoint| endpoint.cookie == known.cookie);
        let attached = endpoints().next().is_some() || meant == Some(*known);
        let made = known.made || endpoints().any(|endpoint| endpoint.marks.created);
        // Made by an `up` that came no further, or left by a `down` that did not.
        let unfinished = request.target.is_none() && known.made && has_only_ours(actual, known);
        known.cookie != actual.host.cookie && (unfinished || (attached && (made || request.delete_ns)))
    };
    actual.known.iter().filter(is_doomed).filter_map(|known| known.name.clone()).collect()
}

/// Whether a namespace has no interface but `lo` and ends of our own veth pairs.
fn has_only_ours(actual: &Actual, known: &Known) -> bool {
    let is_ours = |link: &Link| {
        let host = link.peer.and_then(|peer| actual.host.net.by_index(peer));
        host.is_some_and(|host| names::is_our_veth(host) && garbage::are_ends(host, link))
    };
    known.links.iter().all(|link| link.loopback || is_ours(link))
}

fn nearest_up(request: &DownRequest, actual: &Actual) -> Option<String> {
    let Some(TargetRef::Named(name)) = &request.target else { return None };
    let up = actual.records.endpoints.iter().filter_map(|endpoint| endpoint.ns.as_deref());
    let up: Vec<Name> = up.filter_map(|ns| Name::try_from(ns).ok()).collect();
    nearest(name.as_str(), &up).map(ToString::to_string)
}

/// What goes and what stays.
struct Scope<'a> {
    actual: &'a Actual,
    request: &'a DownRequest,
    doomed: &'a BTreeSet<Name>,
    kept: &'a [&'a EndpointRecord],
}

impl Scope<'_> {
    /// Everything of these endpoints: the veth pairs first, all at once, with which goes what is inside and on the bridge. The
    /// kernel waits for all CPUs each time that a program is detached or an interface deleted, but once when both go together.
    fn endpoints<'e>(&self, endpoints: impl Iterator<Item = &'e EndpointRecord> + Clone) -> Vec<Object> {
        let mut objects = Vec::new();
        for endpoint in endpoints.clone() {
            objects.extend(garbage::resolv_conf(endpoint));
            objects.extend(self.loopback(endpoint));
        }
        for endpoint in endpoints.clone() {
            let link = self.actual.host.net.by_index(endpoint.index).filter(|_| self.actual.is_live(endpoint));
            objects.extend(link.map(|link| garbage::veth_object(link, &endpoint.ns_if, garbage::reference(endpoint))));
        }
        for endpoint in endpoints {
            objects.extend(garbage::neighbour(self.actual, endpoint));
            let records = garbage::record_objects(endpoint, self.actual.network_of(endpoint));
            objects.extend(records.into_iter().filter(|object| self.actual.has(object)));
        }
        objects
    }

    fn loopback(&self, endpoint: &EndpointRecord) -> Option<Object> {
        let known = self.actual.known.iter().find(|known| known.cookie == endpoint.cookie)?;
        let stays = known.name.as_ref().is_none_or(|name| !self.doomed.contains(name));
        let due = endpoint.marks.loopback && known.loopback_up() && stays;
        due.then(|| Object::Loopback { ns: known.reference.clone() })
    }

    /// Veth pairs of the target that no record mentions.
    fn strays(&self) -> Vec<Object> {
        let mut objects = Vec::new();
        for veth in self.actual.stray_veths() {
            let end = self.actual.known.iter().find_map(|known| {
                let mut links = known.links.iter();
                links.find(|link| garbage::are_ends(veth, link)).map(|link| (link.name.as_str(), known))
            });
            let meant = target(self.request, self.actual);
            let is_meant = self.request.target.is_none() || end.is_some_and(|(_, known)| meant == Some(known));
            if is_meant {
                let reference = end.map(|(_, known)| known.reference.clone());
                let reference = reference.unwrap_or_else(|| TargetRef::Path("somewhere".into()));
                let ns_if = end.map_or(super::NS_IF, |(name, _)| name);
                objects.push(garbage::veth_object(veth, ns_if, reference));
            }
        }
        objects
    }

    fn is_kept(&self, network: &NetworkRecord) -> bool {
        self.kept.iter().any(|endpoint| endpoint.network == network.name)
    }

    fn kept_networks(&self) -> impl Iterator<Item = &NetworkRecord> {
        self.actual.records.networks.iter().filter(|network| self.is_kept(network))
    }

    /// Networks without endpoints, and bridges and rules without a network.
    fn networks(&self) -> Vec<Object> {
        let mut objects = Vec::new();
        for network in self.actual.records.networks.iter().filter(|network| !self.is_kept(network)) {
            objects.extend(self.rules(&network.name));
            objects.push(garbage::network_object(network));
            objects.extend(self.actual.bridge_of(network).map(garbage::bridge_object));
        }
        // The guards last: the kernel waits once more for a program whose interface is still there.
        let kept = |index: u32| self.kept_networks().any(|network| network.index == index);
        let hooks = self.actual.records.network_hooks.iter().copied().filter(|index| !kept(*index));
        objects.extend(hooks.map(|index| self.network_hook(index)));
        let recorded = |name: &str| self.actual.records.networks.iter().any(|network| network.name == name);
        let host = &self.actual.host;
        let rules = host.masquerades.union(&host.isolated).filter(|name| !recorded(name));
        objects.extend(rules.flat_map(|name| self.rules(name)));
        let everything = self.request.target.is_none();
        let in_use = |bridge: &Link| self.actual.ports(bridge.index).any(names::is_our_veth);
        let bridges = self.actual.stray_bridges().filter(|bridge| everything || !in_use(bridge));
        objects.extend(bridges.map(garbage::bridge_object));
        objects
    }

    fn network_hook(&self, index: u32) -> Object {
        let record = self.actual.records.networks.iter().find(|network| network.index == index);
        let bridge = record.map_or_else(|| self.actual.host.net.name_of(index), |network| network.bridge.clone());
        Object::NetworkHook { bridge, index: Some(index) }
    }

    /// The rules of a network in nftables.
    fn rules(&self, network: &str) -> impl Iterator<Item = Object> {
        let masquerade = Object::Masquerade {
            network: network.into(),
            bridge: String::new(),
            subnet: ipnet::Ipv4Net::default(),
            uplink: String::new(),
        };
        let isolation = Object::Isolation { network: network.into(), bridge: String::new() };
        [masquerade, isolation].into_iter().filter(|rule| self.actual.has(rule))
    }

    /// Uplinks that no network leads through, and what was changed for them.
    fn uplinks(&self) -> Vec<Object> {
        let records = &self.actual.records;
        let mut objects = Vec::new();
        let uses = |index: u32| self.kept_networks().any(|network| network.uplink == index);
        let hooked = |index: u32| {
            let mut networks = self.kept_networks();
            networks.any(|network| network.uplink == index && network.datapath.is_ebpf())
        };
        let by_xdp = |index: u32| {
            let mut networks = self.kept_networks();
            networks.any(|network| network.uplink == index && network.datapath == Datapath::Xdp)
        };
        for index in records.uplink_xdp.iter().copied().filter(|index| !by_xdp(*index)) {
            objects.push(Object::UplinkXdp { name: self.uplink_name(index), index });
        }
        for index in records.uplink_hooks.iter().copied().filter(|index| !hooked(*index)) {
            let name = self.uplink_name(index);
            let layer = self.actual.host.net.by_index(index).map_or_else(LinkLayer::default, |link| link.layer);
            objects.push(Object::UplinkHooks { name, index, layer });
        }
        let (kept, gone): (Vec<_>, Vec<_>) = records.uplinks.iter().partition(|uplink| uses(uplink.index));
        objects.extend(gone.into_iter().map(|uplink| Object::Uplink {
            name: uplink.name.clone(),
            index: uplink.index,
            address: uplink.address,
        }));
        let needed: Vec<String> = kept.into_iter().map(|uplink| forwarding(&uplink.name)).collect();
        let (needed, free): (Vec<_>, Vec<_>) = records
            .sysctls
            .iter()
            .filter(|record| record.path != ALL_FORWARDING)
            .partition(|record| needed.contains(&record.path));
        objects.extend(free.into_iter().flat_map(|record| self.restored(record)));
        if needed.is_empty() {
            let witness = records.sysctls.iter().find(|record| record.path == ALL_FORWARDING);
            objects.extend(witness.cloned().map(Object::SysctlMemory));
        }
        objects
    }

    fn uplink_name(&self, index: u32) -> String {
        let record = self.actual.records.uplinks.iter().find(|uplink| uplink.index == index);
        record.map_or_else(|| self.actual.host.net.name_of(index), |uplink| uplink.name.clone())
    }

    /// Restores a sysctl if the value is still ours and nobody turned forwarding on everywhere meanwhile.
    fn restored(&self, record: &SysctlRecord) -> Vec<Object> {
        let now = |path: &str| self.actual.host.sysctls.get(path).map(String::as_str);
        let witness = self.actual.records.sysctls.iter().find(|record| record.path == ALL_FORWARDING);
        let was_on = witness.is_some_and(|witness| witness.original == ON);
        let wanted_by_others = now(ALL_FORWARDING) == Some(ON) && !was_on;
        let restore = now(&record.path) == Some(record.ours.as_str()) && !wanted_by_others;
        let mut objects = Vec::new();
        if restore {
            objects.push(Object::Sysctl(record.clone()));
        }
        objects.push(Object::SysctlMemory(record.clone()));
        objects
    }
}
