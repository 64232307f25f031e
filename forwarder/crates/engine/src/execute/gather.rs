//! Reads everything that a plan depends on.

mod arrivals;
mod named;
mod pooled;
mod sysctls;
pub(super) mod whole;

use std::io;

use ipnet::{IpNet, Ipv6Net};

pub(super) use self::arrivals::for_arrivals;
use self::named::{name_of, named_by_path};
pub(super) use self::sysctls::sysctls;
use super::{
    HostContext,
    gathered::{Gathered, net},
    names,
    namespaces::open_target,
    record, surroundings,
    undo::UndoLog,
};
use fwd_base::{Error, Kind, Result, hash::fnv};
use fwd_dataplane::{Backend, Dataplane, NETKIT, Support, TBF, probe};
use fwd_kernel::{
    netlink::{Netlink, nft},
    netns::{self, DIRECTORY, Name, Netns, in_scratch, mounts, resolv},
};
use fwd_plan::{
    Actual, Datapath, DownRequest, EndpointRecord, Host, Ipv6, NetworkRequest, Owner, PortRequest, Records, ResolvConf,
    Target, TargetNetns, TargetRef, UpRequest, interface,
};

/// Reads what `up` depends on.
///
/// # Errors
/// The kernel refuses, the target is no namespace, or it would have to be made where it would not last.
pub(super) fn for_up(context: &HostContext, request: &UpRequest, notes: &mut Vec<String>) -> Result<Gathered> {
    let mut host = host(context)?;
    let is_leftover = host.is_leftover(&request.target);
    let opened = match open(&request.target) {
        // A command of ours was interrupted while it made the namespace.
        Err(error) if error.kind == Kind::Conflict && is_leftover => None,
        opened => opened?,
    };
    host.look_for_made(Some(&request.target))?;
    let opened = match opened {
        None if !is_leftover => pooled::as_left(request, &host.actual.records, notes)?,
        opened => opened,
    };
    complete_up(context, request, host, opened)
}

/// Opens the namespace; none if it is given by a name that nobody has.
///
/// # Errors
/// As [`open_target`].
pub(super) fn open(target: &TargetRef) -> Result<Option<Netns>> {
    let is_named = matches!(target, TargetRef::Named(_));
    // An error would look for names that come close.
    if is_named && target.path().symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Ok(None);
    }
    match open_target(target) {
        Ok(ns) => Ok(Some(ns)),
        Err(error) if error.kind == Kind::NotFound && is_named => Ok(None),
        Err(error) => Err(error),
    }
}

/// Adds to what was read of the host what `up` depends on besides: above all, the target.
///
/// # Errors
/// As [`for_up`].
pub(super) fn complete_up(
    context: &HostContext,
    request: &UpRequest,
    mut gathered: Gathered,
    opened: Option<Netns>,
) -> Result<Gathered> {
    let inside = opened.map(|ns| gathered.inside(&request.target, ns)).transpose()?;
    if inside.is_none()
        && let Some(refusal) = mounts::is_temporary(DIRECTORY.as_ref())?
    {
        return Err(refusal);
    }
    let cookie = inside.as_ref().map(|inside| inside.cookie);
    let ifname = interface(request, &gathered.actual.records, cookie);
    let target = match &request.caller {
        None => target(context, &request.target, inside)?,
        Some(_) => callers_target(&request.target, inside),
    };
    let target = Target { ifname: Some(ifname), ..target };
    if let (TargetRef::Named(name), Some(_)) = (&request.target, &target.ns) {
        gathered.actual.named.insert(name.clone());
    }
    gathered.actual.target = Some(target);
    gathered.actual.host.given = context.host.clone();
    gathered.actual.host.listeners = surroundings::listeners(request.endpoint.publish.iter())?;
    if request.caller.is_some() {
        gathered.actual.host.listeners.retain(surroundings::is_in_the_way_of_a_runtime);
    }
    gathered.actual.host.resolvers = if request.options.dns { names::resolvers()? } else { Vec::new() };
    gathered.actual.host.surroundings = surroundings::for_up(request, &gathered.actual)?;
    gathered.host_access(context, !request.endpoint.publish.is_empty())?;
    gathered.actual.no_tc = no_tc(request.options.datapath == Some(Datapath::Kernel), gathered.plane.as_ref())?;
    gathered.actual.no_tcx = Backend::of_kernel()? != Backend::Tcx;
    gathered.actual.no_netkit = request.options.datapath == Some(Datapath::Netkit) && !has_netkit();
    gathered.actual.no_shaper = request.endpoint.limits.limit_something() && !has_shaper();
    gathered.actual.host.machine = machine();
    gathered.actual.no_ipv6_nat = no_ipv6_nat(request.options.asked_ipv6(), &gathered.actual)?;
    let kernel = request.options.datapath == Some(Datapath::Kernel) || gathered.actual.no_tc.is_some();
    gathered.masquerades(kernel)?;
    gathered.check_hooks(|endpoint| Some(endpoint.cookie) == cookie)?;
    gathered.locate_orphans()?;
    Ok(gathered)
}

/// What is inside of a namespace, of which no more is to be known than whether it is as it was left.
///
/// # Errors
/// The kernel refuses.
pub(super) fn inside(ns: &Netns) -> Result<TargetNetns> {
    let netlink = Netlink::open(ns)?;
    Ok(TargetNetns { cookie: ns.cookie()?, inode: ns.inode()?, net: net(&netlink)?, ..TargetNetns::default() })
}

/// A namespace that is to be attached, with what was read inside.
fn target(context: &HostContext, reference: &TargetRef, inside: Option<TargetNetns>) -> Result<Target> {
    let name = name_of(reference, inside.as_ref().map(|inside| inside.cookie), &[])?;
    let resolv_conf = resolv_conf(context, name.as_ref())?;
    let resolver = match &name {
        Some(name) => resolv::Resolver::read(&roots(context), name)?,
        None => resolv::Resolver::default(),
    };
    Ok(Target {
        reference: reference.clone(),
        name,
        ifname: None,
        pid: reference.pid(),
        ns: inside,
        resolv_conf,
        resolver,
    })
}

/// A namespace that is a runtime's: it has a resolv.conf from there, and a name if its path tells one.
fn callers_target(reference: &TargetRef, inside: Option<TargetNetns>) -> Target {
    // The namespace is held open, so that no other has its inode; to ask for a cookie would take a thread.
    let inode = inside.as_ref().map(|inside| inside.inode);
    let name = named_by_path(reference, |ns| inode.is_some() && ns.inode().ok() == inode);
    let (resolv_conf, resolver) = (ResolvConf::Fine, resolv::Resolver::default());
    Target { reference: reference.clone(), name, ifname: None, pid: None, ns: inside, resolv_conf, resolver }
}

/// Reads what a change of published ports depends on.
///
/// # Errors
/// As [`for_down`].
pub(super) fn for_ports(context: &HostContext, request: &PortRequest) -> Result<Gathered> {
    let mut gathered = host(context)?;
    if let Some(ns) = open_if_there(&request.target)? {
        let inside = gathered.inside(&request.target, ns)?;
        let target = target(context, &request.target, Some(inside))?;
        gathered.actual.target = Some(Target { ifname: request.ifname.clone(), ..target });
    }
    gathered.host_access(context, !request.add.is_empty())?;
    gathered.masquerades(false)?;
    if !request.add.is_empty() {
        gathered.actual.host.listeners = surroundings::listeners(request.add.iter())?;
        if gathered.actual.attached_to_runtime() {
            gathered.actual.host.listeners.retain(surroundings::is_in_the_way_of_a_runtime);
        }
        gathered.actual.host.surroundings = surroundings::of_input()?;
    }
    Ok(gathered)
}

/// Reads what a network depends on that is to be there.
///
/// # Errors
/// The kernel refuses.
pub(super) fn for_network(context: &HostContext, request: &NetworkRequest) -> Result<Gathered> {
    let NetworkRequest { name, network, .. } = request;
    let mut gathered = host(context)?;
    gathered.actual.host.given = context.host.clone();
    let record = gathered.actual.records.networks.iter().find(|record| record.name == name.as_str());
    let by_kernel = record.map_or(network.datapath, |record| Some(record.datapath)) == Some(Datapath::Kernel);
    let ignores = record.map_or(network.ignore_xfrm, |record| record.treatment.ignore_xfrm);
    let chains = by_kernel || record.is_none();
    gathered.actual.host.resolvers = if network.dns { names::resolvers()? } else { Vec::new() };
    gathered.actual.host.surroundings = surroundings::read(!by_kernel && !ignores, chains)?;
    gathered.actual.no_tc = no_tc(by_kernel, gathered.plane.as_ref())?;
    gathered.actual.no_netkit = network.datapath == Some(Datapath::Netkit) && !has_netkit();
    gathered.actual.host.machine = machine();
    gathered.actual.no_ipv6_nat = no_ipv6_nat(network.asked_ipv6(), &gathered.actual)?;
    gathered.masquerades(by_kernel || gathered.actual.no_tc.is_some())?;
    gathered.check_hooks(|_| false)?;
    gathered.locate_orphans()?;
    Ok(gathered)
}

/// Reads what a change of uplinks depends on.
///
/// # Errors
/// The kernel refuses.
pub(super) fn for_uplinks(context: &HostContext) -> Result<Gathered> {
    let mut gathered = host(context)?;
    gathered.masquerades(false)?;
    gathered.check_order()?;
    Ok(gathered)
}

/// Reads what `down` depends on.
///
/// # Errors
/// The kernel refuses, or the target is no namespace.
pub(super) fn for_down(context: &HostContext, request: &DownRequest) -> Result<Gathered> {
    let mut host = host(context)?;
    let opened = match request.target.as_ref().map(open_if_there).transpose() {
        Err(error)
            if error.kind == Kind::Conflict && request.target.as_ref().is_some_and(|it| host.is_leftover(it)) =>
        {
            None
        }
        opened => opened?.flatten(),
    };
    if request.is_whole() || request.network.is_some() {
        netns::allow_many_files();
    }
    if request.endpoint.is_none() {
        host.look_for_made(request.target.as_ref())?;
    }
    complete_down(request, host, opened)
}

/// What the records say is there.
///
/// # Errors
/// The kernel refuses.
pub(crate) fn recorded(context: &HostContext) -> Result<Actual> {
    for_uplinks(context).map(|gathered| gathered.actual)
}

/// What is gone of the rules of nftables of this network and of its endpoints, in words with the remedy.
///
/// # Errors
/// The maps or the kernel cannot be read.
pub fn lost_rules(context: &HostContext, network: &str) -> Result<Option<String>> {
    let actual = recorded(context)?;
    let record = actual.records.networks.iter().find(|record| record.name == network);
    let mut endpoints = actual.records.endpoints.iter().filter(|endpoint| endpoint.network == network);
    let option = endpoints.clone().find_map(EndpointRecord::option).unwrap_or_else(|| "NAME".into());
    let is_lost = record.is_some_and(|record| !actual.lost_rules(record).is_empty())
        || endpoints.any(|endpoint| !actual.lost_rules_of(endpoint).is_empty());
    Ok(is_lost.then(|| {
        format!(
            "rules of nftables for network {network} are gone (table {}; `nft flush ruleset` takes them along): `fwd up {option}` makes them anew",
            nft::TABLE
        )
    }))
}

/// Opens the namespace; none if there is no such.
///
/// # Errors
/// As [`open_target`].
pub(super) fn open_if_there(target: &TargetRef) -> Result<Option<Netns>> {
    match open(target) {
        Err(error) if error.kind == Kind::NotFound => Ok(None),
        result => result,
    }
}

/// Adds to what was read of the host the namespaces that `down` is about.
///
/// # Errors
/// As [`for_down`].
pub(super) fn complete_down(request: &DownRequest, mut gathered: Gathered, opened: Option<Netns>) -> Result<Gathered> {
    let endpoints = &gathered.actual.records.endpoints;
    match &request.target {
        Some(reference) => {
            if let Some(ns) = opened {
                let netlink = Netlink::open(&ns)?;
                let cookie = ns.cookie()?;
                let name = name_of(reference, Some(cookie), endpoints)?;
                gathered.know(reference.clone(), name.clone(), ns, netlink)?;
                gathered.look_for_other_names(cookie, name.as_ref())?;
            }
        }
        None => {
            let meant = |it: &&EndpointRecord| request.endpoint.as_ref().is_none_or(|id| it.id == *id);
            let meant: Vec<EndpointRecord> = endpoints.iter().filter(meant).cloned().collect();
            meant.iter().try_for_each(|endpoint| gathered.locate(endpoint))?;
        }
    }
    gathered.masquerades(false)?;
    gathered.locate_orphans()?;
    Ok(gathered)
}

/// Reads the host's namespace and the maps.
fn host(context: &HostContext) -> Result<Gathered> {
    let (cookie, owner) = (Netns::current()?.cookie()?, Owner(context.run_dir.owner()?));
    let plane = Dataplane::open(&context.run_dir, cookie)?;
    let others = Dataplane::other_versions(&context.run_dir, cookie)?;
    let records = match &plane {
        Some(plane) => record::read(plane, others)?,
        None => Records { pinned: context.run_dir.of(cookie).exists(), others, ..Records::default() },
    };
    let netlink = Netlink::here()?;
    let net = net(&netlink)?;
    let mut fdb = Vec::new();
    for bridge in net.links.iter().filter(|link| owner.has_bridge(link)) {
        fdb.extend(netlink.fdb(bridge.index)?);
    }
    let log = UndoLog::of(context, cookie)?;
    let undo = log.read(|_| true)?;
    let sysctls = sysctls(&net, &undo, &records)?;
    let served = names::served(context, cookie);
    let host = Host { cookie, owner, net, fdb, sysctls, served, ..Host::default() };
    let actual = Actual { host, records, undo, ..Actual::default() };
    Ok(Gathered::new(actual, netlink, plane, log))
}

/// What tells this machine from others (machine-id(5)); where there is no such file, as long as it is up.
fn machine() -> u64 {
    let files = ["/etc/machine-id", "/proc/sys/kernel/random/boot_id"];
    let text = files.iter().find_map(|file| std::fs::read(file).ok().filter(|text| !text.is_empty()));
    fnv(text.unwrap_or_default())
}

/// Why the kernel cannot translate IPv6; asked only where a network may want it: to ask loads what it takes.
fn no_ipv6_nat(asked: Option<Ipv6>, actual: &Actual) -> Result<Option<String>> {
    let everything = IpNet::V6(Ipv6Net::default());
    let leads = || actual.host.net.routes.iter().any(|route| route.destination == everything);
    let wanted = match asked {
        Some(Ipv6::Off) => false,
        Some(Ipv6::Masquerade | Ipv6::Route) => true,
        None => leads(),
    };
    if !wanted || actual.records.networks.iter().any(|network| network.gateway6.is_some()) {
        return Ok(None);
    }
    let probe = nft::Rules6 {
        network: "probe".into(),
        bridge: "fwdprobe0".into(),
        subnet: Ipv6Net::default(),
        uplink: Some("fwdprobe1".into()),
        masquerade: asked != Some(Ipv6::Route),
        separation: nft::Separation::default(),
        unguarded: false,
    };
    match in_scratch(|| nft::ensure_rules6(&probe)) {
        Ok(()) => Ok(None),
        Err(Error { kind: Kind::Unsupported, why, .. }) => Ok(Some(why)),
        Err(error) => Err(error),
    }
}

fn resolv_conf(context: &HostContext, name: Option<&Name>) -> Result<ResolvConf> {
    let Some(name) = name else { return Ok(ResolvConf::Fine) };
    Ok(match resolv::plan_for(&roots(context), name)? {
        resolv::Plan::Nothing => ResolvConf::Fine,
        resolv::Plan::Write(contents) => ResolvConf::Write(contents),
        resolv::Plan::NoUpstream => ResolvConf::Unreachable,
    })
}

/// Whether the kernel has netkit pairs, or may have them.
fn has_netkit() -> bool {
    NETKIT.support() != Support::Unsupported
}

/// Whether there are queues that keep to a rate. Where asking would load a module, using them will.
fn has_shaper() -> bool {
    TBF.support() != Support::Unsupported
}

fn roots(context: &HostContext) -> resolv::Roots {
    let host = context.host.as_deref().and_then(|host| Name::try_from(host).ok());
    resolv::Roots { host, ..resolv::Roots::default() }
}

/// Why the programs cannot run here; asked only before they are loaded.
fn no_tc(by_kernel: bool, plane: Option<&Dataplane>) -> Result<Option<String>> {
    if plane.is_some_and(Dataplane::is_loaded) || by_kernel {
        return Ok(None);
    }
    match probe() {
        Ok(()) => Ok(None),
        Err(Error { kind: Kind::Unsupported, why, .. }) => Ok(Some(why)),
        Err(error) => Err(error),
    }
}
