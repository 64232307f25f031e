//! What a plan makes and removes.

use std::{fmt, net::Ipv4Addr};

use ipnet::Ipv4Net;

use super::{Datapath, Marks, SysctlRecord, TargetRef, Treatment, Undo};
use crate::{
    dataplane::{Backend, Sizes},
    netlink::{BridgeSpec, LinkLayer, Mac, VethSpec},
    netns::Name,
    text::mac as mac_text,
};

/// Anything that `up` makes and `down` removes. What belongs together is one object; each can be told to be there or not.
///
/// Interfaces are named, not numbered, as far as they may not exist yet when the plan is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// The maps that hold the records of this host namespace, pinned.
    Records,
    /// What another version has pinned: programs, links, maps.
    OtherVersion {
        /// The name of its directory.
        name: String,
    },
    /// The programs and the flow table, pinned.
    Dataplane(Sizes),
    /// An entry of the undo log. With that of a namespace to be made comes the namespace itself, which has no name yet: whoever finds
    /// it by its name finds it noted.
    Undo(Undo),
    /// A namespace with a name.
    Netns {
        /// Its name.
        name: Name,
    },
    /// A changed sysctl.
    Sysctl(SysctlRecord),
    /// An uplink's record.
    Uplink {
        /// Its name.
        name: String,
        /// Its ifindex.
        index: u32,
        /// Address behind which endpoints appear.
        address: Ipv4Addr,
    },
    /// Another address of an uplink that has a record.
    UplinkAddress {
        /// The uplink's name.
        name: String,
        /// Its ifindex.
        index: u32,
        /// What the record says.
        from: Ipv4Addr,
        /// What it should say.
        to: Ipv4Addr,
    },
    /// The name of an uplink that has a record: it was renamed.
    UplinkName {
        /// Its ifindex.
        index: u32,
        /// What the record says.
        from: String,
        /// What it should say.
        to: String,
    },
    /// A network leads through another uplink: the former was deleted.
    NetworkUplink {
        /// Name of the network.
        network: String,
        /// ifindex of its bridge.
        bridge: u32,
        /// ifindex of the former uplink.
        from: u32,
        /// ifindex of the other one.
        to: u32,
    },
    /// The programs at an uplink: `to_uplink` is attached first and detached last.
    UplinkHooks {
        /// The uplink's name.
        name: String,
        /// Its ifindex.
        index: u32,
        /// The header of its packets, for which there are different programs.
        layer: LinkLayer,
    },
    /// The XDP program at an uplink.
    UplinkXdp {
        /// The uplink's name.
        name: String,
        /// Its ifindex.
        index: u32,
    },
    /// A network's bridge.
    Bridge(BridgeSpec),
    /// The gateway's address on the bridge.
    GatewayAddress {
        /// Name of the bridge.
        bridge: String,
        /// The address with the length of its prefix.
        address: Ipv4Net,
    },
    /// An interface is up.
    LinkUp {
        /// Its name.
        name: String,
    },
    /// A network's record.
    Network(NetworkSpec),
    /// The program at a network's bridge.
    NetworkHook {
        /// Name of the bridge.
        bridge: String,
        /// Its ifindex, where it has or had one.
        index: Option<u32>,
    },
    /// A rule of nftables that keeps out what is not for the network, where no program does.
    Isolation {
        /// Name of the network.
        network: String,
        /// Its bridge.
        bridge: String,
    },
    /// Masquerade in nftables.
    Masquerade {
        /// Name of the network.
        network: String,
        /// Its bridge.
        bridge: String,
        /// Its addresses.
        subnet: Ipv4Net,
        /// Name of the uplink.
        uplink: String,
    },
    /// A veth pair, its other end directly inside the namespace.
    Veth {
        /// The pair.
        spec: VethSpec,
        /// The namespace.
        ns: TargetRef,
    },
    /// An endpoint's record.
    Endpoint(EndpointSpec),
    /// An endpoint's record points at this bridge: a former one was deleted.
    EndpointBridge {
        /// Name of the host-side veth.
        host_if: String,
        /// ifindex of the former bridge.
        from: u32,
        /// Name of the bridge.
        bridge: String,
    },
    /// The program at a host-side veth.
    EndpointHook {
        /// Name of the host-side veth.
        host_if: String,
        /// Its ifindex, where it has or had one.
        index: Option<u32>,
        /// How it is attached.
        attach: Backend,
    },
    /// The program at a host-side veth is attached in another way than before, and its record says so.
    EndpointAttach {
        /// Name of the host-side veth.
        host_if: String,
        /// How it was attached.
        from: Backend,
        /// How it should be.
        to: Backend,
    },
    /// The XDP program at a host-side veth.
    EndpointXdp {
        /// Name of the host-side veth.
        host_if: String,
        /// Its ifindex, where it has or had one.
        index: Option<u32>,
        /// Name of the uplink.
        uplink: String,
    },
    /// A host-side veth is a port of the bridge.
    Port {
        /// Name of the host-side veth.
        host_if: String,
        /// Name of the bridge.
        bridge: String,
        /// The bridge learns hardware addresses behind it, and sends there what is for an unknown one.
        learns: bool,
    },
    /// A static forwarding entry of the bridge.
    Fdb {
        /// Name of the host-side veth.
        host_if: String,
        /// Hardware address behind it.
        mac: Mac,
    },
    /// A permanent neighbour of the host.
    Neighbour {
        /// Name of the bridge.
        bridge: String,
        /// The endpoint's address.
        address: Ipv4Addr,
        /// Its hardware address.
        mac: Mac,
    },
    /// `lo` of a namespace is up.
    Loopback {
        /// The namespace.
        ns: TargetRef,
    },
    /// The address inside.
    NsAddress {
        /// The namespace.
        ns: TargetRef,
        /// The interface.
        ns_if: String,
        /// The address with the length of its prefix.
        address: Ipv4Net,
    },
    /// The interface inside is up.
    NsLinkUp {
        /// The namespace.
        ns: TargetRef,
        /// The interface.
        ns_if: String,
    },
    /// The interface inside finishes what it sends, as XDP needs it, and takes frames from XDP.
    NsOffloads {
        /// The namespace.
        ns: TargetRef,
        /// The interface.
        ns_if: String,
    },
    /// The default route inside.
    NsDefaultRoute {
        /// The namespace.
        ns: TargetRef,
        /// The interface.
        ns_if: String,
        /// The router.
        gateway: Ipv4Addr,
    },
    /// The gateway as a permanent neighbour inside.
    NsNeighbour {
        /// The namespace.
        ns: TargetRef,
        /// The interface.
        ns_if: String,
        /// The gateway's address.
        gateway: Ipv4Addr,
        /// Its hardware address.
        mac: Mac,
    },
    /// /etc/netns/NAME/resolv.conf.
    ResolvConf {
        /// The namespace.
        ns: Name,
        /// What it says.
        contents: String,
    },
}

/// What a network's record is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkSpec {
    /// Name.
    pub name: String,
    /// ifindex of the bridge of a record that exists; the new one's is looked up by its name.
    pub index: Option<u32>,
    /// Name of the bridge.
    pub bridge: String,
    /// Gateway with the length of the prefix.
    pub gateway: Ipv4Net,
    /// ifindex of the uplink.
    pub uplink: u32,
    /// MTU, bytes.
    pub mtu: u32,
    /// Hardware address of the bridge.
    pub mac: Mac,
    /// Address given last; `0.0.0.0` before the first.
    pub last: Ipv4Addr,
    /// What forwards its packets.
    pub datapath: Datapath,
    /// How they are treated.
    pub treatment: Treatment,
}

/// What an endpoint's record is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSpec {
    /// Name of the network.
    pub network: String,
    /// Name of its bridge.
    pub bridge: String,
    /// ifindex of the uplink.
    pub uplink: u32,
    /// How the namespace was given.
    pub target: TargetRef,
    /// Name of the namespace.
    pub ns: Option<String>,
    /// Process that the namespace was given by.
    pub pid: Option<u32>,
    /// Name of the host-side veth.
    pub host_if: String,
    /// ifindex of the host-side veth of a record that exists; the new one's is looked up by its name.
    pub index: Option<u32>,
    /// Name of the interface inside.
    pub ns_if: String,
    /// Address inside.
    pub address: Ipv4Addr,
    /// Hardware address inside.
    pub mac: Mac,
    /// Hardware address of the gateway.
    pub gateway_mac: Mac,
    /// MTU, bytes.
    pub mtu: u32,
    /// What forwards its packets.
    pub datapath: Datapath,
    /// How they are treated: as all of the network.
    pub treatment: Treatment,
    /// It may send from addresses other than its own.
    pub allow_spoof: bool,
    /// How the program is attached to the host-side veth.
    pub attach: Backend,
    /// What is done for it besides.
    pub marks: Marks,
}

impl Object {
    /// What is done to make it, and to remove it.
    pub(super) const fn verbs(&self) -> (&'static str, &'static str) {
        match self {
            Self::Dataplane(_) | Self::OtherVersion { .. } => ("load", "unload"),
            Self::Records => ("create", "remove"),
            Self::Netns { .. } | Self::Bridge(_) | Self::Veth { .. } => ("create", "delete"),
            Self::Undo(_) => ("remember", "forget"),
            Self::Sysctl(_) => ("set", "restore"),
            Self::Uplink { .. } | Self::Network(_) | Self::Endpoint(_) => ("record", "forget"),
            Self::UplinkAddress { .. }
            | Self::UplinkName { .. }
            | Self::NetworkUplink { .. }
            | Self::EndpointBridge { .. } => ("correct", "revert"),
            Self::EndpointAttach { .. } => ("change", "revert"),
            Self::UplinkHooks { .. }
            | Self::NetworkHook { .. }
            | Self::EndpointHook { .. }
            | Self::UplinkXdp { .. }
            | Self::EndpointXdp { .. } => ("attach", "detach"),
            Self::NsOffloads { .. } => ("set", "reset"),
            Self::LinkUp { .. } | Self::Loopback { .. } | Self::NsLinkUp { .. } => ("set up", "set down"),
            Self::GatewayAddress { .. }
            | Self::Masquerade { .. }
            | Self::Isolation { .. }
            | Self::Port { .. }
            | Self::Fdb { .. }
            | Self::Neighbour { .. }
            | Self::NsAddress { .. }
            | Self::NsDefaultRoute { .. }
            | Self::NsNeighbour { .. } => ("add", "remove"),
            Self::ResolvConf { .. } => ("write", "remove"),
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Records => write!(f, "the maps for records"),
            Self::OtherVersion { name } => write!(f, "the data path of version {name} of fwd"),
            Self::Dataplane(_) => write!(f, "the data path"),
            Self::Undo(entry) => write!(f, "{entry}"),
            Self::Netns { name } => write!(f, "namespace {name}"),
            Self::Sysctl(SysctlRecord { path, .. }) => write!(f, "{path}"),
            Self::Uplink { name, .. } => write!(f, "uplink {name}"),
            Self::UplinkAddress { name, to, .. } => write!(f, "address {to} of uplink {name}"),
            Self::UplinkName { from, to, .. } => write!(f, "name of uplink {from} to {to}"),
            Self::NetworkUplink { network, to, .. } => write!(f, "uplink of network {network}: interface {to}"),
            Self::UplinkHooks { name, .. } => write!(f, "programs to_uplink and from_uplink at {name}"),
            Self::UplinkXdp { name, .. } => write!(f, "XDP program xdp_from_uplink at {name}"),
            Self::Bridge(spec) => write!(f, "bridge {}", spec.name),
            Self::GatewayAddress { bridge, address } => write!(f, "address {address} of {bridge}"),
            Self::LinkUp { name } => write!(f, "interface {name}"),
            Self::Network(spec) => write!(f, "network {}", spec.name),
            Self::NetworkHook { bridge, .. } => write!(f, "program to_network at {bridge}"),
            Self::Isolation { network, .. } => write!(f, "isolation of network {network}"),
            Self::Masquerade { network, .. } => write!(f, "masquerade of network {network}"),
            Self::Veth { spec, ns } => write!(f, "veth pair {} – {} in {ns}", spec.host_if, spec.ns_if),
            Self::Endpoint(EndpointSpec { address, network, .. }) => {
                write!(f, "endpoint {address} of network {network}")
            }
            Self::EndpointBridge { host_if, bridge, .. } => write!(f, "bridge {bridge} of {host_if}"),
            Self::EndpointHook { host_if, attach: Backend::Tcx, .. } => write!(f, "program from_ns at {host_if}"),
            Self::EndpointHook { host_if, attach: Backend::Clsact, .. } => {
                write!(f, "program from_ns at {host_if} by clsact")
            }
            Self::EndpointAttach { host_if, from, to } => {
                write!(f, "program from_ns at {host_if} from {} to {}", from.name(), to.name())
            }
            Self::EndpointXdp { host_if, .. } => write!(f, "XDP program xdp_from_ns at {host_if}"),
            Self::Port { host_if, bridge, .. } => write!(f, "port {host_if} of bridge {bridge}"),
            Self::Fdb { host_if, mac } => write!(f, "forwarding entry {} of {host_if}", mac_text(*mac)),
            Self::Neighbour { bridge, address, .. } => write!(f, "neighbour {address} of {bridge}"),
            Self::Loopback { ns } => write!(f, "lo in {ns}"),
            Self::NsAddress { ns, ns_if, address } => write!(f, "address {address} of {ns_if} in {ns}"),
            Self::NsLinkUp { ns, ns_if } => write!(f, "{ns_if} in {ns}"),
            Self::NsOffloads { ns, ns_if } => write!(f, "offloads of {ns_if} in {ns}"),
            Self::NsDefaultRoute { ns, gateway, .. } => write!(f, "default route via {gateway} in {ns}"),
            Self::NsNeighbour { ns, gateway, .. } => write!(f, "neighbour {gateway} in {ns}"),
            Self::ResolvConf { ns, .. } => write!(f, "/etc/netns/{ns}/resolv.conf"),
        }
    }
}
