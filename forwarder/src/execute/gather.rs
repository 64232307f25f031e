//! Reads everything that a plan depends on.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use super::{HostContext, record, surroundings, undo::UndoLog};
use crate::{
    Error, Kind, Result,
    dataplane::{Backend, Dataplane, Hook, XdpHook, probe},
    netlink::{self, Netlink, nft},
    netns::{self, DIRECTORY, Name, Netns, mounts, resolv},
    reconcile::{
        ALL_FORWARDING, Actual, Datapath, DownRequest, EndpointNetns, EndpointRecord, Host, NetConfig, Owner, Records,
        ResolvConf, Target, TargetNetns, TargetRef, Undo, UpRequest, arp_ignore, forwarding, is_made,
    },
    sysctl,
};

/// What was read, and the handles by which it was: what is changed afterwards is what was looked at.
pub(super) struct Gathered {
    pub(super) actual: Actual,
    pub(super) netlink: Netlink,
    pub(super) plane: Option<Dataplane>,
    pub(super) namespaces: BTreeMap<TargetRef, Netns>,
    /// Connections into namespaces.
    pub(super) inside: BTreeMap<TargetRef, Netlink>,
    pub(super) log: UndoLog,
}

impl TargetRef {
    /// Opens the namespace.
    ///
    /// # Errors
    /// [`Kind::NotFound`] if there is none.
    pub fn open(&self) -> Result<Netns> {
        match self {
            Self::Named(name) => Netns::open_named(name),
            Self::Pid(pid) => Netns::open_pid(*pid),
            Self::Path(path) => Netns::open_path(path),
        }
    }
}

/// Reads what `up` depends on.
///
/// # Errors
/// The kernel refuses, the target is no namespace, or it would have to be made where it would not last.
pub(super) fn for_up(context: &HostContext, request: &UpRequest) -> Result<Gathered> {
    let mut host = host(context)?;
    let opened = match open(&request.target) {
        // A command of ours was interrupted while it made the namespace.
        Err(error) if error.kind == Kind::Conflict && host.is_leftover(&request.target) => None,
        opened => opened?,
    };
    host.look_for_made(Some(&request.target))?;
    complete_up(context, request, host, opened)
}

/// Opens the namespace; none if it is given by a name that nobody has.
///
/// # Errors
/// As [`TargetRef::open`].
pub(super) fn open(target: &TargetRef) -> Result<Option<Netns>> {
    let is_named = matches!(target, TargetRef::Named(_));
    // An error would look for names that come close.
    if is_named && target.path().symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Ok(None);
    }
    match target.open() {
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
    let target = Target {
        reference: request.target.clone(),
        name: name_of(&request.target, cookie, &[])?,
        pid: match request.target {
            TargetRef::Pid(pid) => Some(pid),
            TargetRef::Named(_) | TargetRef::Path(_) => None,
        },
        ns: inside,
    };
    if let (TargetRef::Named(name), Some(_)) = (&request.target, &target.ns) {
        gathered.actual.named.insert(name.clone());
    }
    gathered.actual.resolv_conf = resolv_conf(context, target.name.as_ref())?;
    gathered.actual.target = Some(target);
    gathered.actual.host.given = context.host.clone();
    gathered.actual.host.surroundings = surroundings::for_up(request, &gathered.actual)?;
    gathered.actual.no_tc = no_tc(request, gathered.plane.as_ref())?;
    gathered.actual.no_tcx = Backend::of_kernel()? != Backend::Tcx;
    let kernel = request.datapath == Some(Datapath::Kernel) || gathered.actual.no_tc.is_some();
    gathered.masquerades(kernel)?;
    gathered.check_hooks(cookie)?;
    gathered.locate_orphans()?;
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
    if request.target.is_none() {
        netns::allow_many_files();
    }
    host.look_for_made(request.target.as_ref())?;
    complete_down(request, host, opened)
}

/// Opens the namespace; none if there is no such.
///
/// # Errors
/// As [`TargetRef::open`].
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
    let endpoints = gathered.actual.records.endpoints.clone();
    match &request.target {
        Some(reference) => {
            if let Some(ns) = opened {
                let netlink = Netlink::open(&ns)?;
                let name = name_of(reference, Some(ns.cookie()?), &endpoints)?;
                gathered.know(reference.clone(), name, ns, netlink)?;
            }
        }
        None => {
            for endpoint in &endpoints {
                gathered.locate(endpoint)?;
            }
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
    let sysctls = sysctls(&net, &undo)?;
    let host = Host { cookie, owner, net, fdb, sysctls, ..Host::default() };
    let actual = Actual { host, records, undo, ..Actual::default() };
    Ok(Gathered::new(actual, netlink, plane, log))
}

fn net(netlink: &Netlink) -> Result<NetConfig> {
    Ok(NetConfig {
        links: netlink.links()?,
        addresses: netlink.addresses(None)?,
        routes: netlink.routes()?,
        neighbours: netlink.neighbours()?,
    })
}

/// Forwarding at every interface that is no host-side veth, and whatever was changed.
pub(super) fn sysctls(net: &NetConfig, undo: &[Undo]) -> Result<BTreeMap<String, String>> {
    let changed = undo.iter().filter_map(|entry| if let Undo::Sysctl(record) = entry { Some(record) } else { None });
    let now = changed.filter_map(|record| record.now(net));
    let mut paths: BTreeSet<String> = now.map(|record| record.path).collect();
    paths.insert(ALL_FORWARDING.into());
    paths.extend(
        net.links
            .iter()
            .filter(|link| !is_made(link) || link.kind.as_deref() != Some("veth"))
            .map(|link| forwarding(&link.name)),
    );
    let bridges = net.links.iter().filter(|link| is_made(link) && link.kind.as_deref() == Some("bridge"));
    paths.extend(bridges.map(|link| arp_ignore(&link.name)));
    let mut values = BTreeMap::new();
    for path in paths {
        if let Some(value) = sysctl::read(&path)? {
            values.insert(path, value);
        }
    }
    Ok(values)
}

/// The name of a namespace, also where it was given otherwise: what the records say is tried first.
fn name_of(reference: &TargetRef, cookie: Option<u64>, endpoints: &[EndpointRecord]) -> Result<Option<Name>> {
    if let TargetRef::Named(name) = reference {
        return Ok(Some(name.clone()));
    }
    let recorded = endpoints.iter().filter(|endpoint| Some(endpoint.cookie) == cookie);
    let recorded = recorded.filter_map(|endpoint| Name::try_from(endpoint.ns.as_deref()?).ok());
    let is_meant = |name: &Name| Netns::open_named(name).and_then(|ns| ns.cookie()).ok() == cookie;
    Ok(recorded.chain(netns::named()?).find(|name| cookie.is_some() && is_meant(name)))
}

fn resolv_conf(context: &HostContext, name: Option<&Name>) -> Result<ResolvConf> {
    let Some(name) = name else { return Ok(ResolvConf::Fine) };
    let host = context.host.as_deref().and_then(|host| Name::try_from(host).ok());
    Ok(match resolv::plan_for(&resolv::Roots { host, ..resolv::Roots::default() }, name)? {
        resolv::Plan::Nothing => ResolvConf::Fine,
        resolv::Plan::Write(contents) => ResolvConf::Write(contents),
        resolv::Plan::NoUpstream => ResolvConf::Unreachable,
    })
}

/// Why the programs cannot run here; asked only before they are loaded.
fn no_tc(request: &UpRequest, plane: Option<&Dataplane>) -> Result<Option<String>> {
    if plane.is_some_and(Dataplane::is_loaded) || request.datapath == Some(Datapath::Kernel) {
        return Ok(None);
    }
    match probe() {
        Ok(()) => Ok(None),
        Err(Error { kind: Kind::Unsupported, why, .. }) => Ok(Some(why)),
        Err(error) => Err(error),
    }
}

impl Gathered {
    /// What was read of the host.
    pub(super) fn new(actual: Actual, netlink: Netlink, plane: Option<Dataplane>, log: UndoLog) -> Self {
        Self { actual, netlink, plane, namespaces: BTreeMap::new(), inside: BTreeMap::new(), log }
    }

    /// Reads the target.
    fn inside(&mut self, reference: &TargetRef, ns: Netns) -> Result<TargetNetns> {
        let netlink = Netlink::open(&ns)?;
        let net = net(&netlink)?;
        let cookie = ns.cookie()?;
        let made = self.actual.is_made(cookie);
        // Only an endpoint of ours has such an interface.
        let xdp = self.actual.records.networks.iter().any(|network| network.datapath == Datapath::Xdp);
        let xdp_ready = match net.ns_if() {
            Some(link) if xdp => netlink::is_prepared_for_xdp(&ns, &link.name)?,
            _ => false,
        };
        let inside = TargetNetns { cookie, inode: ns.inode()?, made, net, xdp_ready };
        self.namespaces.insert(reference.clone(), ns);
        self.inside.insert(reference.clone(), netlink);
        Ok(inside)
    }

    /// Reads the networks with rules in nftables. Merely asking may load a kernel module, so it is asked only where there may be some.
    fn masquerades(&mut self, expected: bool) -> Result<()> {
        let mut networks = self.actual.records.networks.iter();
        let noted = self.actual.undo.iter().any(|entry| matches!(entry, Undo::Masquerade { .. }));
        if expected || noted || networks.any(|network| network.datapath == Datapath::Kernel) {
            let owner = self.actual.host.owner;
            let ours = |network: String| owner.network_of(&network).map(ToOwned::to_owned);
            let masquerades = nft::masquerade_rules()?.into_iter().map(|rule| rule.network);
            self.actual.host.masquerades = masquerades.filter_map(ours).collect();
            self.actual.host.isolated = nft::isolated_networks()?.into_iter().filter_map(ours).collect();
        }
        Ok(())
    }

    /// A pin alone does not say that the program is attached; for `up` that counts.
    fn check_hooks(&mut self, cookie: Option<u64>) -> Result<()> {
        let Some(plane) = &self.plane else { return Ok(()) };
        let records = &mut self.actual.records;
        for index in records.uplink_hooks.clone() {
            if !plane.is_uplink_attached(index)? {
                records.uplink_hooks.remove(&index);
            }
        }
        for index in records.network_hooks.clone() {
            if !plane.is_attached(Hook::ToNetwork, index)? {
                records.network_hooks.remove(&index);
            }
        }
        for endpoint in records.endpoints.iter().filter(|endpoint| Some(endpoint.cookie) == cookie) {
            for (backend, attached) in
                [(Backend::Tcx, &mut records.endpoint_hooks), (Backend::Clsact, &mut records.endpoint_filters)]
            {
                if attached.contains(&endpoint.index) && !plane.is_endpoint_attached(backend, endpoint.index)? {
                    attached.remove(&endpoint.index);
                }
            }
        }
        let found = |index: u32| self.actual.host.net.by_index(index).and_then(|link| link.xdp);
        for (hook, attached) in
            [(XdpHook::FromUplink, &mut records.uplink_xdp), (XdpHook::FromNs, &mut records.endpoint_xdp)]
        {
            for index in attached.clone() {
                if !plane.is_xdp_attached(hook, index, found(index))? {
                    attached.remove(&index);
                }
            }
        }
        Ok(())
    }

    /// Looks for the namespaces of endpoints whose host-side veth has gone: are they gone too?
    fn locate_orphans(&mut self) -> Result<()> {
        for endpoint in self.actual.records.endpoints.clone() {
            if !self.actual.records.devices.contains(&endpoint.index) {
                self.locate(&endpoint)?;
            }
        }
        Ok(())
    }

    /// Finds the namespace of an endpoint by what its record says.
    fn locate(&mut self, endpoint: &EndpointRecord) -> Result<()> {
        if self.actual.namespaces.iter().any(|known| known.cookie == endpoint.cookie) {
            return Ok(());
        }
        let name = endpoint.ns.as_deref().and_then(|ns| Name::try_from(ns).ok());
        let references = [name.clone().map(TargetRef::Named), endpoint.pid.map(TargetRef::Pid)];
        for reference in references.into_iter().flatten() {
            // Whatever keeps it from being opened, it is not the namespace that was recorded.
            let Ok(ns) = reference.open() else { continue };
            let netlink = Netlink::open(&ns)?;
            if ns.cookie()? == endpoint.cookie {
                let name = if matches!(reference, TargetRef::Named(_)) { name } else { None };
                return self.know(reference, name, ns, netlink);
            }
        }
        Ok(())
    }

    /// Whether the undo log says that a namespace of this name was being made.
    fn is_leftover(&self, target: &TargetRef) -> bool {
        let TargetRef::Named(wanted) = target else { return false };
        self.actual.undo.iter().any(|entry| matches!(entry, Undo::Netns { name, .. } if name == wanted))
    }

    /// Looks for the namespaces that `up` made, by the undo log: those of the target's name, or all.
    pub(super) fn look_for_made(&mut self, target: Option<&TargetRef>) -> Result<()> {
        for entry in self.actual.undo.clone() {
            let Undo::Netns { name, cookie: Some(cookie) } = entry else { continue };
            if target.is_none_or(|target| *target == TargetRef::Named(name.clone())) {
                self.look_for(name, cookie)?;
            }
        }
        Ok(())
    }

    fn look_for(&mut self, name: Name, cookie: u64) -> Result<()> {
        match Netns::open_named(&name) {
            Ok(ns) if ns.cookie()? == cookie => {
                let netlink = Netlink::open(&ns)?;
                return self.know(TargetRef::Named(name.clone()), Some(name), ns, netlink);
            }
            Err(error) if error.kind == Kind::Conflict => _ = self.actual.leftovers.insert(name),
            // Somebody else's, or none.
            Ok(_) => {}
            Err(error) if error.kind == Kind::NotFound => {}
            Err(error) => {
                tracing::warn!("{error}");
                return Ok(());
            }
        }
        self.actual.gone.insert(cookie);
        Ok(())
    }

    fn know(&mut self, reference: TargetRef, name: Option<Name>, ns: Netns, netlink: Netlink) -> Result<()> {
        let links = netlink.links()?;
        let cookie = ns.cookie()?;
        let made = self.actual.is_made(cookie);
        self.actual.namespaces.push(EndpointNetns { reference: reference.clone(), name, cookie, made, links });
        self.namespaces.insert(reference, ns);
        Ok(())
    }
}
