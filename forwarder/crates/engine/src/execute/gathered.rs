//! What was read, and the handles by which it was: what is changed afterwards is what was looked at.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    HostContext,
    namespaces::open_target,
    outcome::{Planned, Step},
    undo::UndoLog,
};
use fwd_base::{Kind, Result};
use fwd_dataplane::{Backend, Dataplane, Hook, XdpHook};
use fwd_kernel::{
    netlink::{self, Netlink, nft},
    netns::{Name, Netns},
    sysctl,
};
use fwd_plan::{
    Actual, Datapath, EndpointNetns, EndpointRecord, NetConfig, Op, Owner, Records, Target, TargetNetns, TargetRef,
    Undo, object,
};

/// Where the kernel says whether netfilter looks at what bridges pass on; not there where it cannot.
const BRIDGE_FILTER: &str = "net/bridge/bridge-nf-call-iptables";

/// What was read, and the handles by which it was: what is changed afterwards is what was looked at.
pub(super) struct Gathered {
    pub(super) actual: Actual,
    pub(super) netlink: Netlink,
    pub(super) plane: Option<Dataplane>,
    pub(super) namespaces: BTreeMap<TargetRef, Netns>,
    /// Connections into namespaces.
    pub(super) inside: BTreeMap<TargetRef, Netlink>,
    pub(super) log: UndoLog,
    /// Cookies of the namespaces that are known by now.
    known: BTreeSet<u64>,
    /// Of those that are desired, by their cookies: which they are.
    desired: BTreeMap<u64, TargetRef>,
}

impl Gathered {
    /// What was read of the host.
    pub(super) fn new(actual: Actual, netlink: Netlink, plane: Option<Dataplane>, log: UndoLog) -> Self {
        let (namespaces, inside) = Default::default();
        let (known, desired) = Default::default();
        Self { actual, netlink, plane, namespaces, inside, log, known, desired }
    }

    /// Reads the target.
    pub(super) fn inside(&mut self, reference: &TargetRef, ns: Netns) -> Result<TargetNetns> {
        let netlink = Netlink::open(&ns)?;
        let net = if reference.is_awaited() { self.waiting(&netlink)? } else { net(&netlink)? };
        let cookie = ns.cookie()?;
        let made = self.actual.is_made(cookie);
        // Only endpoints of ours have such interfaces.
        let own = || self.actual.records.endpoints.iter().filter(|endpoint| endpoint.cookie == cookie);
        let interfaces = own().filter_map(|endpoint| net.link(&endpoint.id.ifname)).map(|link| link.name.as_str());
        let (mut xdp_ready, mut ipv6_ready) = (BTreeSet::new(), BTreeSet::new());
        let xdp = self.actual.records.networks.iter().any(|network| network.datapath.has_xdp());
        let ipv6 = self.actual.records.networks.iter().any(|network| network.gateway6.is_some());
        for name in interfaces {
            if xdp && netlink::is_prepared_for_xdp(&ns, name)? {
                xdp_ready.insert(name.to_owned());
            }
            if ipv6 && ns.run(|| is_ipv6_ready(name))? {
                ipv6_ready.insert(name.to_owned());
            }
        }
        let inside = TargetNetns { cookie, inode: ns.inode()?, made, net, xdp_ready, ipv6_ready };
        self.namespaces.insert(reference.clone(), ns);
        self.inside.insert(reference.clone(), netlink);
        Ok(inside)
    }

    /// Of the host's namespace, what waits there for a namespace of its own: the rest is the host's.
    fn waiting(&self, netlink: &Netlink) -> Result<NetConfig> {
        let awaited = self.actual.records.endpoints.iter().filter(|endpoint| endpoint.marks.awaited);
        let links = awaited.filter_map(|endpoint| netlink.link(&endpoint.id.ifname).transpose());
        Ok(NetConfig { links: links.collect::<Result<_>>()?, ..NetConfig::default() })
    }

    /// Reads the networks with rules in nftables. Merely asking may load a kernel module, so it is asked only where there may be some.
    pub(super) fn masquerades(&mut self, expected: bool) -> Result<()> {
        let mut networks = self.actual.records.networks.iter();
        let noted = self.actual.undo.iter().any(|entry| matches!(entry, Undo::Masquerade { .. }));
        if expected || noted || networks.any(|network| network.datapath == Datapath::Kernel) {
            let owner = self.actual.host.owner;
            let ours = |network: String| owner.network_of(&network).map(ToOwned::to_owned);
            let masquerades = nft::masquerade_rules()?.into_iter().map(|rule| rule.network);
            self.actual.host.masquerades = masquerades.filter_map(ours).collect();
            self.actual.host.isolated = nft::isolated_networks()?.into_iter().filter_map(ours).collect();
            self.actual.host.port_rules = nft::port_rules(true)?.into_iter().filter_map(ours).collect();
            self.actual.host.source_rules = nft::source_rules(true)?.into_iter().filter_map(ours).collect();
            let host = &mut self.actual.host;
            host.policy_rules.clear();
            count(&mut host.policy_rules, owner, nft::policy_rules(true)?);
            count(&mut host.policy_rules, owner, nft::guard_rules()?);
            let limits = nft::rate_rules()?.into_iter();
            host.rate_rules = limits.filter_map(|rule| Some((ours(rule.comment)?, rule.most))).collect();
            host.pair_rules.clear();
            count(&mut host.pair_rules, owner, nft::pair_rules(true)?);
            self.actual.no_bridge_filter = sysctl::read(BRIDGE_FILTER)?.is_none();
        }
        self.rules6()
    }

    /// The same of IPv6.
    fn rules6(&mut self) -> Result<()> {
        let noted = self.actual.undo.iter().any(|entry| matches!(entry, Undo::Rules6 { .. }));
        if noted || self.actual.records.networks.iter().any(|network| network.gateway6.is_some()) {
            let owner = self.actual.host.owner;
            let found = nft::networks_with_rules6()?;
            let ours = found.iter().filter_map(|rule| owner.network_of(rule));
            let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
            ours.for_each(|network| *counts.entry(network).or_default() += 1);
            let networks = self.actual.records.networks.iter();
            let whole = networks.filter(|network| {
                // What the interface is called makes no rule more.
                let count = network.rules6("").map(|rules| rules.count());
                count.is_some_and(|count| counts.get(network.name.as_str()) == Some(&count))
            });
            self.actual.host.ruled6 = whole.map(|network| network.name.clone()).collect();
            let ours = |rule: String| owner.network_of(&rule).map(ToOwned::to_owned);
            self.actual.host.port_rules.extend(nft::port_rules(false)?.into_iter().filter_map(ours));
            self.actual.host.source_rules.extend(nft::source_rules(false)?.into_iter().filter_map(ours));
            let host = &mut self.actual.host;
            count(&mut host.policy_rules, owner, nft::policy_rules(false)?);
            count(&mut host.pair_rules, owner, nft::pair_rules(false)?);
        }
        Ok(())
    }

    /// A pin alone does not say that the program is attached; for what is to be up that counts: for the endpoints that are meant.
    pub(super) fn check_hooks(&mut self, is_meant: impl Fn(&EndpointRecord) -> bool) -> Result<()> {
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
        let meant = records.endpoints.iter().filter(|endpoint| is_meant(endpoint)).map(|endpoint| endpoint.index);
        let meant: BTreeSet<u32> = meant.collect();
        for backend in Backend::ALL {
            let attached = records.attached_by_mut(backend);
            let asked: BTreeSet<u32> = attached.intersection(&meant).copied().collect();
            let there = plane.attached_endpoints(backend, &asked)?;
            attached.retain(|index| !asked.contains(index) || there.contains(index));
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

    /// Looks where the programs at uplinks stand among those of others, if the kernel lets one choose.
    pub(super) fn check_order(&mut self) -> Result<()> {
        self.actual.no_tcx = Backend::of_kernel()? != Backend::Tcx;
        let Some(plane) = self.plane.as_ref().filter(|_| !self.actual.no_tcx) else { return Ok(()) };
        let records = &mut self.actual.records;
        for uplink in records.uplinks.iter().filter(|uplink| records.devices.contains(&uplink.index)) {
            if !plane.is_uplink_ordered(uplink.index, uplink.order)? {
                records.misplaced.insert(uplink.index);
            }
        }
        Ok(())
    }

    /// Looks for the namespaces of endpoints whose host-side veth has gone: are they gone too?
    pub(super) fn locate_orphans(&mut self) -> Result<()> {
        let Records { endpoints, devices, .. } = &self.actual.records;
        let orphans: Vec<_> = endpoints.iter().filter(|it| !devices.contains(&it.index)).cloned().collect();
        orphans.iter().try_for_each(|endpoint| self.locate(endpoint))
    }

    /// Finds the namespace of an endpoint by what its record says.
    pub(super) fn locate(&mut self, endpoint: &EndpointRecord) -> Result<()> {
        if self.known.contains(&endpoint.cookie) || endpoint.marks.awaited {
            return Ok(());
        }
        // It was read already, with all that is inside.
        let target = self.desired.get(&endpoint.cookie).and_then(|reference| self.actual.targets.get(reference));
        if let Some(Target { reference, ns: Some(inside), .. }) = target {
            let (reference, links) = (reference.clone(), inside.net.links.clone());
            let (name, cookie, made) = (reference.name().cloned(), inside.cookie, inside.made);
            self.add(EndpointNetns { reference, name, cookie, made, links });
            return Ok(());
        }
        let name = endpoint.ns.as_deref().and_then(|ns| Name::try_from(ns).ok());
        let path = endpoint.path.clone().map(|path| TargetRef::Path(path.into()));
        let references = [name.clone().map(TargetRef::Named), endpoint.pid.map(TargetRef::Pid), path];
        for reference in references.into_iter().flatten() {
            // Whatever keeps it from being opened, it is not the namespace that was recorded.
            let Ok(ns) = open_target(&reference) else { continue };
            let netlink = Netlink::open(&ns)?;
            if ns.cookie()? == endpoint.cookie {
                let name = if matches!(reference, TargetRef::Named(_)) { name } else { None };
                return self.know(reference, name, ns, netlink);
            }
        }
        Ok(())
    }

    /// Whether the undo log says that a namespace of this name was being made.
    pub(super) fn is_leftover(&self, target: &TargetRef) -> bool {
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

    pub(super) fn look_for(&mut self, name: Name, cookie: u64) -> Result<()> {
        match Netns::open_named(&name) {
            Ok(ns) if ns.cookie()? == cookie => {
                let netlink = Netlink::open(&ns)?;
                return self.know(TargetRef::Named(name.clone()), Some(name), ns, netlink);
            }
            Err(error) if error.kind == Kind::Conflict => _ = self.actual.leftovers.insert(name.clone()),
            // Somebody else's, or none.
            Ok(_) => {}
            Err(error) if error.kind == Kind::NotFound => {}
            Err(error) => {
                tracing::warn!("{error}");
                return Ok(());
            }
        }
        if !self.is_elsewhere(&name, cookie) {
            self.actual.gone.insert(cookie);
        }
        Ok(())
    }

    /// Whether the undo log knows a namespace by another name, and it has that one: it was being taken from the pool when a command was
    /// killed.
    fn is_elsewhere(&self, name: &Name, cookie: u64) -> bool {
        let is_it = |name: &Name| Netns::open_named(name).and_then(|ns| ns.cookie()).is_ok_and(|its| its == cookie);
        let mut others = self.names_of(cookie).filter(|other| other != name);
        others.any(|other| is_it(&other))
    }

    /// What the undo log calls a namespace.
    fn names_of(&self, cookie: u64) -> impl Iterator<Item = Name> {
        self.actual.undo.iter().filter_map(move |entry| match entry {
            Undo::Netns { name, cookie: Some(its) } if *its == cookie => Some(name.clone()),
            _ => None,
        })
    }

    /// Looks whether a namespace has other names of ours, too: all of them go with it.
    pub(super) fn look_for_other_names(&mut self, cookie: u64, name: Option<&Name>) -> Result<()> {
        let others: Vec<Name> = self.names_of(cookie).filter(|other| Some(other) != name).collect();
        others.into_iter().try_for_each(|other| self.look_for(other, cookie))
    }

    pub(super) fn know(&mut self, reference: TargetRef, name: Option<Name>, ns: Netns, netlink: Netlink) -> Result<()> {
        let links = netlink.links()?;
        let cookie = ns.cookie()?;
        let made = self.actual.is_made(cookie);
        self.add(EndpointNetns { reference: reference.clone(), name, cookie, made, links });
        self.namespaces.insert(reference, ns);
        Ok(())
    }

    fn add(&mut self, found: EndpointNetns) {
        self.known.insert(found.cookie);
        self.actual.namespaces.push(found);
    }

    /// Notes one of the namespaces that are desired.
    pub(super) fn desire(&mut self, target: Target) {
        let reference = target.reference.clone();
        // Of several names of one, the first stands for it.
        let cookie = target.ns.as_ref().map(|inside| inside.cookie);
        cookie.into_iter().for_each(|cookie| _ = self.desired.entry(cookie).or_insert_with(|| reference.clone()));
        self.actual.targets.insert(reference, target);
    }
}

/// Counts those `rules` of this run directory, by what they are known by.
fn count(known: &mut BTreeMap<String, usize>, owner: Owner, rules: Vec<String>) {
    for rule in rules {
        if let Some(rule) = owner.network_of(&rule) {
            *known.entry(rule.to_owned()).or_default() += 1;
        }
    }
}

/// Whether an interface of the calling thread's namespace has the settings for addresses of IPv6 that are given to it.
fn is_ipv6_ready(ifname: &str) -> Result<bool> {
    for (path, value) in object::NsIpv6::settings(ifname) {
        if sysctl::read(&path)?.as_deref() != Some(value) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A plan as it is shown, with the command lines that do the same.
pub(super) fn planned(context: &HostContext, gathered: &Gathered, ops: &[Op], warnings: Vec<String>) -> Planned {
    let pins = context.run_dir.of(gathered.actual.host.cookie);
    let pins = pins.display().to_string();
    let steps = ops
        .iter()
        .map(|op| Step { operation: op.to_string(), commands: op.equivalent(&pins, context.host.as_deref()) });
    Planned { steps: steps.collect(), warnings }
}

/// The whole configuration of a namespace.
pub(super) fn net(netlink: &Netlink) -> Result<NetConfig> {
    Ok(NetConfig {
        links: netlink.links()?,
        addresses: netlink.addresses(None)?,
        routes: netlink.routes()?,
        neighbours: netlink.neighbours()?,
        proxies: netlink.proxies()?,
    })
}
