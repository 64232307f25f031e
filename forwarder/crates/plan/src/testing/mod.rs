//! A model of a host to plan for: operations change it as they would change a kernel, strictly. What exists is not made again,
//! what is absent is not removed.

mod apply;
mod awaited;
mod begin;
mod by_hand;
mod ipv6;
mod pool;
mod records;
mod rules;
mod scoped;

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Actual, Cgroup, Declared, Desired, DownRequest, EndpointNetns, Host, NetConfig, Network, NetworkRequest, Op, Owner,
    Plan, Records, ResolvConf, Scope, TableRequest, Target, TargetNetns, TargetRef, Undo, UpRequest, interface,
    orphans, plan, plan_down, plan_network, plan_up,
    sysctls::{ALL_FORWARDING, forwarding},
};
use fwd_base::Result;
use fwd_container::{Container, FirstProcess, Runtime};
use fwd_kernel::{
    netlink::{Link, Route, TABLE_MAIN},
    netns::{
        Name,
        resolv::{Found, Resolver},
    },
};

/// A host with uplinks, namespaces, and what the pinned maps say.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) host: Host,
    pub(super) records: Records,
    /// By name. Those of [`World::nameless`] are called so by tests alone.
    pub(super) namespaces: BTreeMap<Name, TargetNetns>,
    /// Namespaces without a name under /run/netns: only a process or a path leads there.
    pub(super) nameless: BTreeSet<Name>,
    /// Processes and paths, and the namespaces to which they lead.
    pub(super) ways: BTreeMap<TargetRef, Name>,
    /// Uplinks at which only the first of two programs is attached.
    half_hooked: BTreeSet<u32>,
    pub(super) undo: Vec<Undo>,
    /// A namespace without a name, which goes with the command that made it.
    draft: Option<TargetNetns>,
    pub(super) resolv_conf: ResolvConf,
    pub(super) written: Vec<Name>,
    /// What stands in the files of these names.
    pub(super) resolvers: BTreeMap<Name, String>,
    /// Every namespace has such a file of somebody else.
    pub(super) foreign_resolver: bool,
    pub(super) no_tc: Option<String>,
    pub(super) no_tcx: bool,
    pub(super) no_host_access: Option<String>,
    pub(super) no_netkit: bool,
    pub(super) no_shaper: bool,
    pub(super) no_bridge_filter: bool,
    pub(super) no_ipv6_nat: Option<String>,
    next: u32,
}

pub(super) fn name(text: &str) -> Name {
    Name::try_from(text).expect("a valid name")
}

pub(super) fn named(text: &str) -> TargetRef {
    TargetRef::Named(name(text))
}

/// A container that docker calls so, and its first process if it runs.
pub(super) fn container(name: &str, pid: Option<u32>) -> TargetRef {
    TargetRef::Container(Box::new(Container {
        runtime: Runtime::Docker,
        namespace: None,
        id: "9566".repeat(16),
        name: Some(name.into()),
        process: pid.map(|pid| FirstProcess { pid, started: 1 }),
    }))
}

fn loopback(up: bool) -> Link {
    Link { index: 1, name: "lo".into(), mtu: 65_536, up, loopback: true, ..Link::default() }
}

impl World {
    /// A host with the uplinks eth0 (with the default route) and eth1.
    pub(super) fn new() -> Self {
        let mut world = Self {
            host: Host {
                cookie: 1,
                owner: Owner(7),
                net: NetConfig { links: vec![loopback(true)], ..NetConfig::default() },
                cgroup: Some(Cgroup { path: "/sys/fs/cgroup".into(), id: 1, asked: false }),
                ..Host::default()
            },
            records: Records::default(),
            namespaces: BTreeMap::new(),
            nameless: BTreeSet::new(),
            ways: BTreeMap::new(),
            half_hooked: BTreeSet::new(),
            undo: Vec::new(),
            draft: None,
            resolv_conf: ResolvConf::Fine,
            written: Vec::new(),
            resolvers: BTreeMap::new(),
            foreign_resolver: false,
            no_tc: None,
            no_tcx: false,
            no_host_access: None,
            no_netkit: false,
            no_shaper: false,
            no_bridge_filter: false,
            no_ipv6_nat: None,
            next: 100,
        };
        world.host.sysctls.insert(ALL_FORWARDING.into(), "0".into());
        world.add_uplink("eth0", 2, "198.51.100.2/24");
        world.add_uplink("eth1", 3, "203.0.113.2/24");
        let gateway = Some("198.51.100.1".parse().expect("an address"));
        let destination = "0.0.0.0/0".parse().expect("a route");
        world.host.net.routes.push(Route { destination, ifindex: 2, gateway, metric: 0, table: TABLE_MAIN, mtu: None });
        world
    }

    /// The IPv4 subnet of the network in this place.
    pub(super) fn subnet(&self, place: usize) -> String {
        self.records.networks[place].subnet().expect("it has IPv4").to_string()
    }

    pub(super) fn add_uplink(&mut self, name: &str, index: u32, address: &str) {
        let link = Link { index, name: name.into(), mtu: 1500, up: true, running: true, ..Link::default() };
        self.host.net.links.push(link);
        self.host.net.addresses.push((index, address.parse().expect("an address")));
        self.host.net.routes.push(connected(index, address));
        self.host.sysctls.insert(forwarding(name), "0".into());
        self.add_settings6(name);
    }

    /// `ip link del`, and a new one of that name.
    pub(super) fn make_uplink_anew(&mut self, name: &str, address: &str) {
        if self.host.net.link(name).is_some() {
            self.delete_link(name);
        }
        self.next += 1;
        self.add_uplink(name, self.next, address);
    }

    /// `ip netns add`.
    pub(super) fn add_namespace(&mut self, text: &str) {
        let fresh = self.fresh();
        self.namespaces.insert(name(text), fresh);
    }

    /// A process in a namespace, a path to it, and a container of which it is the first process.
    pub(super) fn add_ways(&mut self, text: &str, pid: u32) -> [TargetRef; 3] {
        let path = format!("/proc/{pid}/ns/net").into();
        let ways = [TargetRef::Pid(pid), TargetRef::Path(path), container(text, Some(pid))];
        ways.iter().for_each(|way| drop(self.ways.insert(way.clone(), name(text))));
        ways
    }

    /// `unshare -n`: a namespace without a name, with a process in it.
    pub(super) fn add_nameless(&mut self, text: &str, pid: u32) -> [TargetRef; 3] {
        self.add_namespace(text);
        self.nameless.insert(name(text));
        self.add_ways(text, pid)
    }

    /// What a reference leads to, by its key in [`World::namespaces`].
    pub(super) fn resolve(&self, reference: &TargetRef) -> Option<Name> {
        let known = match reference {
            TargetRef::Named(name) => Some(name).filter(|name| !self.nameless.contains(*name)),
            TargetRef::Pid(_) | TargetRef::Path(_) | TargetRef::Container(_) | TargetRef::Awaited(_) => {
                self.ways.get(reference)
            }
        };
        known.filter(|name| self.namespaces.contains_key(*name)).cloned()
    }

    pub(super) fn inside(&mut self, ns: &str) -> &mut TargetNetns {
        self.namespaces.get_mut(&name(ns)).expect("the namespace exists")
    }

    fn fresh(&mut self) -> TargetNetns {
        self.next += 1;
        let net = NetConfig { links: vec![loopback(false)], ..NetConfig::default() };
        TargetNetns {
            cookie: self.next.into(),
            inode: u64::from(self.next) + 4_026_532_000,
            made: false,
            net,
            ..TargetNetns::default()
        }
    }

    fn is_made(&self, inside: &TargetNetns) -> bool {
        self.undo.iter().any(|entry| matches!(entry, Undo::Netns { cookie, .. } if *cookie == Some(inside.cookie)))
    }

    fn known(&self, reference: &TargetRef) -> Option<EndpointNetns> {
        let name = self.resolve(reference)?;
        let inside = self.namespaces.get(&name)?;
        Some(EndpointNetns {
            reference: reference.clone(),
            name: Some(name).filter(|name| !self.nameless.contains(name)),
            cookie: inside.cookie,
            made: self.is_made(inside),
            links: inside.net.links.clone(),
        })
    }

    /// How a namespace can be opened by what is known of it without being told: its name, or what its endpoint was given by.
    fn references(&self) -> impl Iterator<Item = TargetRef> {
        let named = self.namespaces.keys().cloned().map(TargetRef::Named);
        named.chain(self.records.endpoints.iter().filter(|it| it.ns.is_none()).map(orphans::reference))
    }

    pub(super) fn read(&self) -> Actual {
        Actual {
            host: self.host.clone(),
            records: self.records.clone(),
            namespaces: self.references().filter_map(|reference| self.known(&reference)).collect(),
            named: self.namespaces.keys().filter(|name| !self.nameless.contains(*name)).cloned().collect(),
            no_tc: self.no_tc.clone(),
            no_tcx: self.no_tcx,
            no_host_access: self.no_host_access.clone(),
            no_netkit: self.no_netkit,
            no_shaper: self.no_shaper,
            no_bridge_filter: self.no_bridge_filter,
            no_ipv6_nat: self.no_ipv6_nat.clone(),
            undo: self.undo.clone(),
            ..Actual::default()
        }
    }

    /// What the undo log has of namespaces of this name, or of any, that are gone.
    fn gone(&self, target: Option<&TargetRef>) -> BTreeSet<u64> {
        let cookies = self.undo.iter().filter_map(|entry| match entry {
            Undo::Netns { name, cookie } if target.is_none_or(|it| *it == TargetRef::Named(name.clone())) => *cookie,
            _ => None,
        });
        cookies.filter(|cookie| self.namespaces.values().all(|inside| inside.cookie != *cookie)).collect()
    }

    pub(super) fn target(&self, reference: &TargetRef) -> Target {
        let inside = self.resolve(reference).and_then(|name| self.namespaces.get(&name));
        let ns = inside.map(|inside| TargetNetns { made: self.is_made(inside), ..inside.clone() });
        let name = self.resolve(reference).filter(|name| !self.nameless.contains(name));
        let name = reference.name().cloned().or(name);
        let resolv_conf = match &name {
            Some(name) if !self.written.contains(name) => self.resolv_conf.clone(),
            _ => ResolvConf::Fine,
        };
        let text = name.as_ref().and_then(|name| self.resolvers.get(name)).cloned();
        let resolver = Resolver {
            found: text.map_or(if self.foreign_resolver { Found::Theirs } else { Found::Nothing }, Found::Ours),
            kept: Vec::new(),
        };
        Target { reference: reference.clone(), name, ifname: None, pid: reference.pid(), ns, resolv_conf, resolver }
    }

    pub(super) fn plan_up(&self, request: &UpRequest) -> Result<Plan> {
        let mut actual = self.read();
        let target = self.target(&request.target);
        let ifname = interface(request, &self.records, target.ns.as_ref().map(|inside| inside.cookie));
        actual.target = Some(Target { ifname: Some(ifname), ..target });
        actual.gone = self.gone(Some(&request.target));
        self.check_scoped_up(request, &actual);
        plan_up(request, &actual)
    }

    pub(super) fn plan_down(&self, request: &DownRequest) -> Result<Plan> {
        let mut actual = self.read();
        actual.records.uplink_hooks.extend(&self.half_hooked);
        actual.gone = self.gone(request.target.as_ref());
        if let Some(known) = request.target.as_ref().and_then(|target| self.known(target)) {
            actual.namespaces.retain(|other| other.cookie != known.cookie);
            actual.namespaces.push(known);
        }
        self.check_scoped_down(request, &actual);
        plan_down(request, &actual)
    }

    pub(super) fn plan_network(&self, name: &str, network: Network) -> Result<Plan> {
        let table = TableRequest::default();
        plan_network(&NetworkRequest { name: self::name(name), network, forbid: BTreeSet::new(), table }, &self.read())
    }

    #[track_caller]
    pub(super) fn add_network(&mut self, name: &str, network: Network) -> Plan {
        let plan = self.plan_network(name, network).unwrap_or_else(|error| panic!("{error}"));
        self.run(&plan.ops, usize::MAX);
        plan
    }

    /// A plan for everything.
    pub(super) fn plan_whole(&self, desired: &Desired) -> Result<Plan> {
        plan(desired, &self.read_whole(desired), &Scope::default())
    }

    /// A plan for what files declare.
    pub(super) fn plan_declared(&self, desired: &Desired, prune: bool) -> Result<Plan> {
        let scope = Scope { declared: Some(Declared { prune }), ..Scope::default() };
        plan(desired, &self.read_whole(desired), &scope)
    }

    #[track_caller]
    pub(super) fn declare(&mut self, desired: &Desired, prune: bool) -> Plan {
        let plan = self.plan_declared(desired, prune).unwrap_or_else(|error| panic!("{error}"));
        self.run(&plan.ops, usize::MAX);
        plan
    }

    /// What is read for a plan for everything.
    pub(super) fn read_whole(&self, desired: &Desired) -> Actual {
        let mut actual = self.read();
        actual.gone = self.gone(None);
        actual.targets = desired
            .endpoints
            .iter()
            .filter_map(|it| it.netns.as_ref())
            .map(|it| (it.clone(), self.target(it)))
            .collect();
        actual
    }

    /// Runs at most `steps` operations.
    pub(super) fn run(&mut self, ops: &[Op], steps: usize) {
        for op in ops.iter().take(steps) {
            self.apply(op);
        }
        self.draft = None;
    }

    /// As [`World::run`], and is killed within the next operation. Whether that has several system calls.
    pub(super) fn run_into(&mut self, ops: &[Op], steps: usize) -> bool {
        for op in ops.iter().take(steps) {
            self.apply(op);
        }
        let begun = ops.get(steps).is_some_and(|op| self.begin(op));
        self.draft = None;
        begun
    }

    #[track_caller]
    pub(super) fn up(&mut self, request: &UpRequest) -> Plan {
        let plan = self.plan_up(request).unwrap_or_else(|error| panic!("{error}"));
        self.run(&plan.ops, usize::MAX);
        plan
    }

    #[track_caller]
    pub(super) fn down(&mut self, target: Option<&str>) -> Plan {
        self.down_by(target.map(named).as_ref())
    }

    #[track_caller]
    pub(super) fn down_by(&mut self, target: Option<&TargetRef>) -> Plan {
        let request = DownRequest { target: target.cloned(), delete_ns: false, ..DownRequest::default() };
        let plan = self.plan_down(&request).unwrap_or_else(|error| panic!("{error}"));
        self.run(&plan.ops, usize::MAX);
        plan
    }

    #[track_caller]
    pub(super) fn make_whole(&mut self, desired: &Desired) -> Plan {
        let plan = self.plan_whole(desired).unwrap_or_else(|error| panic!("{error}"));
        self.run(&plan.ops, usize::MAX);
        plan
    }

    /// Everything that a user could tell apart.
    pub(super) fn snapshot(&self) -> (Host, Records, BTreeMap<Name, TargetNetns>, Vec<Name>, Vec<Undo>) {
        let mut host = self.host.clone();
        host.net.routes.sort_by_key(|route| format!("{route:?}"));
        host.net.links.sort_by_key(|link| link.index);
        (host, self.records.clone(), self.namespaces.clone(), self.written.clone(), self.undo.clone())
    }
}

pub(super) fn down(target: Option<&str>) -> DownRequest {
    DownRequest { target: target.map(named), delete_ns: false, ..DownRequest::default() }
}

fn connected(ifindex: u32, address: &str) -> Route {
    let address: ipnet::IpNet = address.parse().expect("an address");
    Route { destination: address.trunc(), ifindex, gateway: None, metric: 0, table: TABLE_MAIN, mtu: None }
}
