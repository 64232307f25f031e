//! What there is: everything that was read before deciding.

pub(crate) mod families;
mod let_through;
pub(crate) mod names;
mod net_config;
mod record;
mod refusal;
mod route_mtus;
mod surroundings;
pub(crate) mod sysctls;
mod undo;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::PathBuf,
};

pub(crate) use self::net_config::are_ends;
pub use self::{
    names::{DEFAULT_NETWORK, NS_IF, Owner, endpoint_mac, is_made},
    net_config::NetConfig,
    record::{EndpointRecord, Interface, Marks, NetworkRecord, Records, SysctlRecord, UplinkRecord},
    refusal::Refusal,
    route_mtus::route_mtus,
    surroundings::{Concerned, Surroundings},
    sysctls::{
        ALL_FORWARDING, ALL_FORWARDING6, ALL_IGNORE_LINKDOWN, PROXY_NDP, accept_ra, arp_ignore, disable_ipv6,
        forwarding, forwarding6, ignore_linkdown, ignore_linkdown6, refuses_transit, rp_filter,
    },
    undo::Undo,
};
use super::TargetRef;
use fwd_dataplane::Transport;
use fwd_kernel::{
    netlink::{FdbEntry, Link, Mac, nft::ByteRate},
    netns::{Name, resolv::Resolver},
};

/// Everything that a decision depends on.
#[derive(Clone, Debug, Default)]
pub struct Actual {
    /// The host namespace.
    pub host: Host,
    /// What the pinned maps say.
    pub records: Records,
    /// Entries of the undo log: all, or those that concern the target.
    pub undo: Vec<Undo>,
    /// Cookies of namespaces in the undo log that are gone.
    pub gone: BTreeSet<u64>,
    /// Names in the undo log that stand for no namespace: what a command left that was interrupted while it made one.
    pub leftovers: BTreeSet<Name>,
    /// The namespace that `up` is about; for `down` see [`Actual::namespaces`].
    pub target: Option<Target>,
    /// The namespaces of all endpoints that are desired, where a plan is about the whole.
    pub targets: BTreeMap<TargetRef, Target>,
    /// Of these namespaces those that could not be opened or read, and why.
    pub unopened: BTreeMap<TargetRef, Refusal>,
    /// Other namespaces that matter: those of endpoints whose host-side veth has gone, and all that `down` may have to touch.
    pub namespaces: Vec<EndpointNetns>,
    /// Names under /run/netns.
    pub named: BTreeSet<Name>,
    /// Why the kernel cannot run the programs.
    pub no_tc: Option<String>,
    /// Why programs of the host cannot reach published ports by its own addresses; asked where ports are to be published.
    pub no_host_access: Option<String>,
    /// Why the kernel cannot translate IPv6; asked where a network may want it.
    pub no_ipv6_nat: Option<String>,
    /// The kernel has no TCX; asked for `up`.
    pub no_tcx: bool,
    /// The kernel has no netkit pairs; asked where a network is to have some.
    pub no_netkit: bool,
    /// The kernel has no queues that keep to a rate; asked where an endpoint is to have a limit.
    pub no_shaper: bool,
    /// The kernel's netfilter does not look at what a bridge passes on.
    pub no_bridge_filter: bool,
}

/// The host namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// Its cookie.
    pub cookie: u64,
    /// The run directory that a command works for.
    pub owner: Owner,
    /// Interfaces, addresses, routes, neighbours.
    pub net: NetConfig,
    /// Forwarding entries of the bridges that `fwd` made.
    pub fdb: Vec<FdbEntry>,
    /// ifindexes of host-side veths of other endpoints than those that a command is about, which are known to be there and were not
    /// looked at further. Nothing else is known of them: neither they nor what belongs to them are among the interfaces, forwarding
    /// entries and neighbours.
    pub out_of_scope: BTreeSet<u32>,
    /// Networks with a masquerade rule of ours.
    pub masquerades: BTreeSet<String>,
    /// Networks with a rule of ours that keeps others out.
    pub isolated: BTreeSet<String>,
    /// How many rules there are by which two networks reach each other, by what these are known by.
    pub pair_rules: BTreeMap<String, usize>,
    /// Published ports with rules of ours, by what these are known by.
    pub port_rules: BTreeSet<String>,
    /// Endpoints with rules about their source, by what these are known by.
    pub source_rules: BTreeSet<String>,
    /// How many rules about whom endpoints speak with there are, by what those of an address are known by.
    pub policy_rules: BTreeMap<String, usize>,
    /// What endpoints may send by a rule of ours, by what that of an endpoint is known by.
    pub rate_rules: BTreeMap<String, ByteRate>,
    /// Networks with all of their rules for IPv6.
    pub ruled6: BTreeSet<String>,
    /// Where the name server of this host answers, by network; empty where there is none.
    pub served: BTreeMap<String, Vec<IpAddr>>,
    /// Sockets of the host on the port of name servers, where one is to answer.
    pub resolvers: Vec<Listener>,
    /// Tells this machine from others: random, and the same for as long as it is installed.
    pub machine: u64,
    /// Who has an address that is to be announced, on the link where it would be.
    pub taken: BTreeMap<IpAddr, Mac>,
    /// Sockets of the host to which anybody may write, on ports that are to be published.
    pub listeners: Vec<Listener>,
    /// Values of the sysctls that matter, by path below /proc/sys.
    pub sysctls: BTreeMap<String, String>,
    /// How the user gave the namespace that plays the host, where it is not the caller's.
    pub given: Option<String>,
    /// What else happens to packets, as far as it was read.
    pub surroundings: Surroundings,
    /// The cgroup whose processes are to reach published ports; looked for where some are published, or one is named.
    pub cgroup: Option<Cgroup>,
}

/// A cgroup (cgroups(7), version 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    /// Its directory.
    pub path: PathBuf,
    /// Its number: the inode of the directory.
    pub id: u64,
    /// It was asked for, and not taken because nothing was said.
    pub asked: bool,
}

/// A socket of the host to which anybody may write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Protocol.
    pub transport: Transport,
    /// Address that it is bound to, unspecified for all of the family.
    pub address: IpAddr,
    /// Port.
    pub port: u16,
    /// Whose it is, as far as that can be told: `nginx (pid 7)`.
    pub process: Option<String>,
}

impl Host {
    /// A bridge that was made for another run directory: its networks may lead through the same uplinks.
    #[must_use]
    pub fn other_owners_bridge(&self) -> Option<&Link> {
        let others = |link: &&Link| {
            names::is_made(link) && link.kind.as_deref() == Some("bridge") && !self.owner.has_bridge(link)
        };
        self.net.links.iter().find(others)
    }
}

/// The namespace that `up` is about.
#[derive(Clone, Debug)]
pub struct Target {
    /// How it was given.
    pub reference: TargetRef,
    /// Its name under /run/netns, also where it was given otherwise.
    pub name: Option<Name>,
    /// The interface inside that is meant; none: the only one, or [`NS_IF`].
    pub ifname: Option<String>,
    /// Process that it was given by.
    pub pid: Option<u32>,
    /// What it is; `None` if it is still to be made.
    pub ns: Option<TargetNetns>,
    /// What is to be done about its resolv.conf.
    pub resolv_conf: ResolvConf,
    /// What there is for one that names a name server of ours.
    pub resolver: Resolver,
}

impl Target {
    /// One that does not exist.
    #[must_use]
    pub fn missing(reference: &TargetRef) -> Self {
        let (reference, name) = (reference.clone(), reference.name().cloned());
        Self {
            reference,
            name,
            ifname: None,
            pid: None,
            ns: None,
            resolv_conf: ResolvConf::Fine,
            resolver: Resolver::default(),
        }
    }

    /// What the namespace is called in aliases and messages.
    #[must_use]
    pub fn label(&self) -> String {
        record::label(self.name.as_ref().map(Name::as_str), self.ns.as_ref().map_or(0, |ns| ns.inode))
    }
}

/// A namespace that exists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetNetns {
    /// Its cookie.
    pub cookie: u64,
    /// Its inode.
    pub inode: u64,
    /// `up` made it, for this host namespace: the undo log says so.
    pub made: bool,
    /// Interfaces, addresses, routes, neighbours.
    pub net: NetConfig,
    /// Interfaces that have the offloads that XDP needs; looked at where XDP is asked for.
    pub xdp_ready: BTreeSet<String>,
    /// Interfaces that have the settings for addresses of IPv6 that are given to them; looked at where networks have IPv6.
    pub ipv6_ready: BTreeSet<String>,
}

/// A namespace of an endpoint, or one that `down` is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointNetns {
    /// How it can be opened.
    pub reference: TargetRef,
    /// Its name under /run/netns.
    pub name: Option<Name>,
    /// Its cookie.
    pub cookie: u64,
    /// `up` made it, for this host namespace: the undo log says so.
    pub made: bool,
    /// Its interfaces.
    pub links: Vec<Link>,
}

impl TargetNetns {
    /// `lo` is up.
    #[must_use]
    pub fn is_loopback_up(&self) -> bool {
        self.net.links.iter().any(|link| link.loopback && link.up)
    }
}

impl EndpointNetns {
    /// `lo` is up.
    #[must_use]
    pub fn is_loopback_up(&self) -> bool {
        self.links.iter().any(|link| link.loopback && link.up)
    }
}

/// What is to be done about /etc/netns/NAME/resolv.conf.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ResolvConf {
    /// Nothing.
    #[default]
    Fine,
    /// It is to say this.
    Write(String),
    /// The host's resolver cannot be reached from inside, and what it asks itself is not known.
    Unreachable,
}

impl Actual {
    /// The sysctls that were changed, by the undo log.
    pub fn changed_sysctls(&self) -> impl Iterator<Item = &SysctlRecord> {
        self.undo.iter().filter_map(|entry| if let Undo::Sysctl(record) = entry { Some(record) } else { None })
    }

    /// Whether the undo log says that `up` made the namespace with this cookie.
    #[must_use]
    pub fn is_made(&self, cookie: u64) -> bool {
        self.undo.iter().any(|entry| matches!(entry, Undo::Netns { cookie: Some(made), .. } if *made == cookie))
    }

    /// What is to be done about the target's resolv.conf.
    #[must_use]
    pub fn resolv_conf(&self) -> &ResolvConf {
        self.target.as_ref().map_or(&ResolvConf::Fine, |target| &target.resolv_conf)
    }

    /// The target's namespace, if it exists.
    #[must_use]
    pub fn target_netns(&self) -> Option<&TargetNetns> {
        self.target.as_ref().and_then(|target| target.ns.as_ref())
    }
}
