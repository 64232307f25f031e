//! What a plan makes and removes: each object with whether it is there, how it is called, and what one would type instead.
//!
//! A further object is a line of `objects!`, a type that is [`Managed`] in one of the files here, and what the kernel is told of it in
//! `execute/run`, where the compiler asks for it.

mod bridge;
mod endpoint;
mod inside;
mod loaded;
mod netns;
mod network;
mod nftables;
mod port;
mod publish;
mod sysctl;
mod uplink;
mod veth;

use std::fmt;

pub use self::{
    bridge::{GatewayAddress, LinkUp},
    endpoint::{
        EndpointAttach, EndpointBridge, EndpointHook, EndpointLimits, EndpointNames, EndpointNetns, EndpointPolicy,
        EndpointSpec, EndpointTaken, EndpointXdp,
    },
    inside::{Loopback, NsAddress, NsDefaultRoute, NsIpv6, NsLinkUp, NsNeighbour, NsOffloads, NsRoute},
    loaded::{OtherVersion, RecordMaps},
    netns::{NamedNetns, ResolvConf},
    network::{
        NameServer, NetworkAllows, NetworkBridge, NetworkHook, NetworkKept, NetworkSource, NetworkSpec, NetworkUplink,
    },
    nftables::{
        Counted, Isolation, KernelPolicy, KernelRate, Masquerade, NetworkPair, PairedNetwork, Rules6, SourceNat,
        kernel_counts,
    },
    port::{Fdb, HostSide, Neighbour, Port, ProxyNeighbour},
    publish::{HostAccess, KernelPorts, Published},
    uplink::{Uplink, UplinkAddress, UplinkAsked, UplinkHooks, UplinkName, UplinkOrder, UplinkXdp},
    veth::Veth,
};
use super::{Actual, SysctlRecord, Undo};
use fwd_dataplane::Sizes;
use fwd_kernel::netlink::BridgeSpec;

/// What a plan has to know of an object.
pub trait Managed: fmt::Display {
    /// How it is made and removed, and told of.
    fn handling(&self) -> Handling;

    /// Whether it is there.
    fn is_there(&self, actual: &Actual) -> bool;

    /// Command lines that make or remove it. `pins` is the directory of the pins, quoted for a shell.
    fn equivalent(&self, make: bool, pins: &str) -> Vec<String>;
}

/// How an object is made and removed, and told of.
#[derive(Clone, Copy, Debug)]
pub struct Handling {
    verbs: (&'static str, &'static str),
    acts: Acts,
    in_steps: bool,
    notable: bool,
}

impl Handling {
    /// What is done to make and to remove it, in words, and where the command lines act that do the same.
    const fn new(make: &'static str, remove: &'static str, acts: Acts) -> Self {
        Self { verbs: (make, remove), acts, in_steps: false, notable: false }
    }

    /// It is made in several steps, so that what failed may have done a part, which its removal undoes without harm to what others made.
    const fn in_steps(self) -> Self {
        Self { in_steps: true, ..self }
    }

    /// A user would miss it: what goes with something else is left out.
    const fn notable(self) -> Self {
        Self { notable: true, ..self }
    }
}

/// Where command lines act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acts {
    /// Inside the namespace that they name themselves.
    Inside,
    /// In the host's namespace.
    OnHost,
    /// On programs and records, which other tools can neither load nor fill in: shown, but not to be pasted.
    OnPins,
}

macro_rules! objects {
    ($($(#[$doc:meta])* $name:ident($type:ty),)*) => {
        /// Anything that `up` makes and `down` removes. What belongs together is one object; each can be told to be there or not.
        ///
        /// Interfaces are named, not numbered, as far as they may not exist yet when the plan is made.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Object {
            $($(#[$doc])* $name($type),)*
        }

        impl Object {
            fn managed(&self) -> &dyn Managed {
                match self {
                    $(Self::$name(it) => it,)*
                }
            }
        }
    };
}

objects! {
    /// The maps that hold the records of this host namespace, pinned.
    Records(RecordMaps),
    /// What another version has pinned: programs, links, maps.
    OtherVersion(OtherVersion),
    /// The programs and the flow table, pinned.
    Dataplane(Sizes),
    /// An entry of the undo log. With that of a namespace to be made comes the namespace itself, which has no name yet: whoever finds
    /// it by its name finds it noted.
    Undo(Undo),
    /// A namespace with a name.
    Netns(NamedNetns),
    /// A changed sysctl.
    Sysctl(SysctlRecord),
    /// An uplink's record.
    Uplink(Uplink),
    /// Another address of an uplink that has a record.
    UplinkAddress(UplinkAddress),
    /// The name of an uplink that has a record: it was renamed.
    UplinkName(UplinkName),
    /// An uplink with a record stays one, because a command has asked for it.
    UplinkAsked(UplinkAsked),
    /// Where the programs at an uplink stand among those of others.
    UplinkOrder(UplinkOrder),
    /// A network leads through another uplink: the former was deleted.
    NetworkUplink(NetworkUplink),
    /// The programs at an uplink: `to_uplink` is attached first and detached last.
    UplinkHooks(UplinkHooks),
    /// The XDP program at an uplink.
    UplinkXdp(UplinkXdp),
    /// A network's bridge.
    Bridge(BridgeSpec),
    /// The gateway's address on the bridge.
    GatewayAddress(GatewayAddress),
    /// An interface is up.
    LinkUp(LinkUp),
    /// A network's record.
    Network(NetworkSpec),
    /// A network's record is that of this bridge: a former one was deleted.
    NetworkBridge(NetworkBridge),
    /// A network stays when its last endpoint goes, from now on.
    NetworkKept(NetworkKept),
    /// Which networks may reach a network.
    NetworkAllows(NetworkAllows),
    /// Behind which addresses of the host endpoints of a network appear that ask for none.
    NetworkSource(NetworkSource),
    /// The program at a network's bridge.
    NetworkHook(NetworkHook),
    /// A rule of nftables that keeps out what is not for the network, where no program does.
    Isolation(Isolation),
    /// Rules of nftables by which two networks reach each other that have allowed one another.
    NetworkPair(NetworkPair),
    /// Masquerade in nftables.
    Masquerade(Masquerade),
    /// Rules of nftables by which an endpoint appears behind an address of the host.
    SourceNat(SourceNat),
    /// Rules of nftables about whom an endpoint speaks with.
    KernelPolicy(KernelPolicy),
    /// A rule of nftables by which an endpoint sends no more than it may.
    KernelRate(KernelRate),
    /// Rules of nftables for the IPv6 of a network.
    Rules6(Rules6),
    /// A name server answers at a network's gateway.
    NameServer(NameServer),
    /// A veth pair, its other end directly inside the namespace.
    Veth(Veth),
    /// An endpoint's record.
    Endpoint(EndpointSpec),
    /// An endpoint's record points at this bridge: a former one was deleted.
    EndpointBridge(EndpointBridge),
    /// The program at a host-side veth.
    EndpointHook(EndpointHook),
    /// The program at a host-side veth is attached in another way than before, and its record says so.
    EndpointAttach(EndpointAttach),
    /// An endpoint may send and get something else in a second than before.
    EndpointLimits(EndpointLimits),
    /// An endpoint is found by other names than before.
    EndpointNames(EndpointNames),
    /// The namespace of an endpoint whose interface waited for it.
    EndpointNetns(EndpointNetns),
    /// An endpoint of the pool, with its namespace, is somebody's from now on.
    EndpointTaken(EndpointTaken),
    /// An endpoint has other rules about whom it speaks with than before.
    EndpointPolicy(EndpointPolicy),
    /// The XDP program at a host-side veth.
    EndpointXdp(EndpointXdp),
    /// Programs of the host reach published ports by the host's own addresses.
    HostAccess(HostAccess),
    /// Ports of the host lead to an endpoint.
    Published(Published),
    /// A host-side veth is a port of the bridge.
    Port(Port),
    /// A host-side veth is no port of a bridge, and takes up nothing for itself.
    HostSide(HostSide),
    /// A static forwarding entry of the bridge.
    Fdb(Fdb),
    /// A permanent neighbour of the host.
    Neighbour(Neighbour),
    /// The host answers for an endpoint on the link of the uplink.
    ProxyNeighbour(ProxyNeighbour),
    /// `lo` of a namespace is up.
    Loopback(Loopback),
    /// The interface inside takes addresses of IPv6 that are given to it, and no others.
    NsIpv6(NsIpv6),
    /// An address inside.
    NsAddress(NsAddress),
    /// The interface inside is up.
    NsLinkUp(NsLinkUp),
    /// The interface inside finishes what it sends, as XDP needs it, and takes frames from XDP.
    NsOffloads(NsOffloads),
    /// The default route inside.
    NsDefaultRoute(NsDefaultRoute),
    /// Another route inside.
    NsRoute(NsRoute),
    /// The gateway as a permanent neighbour inside.
    NsNeighbour(NsNeighbour),
    /// /etc/netns/NAME/resolv.conf.
    ResolvConf(ResolvConf),
}

impl Object {
    /// What is done to make it, and to remove it.
    pub(super) fn verbs(&self) -> (&'static str, &'static str) {
        self.managed().handling().verbs
    }

    /// As [`Managed::equivalent`].
    pub(super) fn equivalent(&self, make: bool, pins: &str) -> Vec<String> {
        self.managed().equivalent(make, pins)
    }

    /// Where the command lines act.
    pub(super) fn acts(&self) -> Acts {
        self.managed().handling().acts
    }

    /// Whether it is made in several steps.
    #[must_use]
    pub fn is_made_in_steps(&self) -> bool {
        self.managed().handling().in_steps
    }

    /// Whether a user would miss it.
    #[must_use]
    pub fn is_notable(&self) -> bool {
        self.managed().handling().notable
    }
}

impl Actual {
    /// Whether an object is there already.
    #[must_use]
    pub fn has(&self, object: &Object) -> bool {
        object.managed().is_there(self)
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.managed().fmt(f)
    }
}
