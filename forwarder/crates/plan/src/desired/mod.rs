//! What there is to be on a host, as data: what `up` and `down` change a part of, and what a whole is planned from.
//!
//! What is left out is as it is, or the default: so a part says no more than what was asked for, and [`export`](super::export)
//! says everything. The lists have room for what comes; what is not made yet is refused, not left out.

mod datapath;
mod interface;
mod ipv4;
mod ipv6;
mod limits;
mod options;
mod place;
pub(crate) mod policy;
mod request;
mod route;
mod scope;
pub mod written;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    rc::Rc,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

pub use self::{
    datapath::Datapath,
    interface::HardwareAddress,
    ipv4::Ipv4,
    ipv6::Ipv6,
    limits::{AskedLimits, Limits, RateLimit},
    options::{IDLE_TIMES, IdleTime, Nat, TableRecord, TableRequest, Treatment, range, seconds},
    place::Places,
    policy::AskedRules,
    request::{Caller, NetworkRequest, PortRequest, TargetRef, UpRequest, UplinkRequest},
    route::RouteRequest,
    scope::{Declared, DownRequest, NetworkScope, Scope},
};
use fwd_base::{Error, HostName, Kind, Result};
use fwd_dataplane::{Backend, EndpointId, PublishedPorts};

/// What there is to be on a host, or in the [`Scope`] of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Desired {
    /// The flow table, which all networks share.
    pub table: TableRequest,
    /// Networks, by name.
    pub networks: BTreeMap<String, Network>,
    /// Endpoints of these networks.
    pub endpoints: Vec<Endpoint>,
    /// Where files say so.
    #[serde(skip)]
    pub places: Places,
}

/// A network. It may have no endpoint yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// What leads outside.
    pub uplink: UplinkChoice,
    /// Addresses: at most one subnet of each family.
    pub subnets: Vec<IpNet>,
    /// The gateway's address of IPv4; without it, the first of the subnet.
    pub gateway: Option<Ipv4Addr>,
    /// IPv4; without it, what the network has, else addresses.
    pub ipv4: Option<Ipv4>,
    /// IPv6; without it, what the network has, else masquerade where the uplink leads there, or where there is no IPv4.
    pub ipv6: Option<Ipv6>,
    /// MTU, bytes.
    pub mtu: Option<u32>,
    /// What forwards its packets.
    pub datapath: Option<Datapath>,
    /// How ports are mapped.
    pub nat: Option<Nat>,
    /// The MSS of TCP is lowered to what the path carries.
    pub clamp_mss: bool,
    /// The programs may send past policies of IPsec.
    pub ignore_xfrm: bool,
    /// Its endpoints do not reach each other.
    pub no_icc: bool,
    /// Networks that may reach it: they do once each has allowed the other.
    pub allow_networks: BTreeSet<String>,
    /// It stays when its last endpoint goes; one in which none is desired does in any case.
    pub kept: bool,
    /// A name server answers at its gateway.
    pub dns: bool,
}

/// What leads outside of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UplinkChoice {
    /// The interface that it has, else that of the default route.
    #[default]
    Auto,
    /// The interface of this name.
    Interface(String),
    /// Nothing does: the network is internal.
    None,
}

impl UplinkChoice {
    /// The interface that is named, if one is.
    pub(super) fn interface(&self) -> Option<&str> {
        match self {
            Self::Interface(name) => Some(name),
            Self::Auto | Self::None => None,
        }
    }
}

/// An endpoint: one interface of a namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Who it is for its owner.
    pub id: EndpointId,
    /// The network.
    pub network: String,
    /// What the owner calls the network: by it he finds his own again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_network: Option<String>,
    /// How its namespace is found; none while that is not known yet.
    #[serde(default)]
    pub netns: Option<TargetRef>,
    /// Addresses.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// The first and the last address of which one is chosen where none is given; of a command alone: what is there has one.
    #[serde(skip)]
    pub range: Option<(Ipv4Addr, Ipv4Addr)>,
    /// It may send from other addresses.
    #[serde(default)]
    pub allow_spoof: bool,
    /// Address of the host behind which its packets appear; without it, the one that the host would take.
    #[serde(default)]
    pub source: Option<Ipv4Addr>,
    /// Hardware address inside; without it, one made of the address.
    #[serde(default)]
    pub mac: Option<HardwareAddress>,
    /// It gets no default route.
    #[serde(default)]
    pub no_default_route: bool,
    /// Metric of its default route; without it, it gets one only where its namespace has none by another interface.
    #[serde(default)]
    pub metric: Option<u32>,
    /// Other routes inside.
    #[serde(default)]
    pub routes: Vec<RouteRequest>,
    /// What it may send and get in a second.
    #[serde(default)]
    pub limits: AskedLimits,
    /// Whom it speaks with; none where that stays as it is.
    #[serde(default)]
    pub policy: AskedRules,
    /// How the program is attached to the host-side veth.
    #[serde(default)]
    pub attach: Option<Backend>,
    /// Ports of the host that lead to it.
    #[serde(default)]
    pub publish: Vec<PublishedPorts>,
    /// Names by which it is found, besides that of its namespace.
    #[serde(default)]
    pub aliases: Vec<HostName>,
}

/// A network as it is asked for.
#[derive(Clone, Debug)]
pub(super) struct AskedNetwork {
    pub(super) name: String,
    pub(super) uplink: Option<String>,
    pub(super) subnet: Option<Ipv4Net>,
    pub(super) gateway: Option<Ipv4Addr>,
    pub(super) ipv4: Option<Ipv4>,
    pub(super) ipv6: Option<Ipv6>,
    pub(super) subnet6: Option<Ipv6Net>,
    pub(super) mtu: Option<u32>,
    pub(super) datapath: Option<Datapath>,
    pub(super) nat: Option<Nat>,
    pub(super) clamp_mss: bool,
    pub(super) ignore_xfrm: bool,
    pub(super) internal: bool,
    pub(super) no_icc: bool,
    pub(super) kept: bool,
    pub(super) dns: bool,
    pub(super) allows: Allowed,
    /// What is not asked for is not to be.
    pub(super) exact: bool,
}

impl AskedNetwork {
    /// What is asked for of something that is on or off.
    pub(super) fn says(&self, on: bool) -> Option<bool> {
        (on || self.exact).then_some(on)
    }
}

/// What is asked for of the networks that may reach one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Allowed {
    pub(super) add: BTreeSet<String>,
    pub(super) remove: BTreeSet<String>,
    /// No others than those that are added.
    pub(super) no_others: bool,
}

impl Allowed {
    /// What is allowed then, where `found` was before.
    pub(super) fn over(&self, found: &BTreeSet<String>) -> BTreeSet<String> {
        let kept = found.iter().filter(|it| !self.no_others && !self.remove.contains(*it));
        kept.chain(&self.add).cloned().collect()
    }
}

/// An endpoint as it is asked for.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) id: EndpointId,
    pub(super) owner_network: Option<String>,
    pub(super) target: TargetRef,
    pub(super) network: AskedNetwork,
    pub(super) ip: Option<Ipv4Addr>,
    pub(super) ip6: Option<Ipv6Addr>,
    pub(super) range: Option<(Ipv4Addr, Ipv4Addr)>,
    pub(super) mac: Option<HardwareAddress>,
    pub(super) allow_spoof: bool,
    pub(super) source: Option<Ipv4Addr>,
    pub(super) no_default_route: bool,
    pub(super) metric: Option<u32>,
    pub(super) routes: Vec<RouteRequest>,
    pub(super) limits: AskedLimits,
    pub(super) policy: AskedRules,
    pub(super) attach: Option<Backend>,
    /// It is to be attached soon rather than by what is best for packets, where nothing is asked for.
    pub(super) hurries: bool,
    pub(super) publish: Vec<PublishedPorts>,
    pub(super) aliases: Vec<HostName>,
    /// No other ports than those are to be published for it, and of all else that is not asked for nothing is to be.
    pub(super) no_others: bool,
    /// Addresses in networks that this or another endpoint is to have.
    pub(super) promised: Rc<BTreeSet<(String, IpAddr)>>,
    pub(super) table: TableRequest,
}

impl Desired {
    /// The endpoints that are in `scope`.
    ///
    /// # Errors
    /// They contradict each other, or ask for what is not made yet.
    pub(super) fn endpoints_in(&self, scope: &Scope) -> Result<Vec<Asked>> {
        let mut seen = BTreeSet::new();
        for endpoint in &self.endpoints {
            if !seen.insert(&endpoint.id) {
                let why = "it is said twice";
                return Err(Error::new(Kind::Usage, "attach", format!("endpoint {}", endpoint.id), why));
            }
        }
        let is_in = |it: &&Endpoint| scope.is_whole() || (scope.target.is_some() && scope.target == it.netns);
        let promised = self
            .endpoints
            .iter()
            .flat_map(|endpoint| endpoint.addresses.iter().map(|address| (endpoint.network.clone(), *address)));
        let promised = Rc::new(promised.collect());
        self.endpoints.iter().filter(is_in).map(|endpoint| self.asked(endpoint, &promised, scope)).collect()
    }

    fn asked(&self, endpoint: &Endpoint, promised: &Rc<BTreeSet<(String, IpAddr)>>, scope: &Scope) -> Result<Asked> {
        let Endpoint { id, network, netns, addresses, .. } = endpoint;
        let refuse = |kind, why: String| Error::new(kind, "attach", format!("endpoint {id}"), why);
        let target = netns.clone().ok_or_else(|| refuse(Kind::NotFound, "its namespace is not known yet".into()))?;
        let (mut ip, mut ip6) = (None, None);
        for address in addresses {
            let former = match address {
                IpAddr::V4(address) => ip.replace(*address).is_some(),
                IpAddr::V6(address) => ip6.replace(*address).is_some(),
            };
            if former {
                return Err(refuse(Kind::Unsupported, "an endpoint has one address of IPv4 and one of IPv6".into()));
            }
        }
        let unknown = || refuse(Kind::NotFound, format!("there is no network {network}"));
        let options = self.networks.get(network).ok_or_else(unknown)?;
        // Of the whole, the table is for those networks that use it.
        let unused = scope.is_whole() && options.datapath == Some(Datapath::Kernel);
        Ok(Asked {
            id: id.clone(),
            owner_network: endpoint.owner_network.clone(),
            target,
            network: options.asked(network)?,
            ip,
            ip6,
            range: endpoint.range,
            mac: endpoint.mac,
            allow_spoof: endpoint.allow_spoof,
            source: endpoint.source,
            no_default_route: endpoint.no_default_route,
            metric: endpoint.metric,
            routes: endpoint.routes.clone(),
            limits: endpoint.limits,
            policy: endpoint.policy.clone(),
            attach: endpoint.attach,
            // A runtime waits for each of its endpoints.
            hurries: id.owner.is_runtime(),
            publish: endpoint.publish.clone(),
            aliases: endpoint.aliases.clone(),
            no_others: scope.is_whole(),
            promised: Rc::clone(promised),
            table: if unused { TableRequest::default() } else { self.table.clone() },
        })
    }
}

impl Network {
    /// # Errors
    /// It asks for what is not made yet.
    pub(super) fn asked(&self, name: &str) -> Result<AskedNetwork> {
        let Self {
            uplink,
            subnets,
            gateway,
            ipv4,
            ipv6,
            mtu,
            datapath,
            nat,
            clamp_mss,
            ignore_xfrm,
            no_icc,
            allow_networks,
            kept,
            dns,
        } = self;
        let refuse = |why: &str| Error::new(Kind::Unsupported, "make", format!("network {name}"), why);
        let (mut subnet, mut subnet6) = (None, None);
        for asked in subnets {
            let former = match asked {
                IpNet::V4(asked) => subnet.replace(*asked).is_some(),
                IpNet::V6(asked) => subnet6.replace(*asked).is_some(),
            };
            if former {
                return Err(refuse("a network has one subnet of IPv4 and one of IPv6"));
            }
        }
        let internal = *uplink == UplinkChoice::None;
        let uplink = match uplink {
            UplinkChoice::Auto | UplinkChoice::None => None,
            UplinkChoice::Interface(name) => Some(name.clone()),
        };
        Ok(AskedNetwork {
            name: name.into(),
            uplink,
            subnet,
            gateway: *gateway,
            ipv4: *ipv4,
            ipv6: *ipv6,
            subnet6,
            mtu: *mtu,
            datapath: *datapath,
            nat: *nat,
            clamp_mss: *clamp_mss,
            ignore_xfrm: *ignore_xfrm,
            internal,
            no_icc: *no_icc,
            kept: *kept,
            dns: *dns,
            allows: Allowed { add: allow_networks.clone(), ..Allowed::default() },
            exact: false,
        })
    }
}
