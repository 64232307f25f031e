//! What goes: the exact reverse of what came, as far as it is there.

mod log;

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Actual, Datapath, Desired, Endpoint, EndpointNetns, EndpointRecord, NetworkRecord, Object, Op, Scope, TargetRef,
    UplinkRecord, are_ends, object, orphans,
    plan::{ports, replace::Replaced, rules},
    refuse,
};
use fwd_base::{Error, Kind, Result};
use fwd_dataplane::{EndpointId, Sizes};
use fwd_kernel::{
    netlink::{Link, LinkLayer},
    netns::{Name, nearest},
};

/// What goes.
pub(crate) struct Going {
    pub(crate) ops: Vec<Op>,
    /// Of what is not up: the nearest name of something that is.
    pub(crate) nearest: Option<String>,
    /// What stays for others, in words.
    pub(crate) warnings: Vec<String>,
}

/// What is in scope and not desired, and whatever nothing uses any more.
pub(crate) fn going(desired: &Desired, replaced: &Replaced, scope: &Scope, actual: &Actual) -> Going {
    let endpoints = actual.records.endpoints.iter();
    let is_meant = meant(desired, scope, actual);
    let of_replaced = |it: &EndpointRecord| it.marks.pooled && replaced.networks.contains_key(&it.network);
    let goes = |endpoint: &&EndpointRecord| {
        is_meant(endpoint) || of_replaced(endpoint) || replaced.endpoints.contains_key(&endpoint.id)
    };
    let (gone, kept): (Vec<_>, Vec<_>) = endpoints.partition(goes);
    let dead: Vec<&EndpointRecord> = orphans::dead_endpoints(actual).collect();
    let (dead, kept): (Vec<_>, Vec<_>) = kept.into_iter().partition(|endpoint| dead.contains(endpoint));
    let staying = staying(actual, &kept);
    let doomed = doomed(scope, actual, &gone, &staying);
    let removal = Removal { actual, desired, replaced, scope, doomed: &doomed, kept: &kept, staying };
    let mut objects = removal.inside(gone.iter().chain(&dead).copied());
    objects.extend(removal.endpoints(gone.iter().chain(&dead).copied()));
    objects.extend(removal.orphans());
    objects.extend(removal.host_access());
    objects.extend(removal.rules());
    objects.extend(removal.networks());
    if scope.is_everything() {
        let others = actual.records.others.iter();
        objects.extend(others.map(|name| Object::OtherVersion(object::OtherVersion { name: name.clone() })));
    }
    objects.extend(removal.uplinks());
    objects.extend(
        doomed.iter().chain(&actual.leftovers).map(|name| Object::Netns(object::NamedNetns { name: name.clone() })),
    );
    objects.extend(removal.made());
    objects.extend(removal.maps());
    let nearest = if gone.is_empty() { nearest_up(scope, actual) } else { None };
    Going { ops: objects.into_iter().map(Op::remove).collect(), nearest, warnings: removal.left_to_others() }
}

/// Everything of an uplink that is to be none any more, with what was changed for it.
pub(crate) fn uplink(actual: &Actual, record: &UplinkRecord) -> Vec<Object> {
    let (desired, scope, doomed) = (Desired::default(), Scope::default(), BTreeSet::new());
    let endpoints: Vec<&EndpointRecord> = actual.records.endpoints.iter().collect();
    let replaced = Replaced::default();
    let removal = Removal {
        actual,
        desired: &desired,
        replaced: &replaced,
        scope: &scope,
        doomed: &doomed,
        kept: &endpoints,
        staying: staying(actual, &endpoints),
    };
    let (name, index) = (record.name.clone(), record.index);
    let hooks = Object::UplinkHooks(object::UplinkHooks { name: name.clone(), index, layer: LinkLayer::default() });
    let hooks = Some(hooks).filter(|hooks| actual.has(hooks));
    let others = actual.records.uplinks.iter().map(|uplink| uplink.index).filter(|other| *other != index);
    let others: Vec<u32> = others.collect();
    let own = Object::Uplink(object::Uplink { name, index, address: record.address });
    hooks.into_iter().chain([own]).chain(removal.sysctls(&others)).collect()
}

/// Whether endpoints or networks stay.
pub(crate) fn keeps(desired: &Desired, scope: &Scope, actual: &Actual) -> bool {
    let (is_meant, mut networks) = (meant(desired, scope, actual), actual.records.networks.iter());
    actual.records.endpoints.iter().any(|endpoint| !is_meant(endpoint))
        || networks.any(|network| is_kept_without(scope, network))
}

/// Whether a network stays although it has no endpoint, and is not desired.
fn is_kept_without(scope: &Scope, network: &NetworkRecord) -> bool {
    if let Some(declared) = scope.declared {
        return network.kept && !declared.prune;
    }
    let is_meant = scope.network.as_ref().is_some_and(|meant| meant.name == network.name);
    network.kept && !scope.is_whole() && !is_meant
}

/// # Errors
/// [`Kind::Usage`] if the target is the host's own namespace, or a namespace without a name is to be deleted; what [`refuse::network_in_use`]
/// refuses.
pub(crate) fn refuse(scope: &Scope, actual: &Actual) -> Result<()> {
    if let Some(network) = &scope.network {
        refuse::network_in_use(network, actual)?;
    }
    let Some((reference, known)) = scope.target.as_ref().zip(target(scope, actual)) else { return Ok(()) };
    let refuse = |doing: &str, why: &str| Error::new(Kind::Usage, doing, reference.to_string(), why);
    if known.cookie == actual.host.cookie {
        return Err(refuse("take down", "it is the host's own namespace")
            .remedy("name the namespace that was attached; `fwd ls` lists them"));
    }
    if scope.delete_ns && known.name.is_none() {
        return Err(refuse("delete", "it has no name under /run/netns: it goes with its last process")
            .remedy("leave out --delete-ns"));
    }
    Ok(())
}

/// The namespace that was named, if it exists.
fn target<'a>(scope: &Scope, actual: &'a Actual) -> Option<&'a EndpointNetns> {
    let reference = scope.target.as_ref()?;
    actual.namespaces.iter().find(|known| known.reference == *reference)
}

/// Tells the endpoints that are in scope and not desired.
fn meant<'a>(desired: &'a Desired, scope: &'a Scope, actual: &'a Actual) -> impl Fn(&EndpointRecord) -> bool + use<'a> {
    let found = actual.targets.values().filter_map(|target| Some((&target.reference, target.ns.as_ref()?.cookie)));
    let found: BTreeMap<&TargetRef, u64> = found.collect();
    // What the number of a process leads to says nothing of what was attached by it.
    let lasting = |wanted: &Endpoint| wanted.netns.as_ref().filter(|netns| !netns.is_of_process()).cloned();
    let cookie = |wanted: &Endpoint| lasting(wanted).and_then(|netns| found.get(&netns).copied());
    let wanted: BTreeMap<&EndpointId, Option<u64>> =
        desired.endpoints.iter().map(|wanted| (&wanted.id, cookie(wanted))).collect();
    move |endpoint| match (&scope.network, &scope.target) {
        (Some(network), _) => endpoint.network == network.name,
        (None, _) if scope.endpoint.is_some() => scope.endpoint.as_ref() == Some(&endpoint.id),
        (None, Some(reference)) => is_of(reference, scope, actual, endpoint),
        (None, None) => match wanted.get(&endpoint.id) {
            // One of a former namespace of that name.
            Some(cookie) => cookie.is_some_and(|cookie| cookie != endpoint.cookie),
            None => scope.covers(desired, endpoint),
        },
    }
}

/// Whether an endpoint is one of the namespace that is meant, or of a former one of that name.
fn is_of(reference: &TargetRef, scope: &Scope, actual: &Actual, endpoint: &EndpointRecord) -> bool {
    let known = target(scope, actual);
    if scope.ifname.as_ref().is_some_and(|ifname| !endpoint.has_interface(ifname)) {
        return false;
    }
    known.is_some_and(|known| known.cookie == endpoint.cookie)
        || match reference {
            TargetRef::Named(name) => endpoint.ns.as_deref() == Some(name.as_str()),
            TargetRef::Pid(pid) => known.is_none() && endpoint.pid == Some(*pid),
            TargetRef::Path(_) | TargetRef::Awaited(_) => false,
            TargetRef::Container(_) => reference.id(&endpoint.id.ifname) == endpoint.id,
        }
}

/// Names of the namespaces that are deleted: of those that are meant, what `up` made, by the undo log, or all if so asked. That of a
/// runtime's endpoint is the runtime's.
fn doomed(scope: &Scope, actual: &Actual, gone: &[&EndpointRecord], staying: &BTreeSet<u64>) -> BTreeSet<Name> {
    let meant = target(scope, actual);
    let attached: BTreeSet<u64> = gone.iter().map(|endpoint| endpoint.cookie).collect();
    let is_doomed = |known: &&EndpointNetns| {
        let is_meant =
            attached.contains(&known.cookie) || meant == Some(*known) || (scope.is_everything() && known.made);
        let ours = known.made && scope.endpoint.is_none();
        known.cookie != actual.host.cookie && is_meant && !staying.contains(&known.cookie) && (ours || scope.delete_ns)
    };
    actual.namespaces.iter().filter(is_doomed).filter_map(|known| known.name.clone()).collect()
}

/// The cookies of namespaces that stay as they are, whatever of them goes: something of them is kept, or desired, where all is.
fn staying(actual: &Actual, kept: &[&EndpointRecord]) -> BTreeSet<u64> {
    let wanted = actual.targets.values().filter_map(|target| Some(target.ns.as_ref()?.cookie));
    kept.iter().map(|endpoint| endpoint.cookie).chain(wanted).collect()
}

fn nearest_up(scope: &Scope, actual: &Actual) -> Option<String> {
    let Some(TargetRef::Named(name)) = &scope.target else { return None };
    let up = actual.records.endpoints.iter().filter_map(|endpoint| endpoint.ns.as_deref());
    let up: Vec<Name> = up.filter_map(|ns| Name::try_from(ns).ok()).collect();
    nearest(name.as_str(), &up).map(ToString::to_string)
}

/// What goes and what stays.
struct Removal<'a> {
    actual: &'a Actual,
    desired: &'a Desired,
    replaced: &'a Replaced,
    scope: &'a Scope,
    doomed: &'a BTreeSet<Name>,
    kept: &'a [&'a EndpointRecord],
    staying: BTreeSet<u64>,
}

impl Removal<'_> {
    /// Everything of these endpoints: the veth pairs first, all at once, with which goes what is inside and on the bridge. The
    /// kernel waits for all CPUs each time that a program is detached or an interface deleted, but once when both go together.
    fn endpoints<'e>(&self, endpoints: impl Iterator<Item = &'e EndpointRecord> + Clone) -> Vec<Object> {
        let mut objects = Vec::new();
        for endpoint in endpoints.clone() {
            let link = self.actual.host.net.by_index(endpoint.index).filter(|_| self.actual.is_live(endpoint));
            objects
                .extend(link.map(|link| orphans::veth_object(link, &endpoint.id.ifname, orphans::reference(endpoint))));
        }
        for endpoint in endpoints {
            objects.extend(orphans::published(self.actual, endpoint));
            objects.extend(rules::of_record(self.actual, endpoint));
            // Of those that go together, the last one has what they share.
            let stays = |other: &EndpointRecord| {
                other.index > endpoint.index || self.kept.iter().any(|it| it.index == other.index)
            };
            objects.extend(orphans::neighbours(self.actual, endpoint, stays));
            let records = orphans::record_objects(endpoint, self.actual.network_of(endpoint));
            objects.extend(records.into_iter().filter(|object| self.actual.has(object)));
        }
        objects
    }

    /// The programs by which the host's own reach published ports, where nobody publishes any more.
    fn host_access(&self) -> Option<Object> {
        let mut kept = self.kept.iter().flat_map(|endpoint| self.actual.published_by(endpoint));
        let publishes = kept.any(|publication| self.actual.is_by_programs(publication));
        (self.actual.records.host_attached && !publishes).then(|| ports::attached_access(self.actual))
    }

    /// Veth pairs of the target that no record mentions.
    fn orphans(&self) -> Vec<Object> {
        let mut objects = Vec::new();
        for veth in self.actual.orphaned_veths() {
            let end = self.actual.namespaces.iter().find_map(|known| {
                let mut links = known.links.iter();
                links.find(|link| are_ends(veth, link)).map(|link| (link.name.as_str(), known))
            });
            let meant = target(self.scope, self.actual);
            let is_interface = |name: &str| self.scope.ifname.as_ref().is_none_or(|ifname| ifname == name);
            let is_meant =
                self.scope.is_whole() || end.is_some_and(|(name, known)| meant == Some(known) && is_interface(name));
            if is_meant {
                let reference = end.map(|(_, known)| known.reference.clone());
                let reference = reference.unwrap_or_else(|| TargetRef::Path("somewhere".into()));
                let ns_if = end.map_or(crate::NS_IF, |(name, _)| name);
                objects.push(orphans::veth_object(veth, ns_if, reference));
            }
        }
        objects
    }

    fn is_kept(&self, network: &NetworkRecord) -> bool {
        if self.replaced.networks.contains_key(&network.name) {
            return false;
        }
        self.desired.networks.contains_key(&network.name)
            || self.kept.iter().any(|endpoint| endpoint.network == network.name)
            || is_kept_without(self.scope, network)
    }

    fn kept_networks(&self) -> impl Iterator<Item = &NetworkRecord> {
        self.actual.records.networks.iter().filter(|network| self.is_kept(network))
    }

    /// Networks without endpoints, and bridges without a network.
    fn networks(&self) -> Vec<Object> {
        let mut objects: Vec<Object> = self.name_servers().collect();
        for network in self.actual.records.networks.iter().filter(|network| !self.is_kept(network)) {
            objects.push(orphans::network_object(network));
            objects.extend(self.bridge_of(network).map(orphans::bridge_object));
        }
        // The guards last: the kernel waits once more for a program whose interface is still there.
        let kept = |index: u32| self.kept_networks().any(|network| network.index == index);
        let hooks = self.actual.records.network_hooks.iter().copied().filter(|index| !kept(*index));
        objects.extend(hooks.map(|index| self.network_hook(index)));
        let everything = self.scope.is_everything();
        let in_use = |bridge: &Link| self.actual.ports(bridge.index).any(|link| self.actual.host.owner.has_veth(link));
        let bridges = self.actual.orphaned_bridges().filter(|bridge| everything || !in_use(bridge));
        objects.extend(bridges.map(orphans::bridge_object));
        objects
    }

    /// The name server of networks that go, or are no more.
    fn name_servers(&self) -> impl Iterator<Item = Object> {
        let kept = |name: &String| self.kept_networks().any(|network| network.name == *name && network.treatment.dns);
        let gone = self.actual.host.served.iter().filter(move |(network, _)| !kept(network));
        gone.map(|(network, addresses)| {
            Object::NameServer(object::NameServer { network: network.clone(), addresses: addresses.clone() })
        })
    }

    /// The bridge of a network that goes. If a command was killed while it removed the record, nobody vouches for its number any more,
    /// but its alias says whose it is.
    fn bridge_of(&self, network: &NetworkRecord) -> Option<&Link> {
        let host = &self.actual.host;
        host.net.by_index(network.index).filter(|link| host.owner.has_bridge(link))
    }

    fn network_hook(&self, index: u32) -> Object {
        let record = self.actual.records.networks.iter().find(|network| network.index == index);
        let bridge = record.map_or_else(|| self.actual.host.net.name_of(index), |network| network.bridge.clone());
        Object::NetworkHook(object::NetworkHook { bridge, index: Some(index) })
    }

    /// Uplinks that no network leads through, and what was changed for them.
    fn uplinks(&self) -> Vec<Object> {
        let records = &self.actual.records;
        let mut objects = Vec::new();
        let leads = |network: &&NetworkRecord, index: u32| network.uplink == index;
        let hooked = |index: u32| {
            let mut networks = self.kept_networks();
            let own = networks.any(|network| leads(&network, index) && network.datapath.is_ebpf());
            own || self.is_way(index, Datapath::is_ebpf)
        };
        let uses =
            |index: u32| self.kept_networks().any(|network| leads(&network, index)) || self.is_way(index, |_| true);
        let by_xdp = |index: u32| {
            let mut networks = self.kept_networks();
            networks.any(|network| network.uplink == index && network.datapath.has_xdp())
        };
        for index in records.uplink_xdp.iter().copied().filter(|index| !by_xdp(*index)) {
            objects.push(Object::UplinkXdp(object::UplinkXdp { name: self.uplink_name(index), index }));
        }
        for index in records.uplink_hooks.iter().copied().filter(|index| !hooked(*index)) {
            let name = self.uplink_name(index);
            let layer = self.actual.host.net.by_index(index).map_or_else(LinkLayer::default, |link| link.layer);
            objects.push(Object::UplinkHooks(object::UplinkHooks { name, index, layer }));
        }
        let (kept, gone): (Vec<_>, Vec<_>) = records.uplinks.iter().partition(|uplink| uses(uplink.index));
        objects.extend(gone.into_iter().map(|uplink| {
            Object::Uplink(object::Uplink { name: uplink.name.clone(), index: uplink.index, address: uplink.address })
        }));
        let kept: Vec<u32> = kept.into_iter().map(|uplink| uplink.index).collect();
        objects.extend(self.sysctls(&kept));
        objects.extend(self.sysctls6());
        objects
    }

    /// Whether networks that stay and have such a data path leave by an interface that is not their own uplink: because it is there and the
    /// host's routes may lead by it, or because it was asked for.
    fn is_way(&self, index: u32, forwarded: fn(Datapath) -> bool) -> bool {
        let record = self.actual.records.uplinks.iter().find(|uplink| uplink.index == index);
        let mut networks = self.kept_networks();
        let mut follow = || networks.any(|network| network.follows_routes() && forwarded(network.datapath));
        let mut follows = || self.actual.recorded(index).is_some() && follow();
        let programs = || self.kept_networks().any(|network| network.datapath.is_ebpf());
        record.is_some_and(|record| follows() || record.asked && programs())
    }

    /// The programs, where no network needs them any more, and the records, where there is none.
    fn maps(&self) -> Vec<Object> {
        let (records, comes) = (&self.actual.records, !self.desired.networks.is_empty());
        let used = comes || self.kept_networks().any(|network| network.datapath.is_ebpf());
        let programs = (records.partly_loaded && !used).then(|| Object::Dataplane(Sizes::default()));
        let empty = self.kept.is_empty() && self.kept_networks().next().is_none();
        let unused = empty && records.pinned && !comes;
        programs.into_iter().chain(unused.then_some(Object::Records(object::RecordMaps))).collect()
    }

    fn uplink_name(&self, index: u32) -> String {
        let record = self.actual.records.uplinks.iter().find(|uplink| uplink.index == index);
        record.map_or_else(|| self.actual.host.net.name_of(index), |uplink| uplink.name.clone())
    }
}
