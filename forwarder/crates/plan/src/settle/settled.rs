//! What there is to be once nothing is left open.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::{
    Actual, Announced, Bridging, Concerned, Datapath, EndpointRecord, Limits, NS_IF, Nat, Sources, Treatment,
    families::{both, main_of},
    names,
    uplink::Uplink,
};
use fwd_base::HostName;
use fwd_dataplane::{Backend, PublishedPorts, Rule, Sizes};
use fwd_kernel::netlink::{Interface, Mac, nft::Leaving};

/// Ports of one bridge (`BR_MAX_PORTS`, without port 0).
const MOST_PORTS: usize = 1_023;

/// An endpoint and its network.
#[derive(Clone, Debug)]
pub(crate) struct Settled {
    pub(crate) network: Network,
    pub(crate) endpoint: Endpoint,
    /// Ports of the host that lead to it.
    pub(crate) publish: Vec<PublishedPorts>,
    /// The flow table, if it is still to be made.
    pub(crate) table: Sizes,
}

/// The network.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    pub(crate) name: String,
    pub(crate) bridge: String,
    /// Of IPv4. It has a gateway of one family at least.
    pub(crate) gateway: Option<Ipv4Net>,
    pub(crate) gateway6: Option<Ipv6Net>,
    pub(crate) mac: Mac,
    pub(crate) mtu: u32,
    pub(crate) datapath: Datapath,
    /// None where the network is internal, or the host has no way out yet.
    pub(crate) uplink: Option<Uplink>,
    pub(crate) last: u32,
    pub(crate) treatment: Treatment,
    /// It stays when its last endpoint goes.
    pub(crate) kept: bool,
    /// Networks that may reach it.
    pub(crate) allows: BTreeSet<String>,
    /// Addresses of the host behind which its endpoints appear that ask for none.
    pub(crate) source: Sources,
}

/// The endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) host_if: String,
    pub(crate) address: Option<Ipv4Addr>,
    pub(crate) address6: Option<Ipv6Addr>,
    pub(crate) mac: Mac,
    /// Families of which the host answers for [`Self::source`], which it does not have.
    pub(crate) announce: Announced,
    pub(crate) allow_spoof: bool,
    /// Addresses of the host behind which its packets appear, where some were asked for.
    pub(crate) source: Sources,
    pub(crate) no_default_route: bool,
    /// Metric of the default route inside, where one is asked for.
    pub(crate) metric: Option<u32>,
    /// Other routes inside: where they lead, and by which router.
    pub(crate) routes: Vec<(IpNet, IpAddr)>,
    pub(crate) limits: Limits,
    pub(crate) policy: Vec<Rule>,
    pub(crate) attach: Backend,
    pub(crate) aliases: Vec<HostName>,
}

impl Settled {
    /// The endpoint's address of IPv4, with the length of the network's prefix.
    pub(crate) fn address(&self) -> Option<Ipv4Net> {
        let (address, gateway) = self.endpoint.address.zip(self.network.gateway)?;
        Some(Ipv4Net::new_assert(address, gateway.prefix_len()))
    }

    /// The endpoint's address of IPv6, with the length of the network's prefix.
    pub(crate) fn address6(&self) -> Option<Ipv6Net> {
        let (address, gateway) = self.endpoint.address6.zip(self.network.gateway6)?;
        Some(Ipv6Net::new_assert(address, gateway.prefix_len()))
    }
}

impl Endpoint {
    /// Its addresses of both families.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        both(self.address, self.address6)
    }

    /// By which it is known.
    pub(crate) fn main_address(&self) -> IpAddr {
        main_of(self.addresses())
    }
}

impl Network {
    /// The gateway's addresses of both families, each with the length of its prefix.
    pub(crate) fn gateways(&self) -> impl Iterator<Item = IpNet> + use<> {
        both(self.gateway, self.gateway6)
    }

    /// The gateway's address by which it is known.
    pub(crate) fn main_gateway(&self) -> IpAddr {
        main_of(self.gateways().map(|gateway| gateway.addr()))
    }

    /// Hardware address that namespaces see the gateway have.
    pub(crate) fn seen_mac(&self) -> Mac {
        if self.datapath.is_ebpf() { names::virtual_gateway_mac(self.main_gateway()) } else { self.mac }
    }

    /// How many endpoints it takes, whatever its subnets have room for.
    pub(crate) fn most_endpoints(&self) -> usize {
        match self.treatment.bridging {
            Bridging::Ports => MOST_PORTS,
            Bridging::None => usize::MAX,
        }
    }

    /// Whether its addresses of IPv6 are a part of the prefix on the link of its uplink.
    pub(crate) fn is_on_link(&self, actual: &Actual) -> bool {
        let subnet = self.gateway6.map(|gateway| gateway.trunc());
        subnet.is_some_and(|subnet| actual.host.net.has_on_link(self.uplink_index(), subnet))
    }

    /// By which interfaces its packets leave; none where it is internal.
    pub(crate) fn leaving(&self) -> Option<Leaving> {
        if self.follows_routes() {
            return Some(Leaving::NotBy(self.bridge.clone()));
        }
        self.uplink.as_ref().map(|uplink| Leaving::By(uplink.name.clone()))
    }

    /// ifindex of the uplink, as records have it.
    pub(crate) fn uplink_index(&self) -> u32 {
        self.uplink.as_ref().map_or(0, |uplink| uplink.index)
    }

    /// What other parts of the host do is looked at for this; none where nothing leaves the network.
    pub(crate) fn concerned<'a>(&'a self, actual: &Actual) -> Option<Concerned<'a>> {
        let uplink = self.uplink.as_ref()?;
        let host = &actual.host.net;
        let follows_routes = self.follows_routes();
        let addresses = host.addresses.iter().filter(|(owner, _)| follows_routes || *owner == uplink.index);
        let addresses = addresses.map(|(_, address)| address.addr());
        Some(Concerned {
            name: &self.name,
            bridge: Interface { name: &self.bridge, index: host.link(&self.bridge).map_or(0, |link| link.index) },
            subnet: self.gateway.map(|gateway| gateway.trunc()),
            subnet6: self.gateway6.map(|gateway| gateway.trunc()),
            uplink: Interface { name: &uplink.name, index: uplink.index },
            follows_routes,
            addresses: addresses.filter(|address| self.treatment.appears_behind(*address)).collect(),
            datapath: self.datapath,
            ignore_xfrm: self.treatment.ignore_xfrm,
            open: self.treatment.nat == Nat::EimEif,
            published: false,
            ruled: false,
        })
    }
}

impl Actual {
    /// Whether the endpoint of the target that is meant is a runtime's.
    #[must_use]
    pub fn attached_to_runtime(&self) -> bool {
        self.attached().is_some_and(|endpoint| endpoint.id.owner.is_runtime())
    }

    /// The endpoint that the target has already, with the interface that is meant.
    pub(crate) fn attached(&self) -> Option<&EndpointRecord> {
        let cookie = self.target_netns()?.cookie;
        let ifname = self.target.as_ref()?.ifname.as_deref();
        let own = || self.records.endpoints.iter().filter(|it| it.cookie == cookie && self.is_live(it));
        match ifname {
            Some(ifname) => own().find(|endpoint| endpoint.has_interface(ifname)),
            None => own().find(|endpoint| endpoint.has_interface(NS_IF)).or_else(|| own().next()),
        }
    }
}
