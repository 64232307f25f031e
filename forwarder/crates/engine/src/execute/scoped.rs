//! The scoped read: no more of the host than concerns one namespace, so that a command about it takes as long with a thousand others as
//! with ten.
//!
//! The rest is taken to be as the records say, once that is plausible: each bridge and each host-side veth is there under its number and
//! its name. Where anything is not as it should be, there is no such view, and the command reads everything, as `down --all` does,
//! which also finds what no record mentions. Where a runtime attaches an interface that it has not attached yet, what the others are called is
//! not read, either: with a thousand of them that is a third of the command.

use std::collections::BTreeSet;

use super::{HostContext, gather, gathered::Gathered, names, record, taking, undo::UndoLog};
use fwd_base::Result;
use fwd_dataplane::{Dataplane, EndpointId};
use fwd_kernel::{
    netlink::{Link, Netlink},
    netns::{Name, Netns},
};
use fwd_plan::{
    ALL_FORWARDING6, Action, Actual, DownRequest, EndpointRecord, Followed, Host, NetConfig, Object, Op, Owner,
    Records, TargetRef, Undo, UpRequest, object,
};

/// Reads what `up` depends on. None if all has to be read.
///
/// # Errors
/// As [`gather::for_up`].
pub(super) fn for_up(context: &HostContext, request: &UpRequest, notes: &mut Vec<String>) -> Result<Option<Gathered>> {
    let opened = gather::open(&request.target)?;
    let id = request.caller.as_ref().map(|caller| &caller.id);
    let coming = id.zip(opened.as_ref().map(Netns::cookie).transpose()?);
    let Some(pinned) = Pinned::read(context, coming)? else { return Ok(None) };
    let taken = if opened.is_none() { taking::find(request, &pinned.records)? } else { None };
    let (opened, taken) = taken.map_or((opened, None), |(ns, record)| (Some(ns), Some(record)));
    let meant = Meant { target: Some(&request.target), opened: opened.as_ref(), id };
    let Some(host) = host(context, &meant, pinned)? else { return Ok(None) };
    let gathered = gather::complete_up(context, request, host, opened)?;
    let why = taken.as_ref().zip(gathered.actual.target_netns());
    if let Some(note) = why.and_then(|(record, inside)| taking::why_left_alone(record, inside)) {
        notes.push(note);
        return Ok(None);
    }
    let inside = gathered.actual.target_netns().map_or(&[][..], |inside| &inside.net.links);
    let is_whole = !lacks_rules(&gathered.actual) && !has_orphans(&gathered, inside)?;
    Ok(is_whole.then_some(gathered))
}

/// Reads what `down` of one namespace depends on. None if all has to be read, as for `down --all`.
///
/// # Errors
/// As [`gather::for_down`].
pub(super) fn for_down(context: &HostContext, request: &DownRequest) -> Result<Option<Gathered>> {
    if request.target.is_none() && request.endpoint.is_none() {
        return Ok(None);
    }
    let opened = request.target.as_ref().map(gather::open_if_there).transpose()?.flatten();
    let meant = Meant { target: request.target.as_ref(), opened: opened.as_ref(), id: request.endpoint.as_ref() };
    let Some(pinned) = Pinned::read(context, None)? else { return Ok(None) };
    let Some(host) = host(context, &meant, pinned)? else { return Ok(None) };
    // Of a namespace that is not up there may be something that no record mentions; and the last one takes everything with it.
    let is_up = host.actual.records.endpoints.len() > host.actual.host.out_of_scope.len();
    if !is_up || host.actual.host.out_of_scope.is_empty() {
        return Ok(None);
    }
    let gathered = gather::complete_down(request, host, opened)?;
    let inside: Vec<Link> = gathered.actual.namespaces.iter().flat_map(|known| known.links.clone()).collect();
    let is_whole = !lacks_rules(&gathered.actual) && !has_orphans(&gathered, &inside)?;
    Ok(is_whole.then_some(gathered))
}

/// Whether a plan makes something of which more has to be known: a network, or an interface whose name is taken.
///
/// # Errors
/// The kernel refuses.
pub(super) fn exceeds_scope(gathered: &Gathered, ops: &[Op]) -> Result<bool> {
    for op in ops.iter().filter(|op| op.action == Action::Make) {
        let exceeds = match &op.object {
            Object::Network(_) | Object::NetworkBridge(_) | Object::Bridge(_) => true,
            // Of all interfaces it has to be known what becomes of them.
            Object::Sysctl(record) => record.path == ALL_FORWARDING6,
            Object::Veth(object::Veth { spec, .. }) => gathered.netlink.link(&spec.host_if)?.is_some(),
            _ => false,
        };
        if exceeds {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What a command is about.
struct Meant<'a> {
    target: Option<&'a TargetRef>,
    opened: Option<&'a Netns>,
    /// What a runtime calls the endpoint.
    id: Option<&'a EndpointId>,
}

impl Meant<'_> {
    /// Whether an endpoint is of the target, or of a former namespace of its name or number; or the one that is called so.
    fn concerns(&self, endpoint: &EndpointRecord, cookie: Option<u64>) -> bool {
        Some(endpoint.cookie) == cookie
            || self.id == Some(&endpoint.id)
            || match self.target {
                Some(TargetRef::Named(name)) => endpoint.ns.as_deref() == Some(name.as_str()),
                Some(TargetRef::Pid(pid)) => endpoint.pid == Some(*pid),
                Some(target @ TargetRef::Container(_)) => target.id(&endpoint.id.ifname) == endpoint.id,
                Some(TargetRef::Path(_) | TargetRef::Awaited(_)) | None => false,
            }
    }
}

/// What is pinned.
struct Pinned {
    /// Cookie of the host's namespace.
    own: u64,
    plane: Dataplane,
    records: Records,
}

impl Pinned {
    /// None where nothing is. For what is `coming`: [`record::read_for`].
    fn read(context: &HostContext, coming: Option<(&EndpointId, u64)>) -> Result<Option<Self>> {
        let own = Netns::current()?.cookie()?;
        let Some(plane) = Dataplane::open(&context.run_dir, own)? else { return Ok(None) };
        let records = record::read_for(&plane, Dataplane::other_versions(&context.run_dir, own)?, coming)?;
        Ok(Some(Self { own, plane, records }))
    }
}

fn host(context: &HostContext, meant: &Meant<'_>, pinned: Pinned) -> Result<Option<Gathered>> {
    let Pinned { own, plane, records } = pinned;
    let owner = Owner(context.run_dir.owner()?);
    let cookie = meant.opened.map(Netns::cookie).transpose()?;
    let (ours, others): (Vec<_>, Vec<_>) =
        records.endpoints.iter().partition(|endpoint| meant.concerns(endpoint, cookie));
    let netlink = Netlink::here()?;
    // The host-side veths of the others: if each is there, it is the one that it was.
    let out_of_scope: BTreeSet<u32> = others.iter().map(|endpoint| endpoint.index).collect();
    if !out_of_scope.is_subset(&records.devices) {
        return Ok(None);
    }
    let Some(links) = links(owner, &netlink, &records, &ours)? else { return Ok(None) };
    let mut net = NetConfig { links, ..NetConfig::default() };
    let followed = Followed::by(&records.networks);
    if followed != Followed::default() {
        add_ways(&mut net, &netlink, followed)?;
    }
    for link in &net.links {
        // Host-side veths have none.
        if !owner.has_veth(link) {
            net.addresses.extend(netlink.addresses(Some(link.index))?);
        }
    }
    let mut fdb = Vec::new();
    for endpoint in &ours {
        fdb.extend(netlink.fdb_of_port(endpoint.network_index, endpoint.index)?);
        for address in endpoint.addresses() {
            net.neighbours.extend(netlink.neighbour(endpoint.network_index, address)?);
        }
    }
    let announces = |it: &EndpointRecord| it.announce.v6;
    if records.networks.iter().any(|network| network.treatment.routed6) || records.endpoints.iter().any(announces) {
        net.proxies = netlink.proxies()?;
    }
    let log = UndoLog::of(context, own)?;
    let cookies = ours.iter().map(|endpoint| endpoint.cookie).chain(cookie).collect();
    // One that is given by a process may have been given by its name before.
    let names = ours.iter().filter_map(|endpoint| Name::try_from(endpoint.ns.as_deref()?).ok());
    let names: Vec<Option<Name>> = names.map(Some).chain([meant.target.and_then(TargetRef::name).cloned()]).collect();
    let undo = log.read(|key| names.iter().any(|name| Undo::may_concern(key, name.as_ref(), &cookies)))?;
    add_noted(&mut net, &netlink, &undo)?;
    let sysctls = gather::sysctls(&net, &undo, &records)?;
    let served = names::served(context, own);
    let host = Host { cookie: own, owner, net, fdb, out_of_scope, sysctls, served, ..Host::default() };
    let mut gathered = Gathered::new(Actual { host, records, undo, ..Actual::default() }, netlink, Some(plane), log);
    if let Some(target) = meant.target {
        gathered.look_for_made(Some(target))?;
    }
    Ok(Some(gathered))
}

/// The routes that are followed, and the interfaces that they lead by.
fn add_ways(net: &mut NetConfig, netlink: &Netlink, followed: Followed) -> Result<()> {
    net.routes = if followed.v6 { netlink.routes()? } else { netlink.routes_v4()? };
    net.routes.retain(|route| followed.leads(route));
    let indexes: BTreeSet<u32> = net.routes.iter().map(|route| route.ifindex).collect();
    for index in indexes {
        if net.by_index(index).is_none() {
            net.links.extend(netlink.link_by_index(index)?);
        }
    }
    net.links.sort_by_key(|link| link.index);
    // An interface of a VRF is told by the one that it is a port of.
    let controllers: BTreeSet<u32> = net.links.iter().filter_map(|link| link.controller).collect();
    for index in controllers {
        if net.by_index(index).is_none() {
            net.links.extend(netlink.link_by_index(index)?);
        }
    }
    net.links.sort_by_key(|link| link.index);
    Ok(())
}

/// The interfaces at which something is noted: a command that was killed may not have changed it.
fn add_noted(net: &mut NetConfig, netlink: &Netlink, undo: &[Undo]) -> Result<()> {
    for index in undo.iter().filter_map(Undo::interface) {
        if net.by_index(index).is_none() {
            net.links.extend(netlink.link_by_index(index)?);
            net.links.sort_by_key(|link| link.index);
        }
    }
    Ok(())
}

/// The bridges, the uplinks and the host-side veths of `endpoints`, if all that the records name are there.
fn links(
    owner: Owner,
    netlink: &Netlink,
    records: &Records,
    endpoints: &[&EndpointRecord],
) -> Result<Option<Vec<Link>>> {
    let homed = |endpoint: &EndpointRecord| {
        let mut networks = records.networks.iter();
        networks.any(|network| network.index == endpoint.network_index && network.name == endpoint.network)
    };
    if !records.endpoints.iter().all(homed) {
        return Ok(None);
    }
    let bridges = records.networks.iter().map(|network| network.index);
    let uplinks = records.uplinks.iter().map(|uplink| uplink.index);
    let indexes: BTreeSet<u32> = bridges.chain(uplinks).chain(endpoints.iter().map(|it| it.index)).collect();
    let mut links = Vec::new();
    if !indexes.is_subset(&records.devices) {
        return Ok(None);
    }
    for index in indexes {
        let Some(link) = netlink.link_by_index(index)? else { return Ok(None) };
        if records.uplinks.iter().any(|uplink| uplink.index == index && uplink.name != link.name) {
            return Ok(None);
        }
        links.push(link);
    }
    let bridge = |index: u32| links.iter().find(|link| link.index == index && owner.has_bridge(link));
    let there =
        records.networks.iter().all(|network| bridge(network.index).is_some_and(|it| it.name == network.bridge));
    Ok(there.then_some(links))
}

/// Whether rules of nftables are gone: those of all endpoints may be.
fn lacks_rules(actual: &Actual) -> bool {
    actual.records.networks.iter().any(|network| !actual.lost_rules(network).is_empty())
}

/// Whether one of the interfaces inside a namespace ends at a host-side veth that no record mentions.
fn has_orphans(gathered: &Gathered, inside: &[Link]) -> Result<bool> {
    let recorded = |index: u32| gathered.actual.records.endpoints.iter().any(|endpoint| endpoint.index == index);
    let ends = inside.iter().filter(|link| link.is_of_pair());
    for peer in ends.filter_map(|link| link.peer).filter(|peer| !recorded(*peer)) {
        if gathered.netlink.link_by_index(peer)?.is_some_and(|link| gathered.actual.host.owner.has_veth(&link)) {
            return Ok(true);
        }
    }
    Ok(false)
}
