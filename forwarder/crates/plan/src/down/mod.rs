//! The plan of `down`: the exact reverse of `up`, as far as it is there.

mod log;

use std::{borrow::Cow, collections::BTreeSet};

use super::{
    Actual, DownRequest, EndpointNetns, EndpointRecord, NetworkRecord, Object, Op, TargetRef,
    mend::{self, Mended},
    object, orphans,
    refuse::refuse_others,
};
use fwd_base::{Error, Kind, Result};
use fwd_dataplane::Sizes;
use fwd_kernel::{
    netlink::{Link, LinkLayer},
    netns::{Name, nearest},
};

/// What `down` is going to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DownPlan {
    /// In this order; empty when there is nothing to do.
    pub ops: Vec<Op>,
    /// So many of them come first and mend what stays: each rests on those before it.
    pub mends: usize,
    /// Of what is not up: the nearest name of something that is.
    pub nearest: Option<String>,
    /// What the user ought to know.
    pub warnings: Vec<String>,
}

/// Decides what has to be done for `request`: takes away what belongs to the target, and whatever nothing uses any more.
///
/// # Errors
/// [`Kind::Usage`] if the target is the host's own namespace, or a namespace without a name is to be deleted.
pub fn plan_down(request: &DownRequest, actual: &Actual) -> Result<DownPlan> {
    refuse(request, actual)?;
    if request.target.is_some() {
        refuse_others(&actual.records.others, "take down only a part of")?;
    }
    let mended = mended(request, actual);
    let actual = &*mended.actual;
    let (gone, kept): (Vec<_>, Vec<_>) =
        actual.records.endpoints.iter().partition(|endpoint| is_meant(request, actual, endpoint));
    let dead: Vec<&EndpointRecord> = orphans::dead_endpoints(actual).collect();
    let (dead, kept): (Vec<_>, Vec<_>) = kept.into_iter().partition(|endpoint| dead.contains(endpoint));
    let doomed = doomed(request, actual, &gone);
    let scope = Scope { actual, request, doomed: &doomed, kept: &kept };
    let mut objects = scope.inside(gone.iter().chain(&dead).copied());
    objects.extend(scope.endpoints(gone.iter().chain(&dead).copied()));
    objects.extend(scope.orphans());
    objects.extend(scope.rules());
    objects.extend(scope.networks());
    if request.target.is_none() {
        let others = actual.records.others.iter();
        objects.extend(others.map(|name| Object::OtherVersion(object::OtherVersion { name: name.clone() })));
    }
    objects.extend(scope.uplinks());
    objects.extend(
        doomed.iter().chain(&actual.leftovers).map(|name| Object::Netns(object::NamedNetns { name: name.clone() })),
    );
    objects.extend(scope.made());
    if actual.records.partly_loaded && !scope.kept_networks().any(|network| network.datapath.is_ebpf()) {
        objects.push(Object::Dataplane(Sizes::default()));
    }
    if kept.is_empty() && actual.records.pinned {
        objects.push(Object::Records(object::RecordMaps));
    }
    let nearest = if gone.is_empty() { nearest_up(request, actual) } else { None };
    let removals = objects.into_iter().map(Op::remove);
    let warnings = [mended.notes, scope.left_to_others()].concat();
    let mends = mended.ops.len();
    Ok(DownPlan { ops: mended.ops.into_iter().chain(removals).collect(), mends, nearest, warnings })
}

/// The uplinks of networks that stay are mended.
fn mended<'a>(request: &DownRequest, actual: &'a Actual) -> Mended<'a> {
    let stays = actual.records.endpoints.iter().any(|endpoint| !is_meant(request, actual, endpoint));
    if stays {
        return mend::uplinks(actual, None);
    }
    Mended { ops: Vec::new(), actual: Cow::Borrowed(actual), notes: Vec::new() }
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
fn target<'a>(request: &DownRequest, actual: &'a Actual) -> Option<&'a EndpointNetns> {
    let reference = request.target.as_ref()?;
    actual.namespaces.iter().find(|known| known.reference == *reference)
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

/// Names of the namespaces that are deleted: of those that are meant, what `up` made, by the undo log, or all if so asked.
fn doomed(request: &DownRequest, actual: &Actual, gone: &[&EndpointRecord]) -> BTreeSet<Name> {
    let meant = target(request, actual);
    let is_doomed = |known: &&EndpointNetns| {
        let attached = gone.iter().any(|endpoint| endpoint.cookie == known.cookie);
        let is_meant = attached || meant == Some(*known) || (request.target.is_none() && known.made);
        known.cookie != actual.host.cookie && is_meant && (known.made || request.delete_ns)
    };
    actual.namespaces.iter().filter(is_doomed).filter_map(|known| known.name.clone()).collect()
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
            let link = self.actual.host.net.by_index(endpoint.index).filter(|_| self.actual.is_live(endpoint));
            objects.extend(link.map(|link| orphans::veth_object(link, &endpoint.ns_if, orphans::reference(endpoint))));
        }
        for endpoint in endpoints {
            objects.extend(orphans::neighbour(self.actual, endpoint));
            let records = orphans::record_objects(endpoint, self.actual.network_of(endpoint));
            objects.extend(records.into_iter().filter(|object| self.actual.has(object)));
        }
        objects
    }

    /// Veth pairs of the target that no record mentions.
    fn orphans(&self) -> Vec<Object> {
        let mut objects = Vec::new();
        for veth in self.actual.orphaned_veths() {
            let end = self.actual.namespaces.iter().find_map(|known| {
                let mut links = known.links.iter();
                links.find(|link| orphans::are_ends(veth, link)).map(|link| (link.name.as_str(), known))
            });
            let meant = target(self.request, self.actual);
            let is_meant = self.request.target.is_none() || end.is_some_and(|(_, known)| meant == Some(known));
            if is_meant {
                let reference = end.map(|(_, known)| known.reference.clone());
                let reference = reference.unwrap_or_else(|| TargetRef::Path("somewhere".into()));
                let ns_if = end.map_or(super::NS_IF, |(name, _)| name);
                objects.push(orphans::veth_object(veth, ns_if, reference));
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

    /// Networks without endpoints, and bridges without a network.
    fn networks(&self) -> Vec<Object> {
        let mut objects = Vec::new();
        for network in self.actual.records.networks.iter().filter(|network| !self.is_kept(network)) {
            objects.push(orphans::network_object(network));
            objects.extend(self.actual.bridge_of(network).map(orphans::bridge_object));
        }
        // The guards last: the kernel waits once more for a program whose interface is still there.
        let kept = |index: u32| self.kept_networks().any(|network| network.index == index);
        let hooks = self.actual.records.network_hooks.iter().copied().filter(|index| !kept(*index));
        objects.extend(hooks.map(|index| self.network_hook(index)));
        let everything = self.request.target.is_none();
        let in_use = |bridge: &Link| self.actual.ports(bridge.index).any(|link| self.actual.host.owner.has_veth(link));
        let bridges = self.actual.orphaned_bridges().filter(|bridge| everything || !in_use(bridge));
        objects.extend(bridges.map(orphans::bridge_object));
        objects
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
        let uses = |index: u32| self.kept_networks().any(|network| network.uplink == index);
        let hooked = |index: u32| {
            let mut networks = self.kept_networks();
            networks.any(|network| network.uplink == index && network.datapath.is_ebpf())
        };
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
        objects
    }

    fn uplink_name(&self, index: u32) -> String {
        let record = self.actual.records.uplinks.iter().find(|uplink| uplink.index == index);
        record.map_or_else(|| self.actual.host.net.name_of(index), |uplink| uplink.name.clone())
    }
}
