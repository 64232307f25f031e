//! What an endpoint is to be.

mod interface;
mod limits;
pub(crate) mod policy;
mod route;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::{source::Sources, target::TargetRef};

pub use self::{
    interface::HardwareAddress,
    limits::{AskedLimits, Limits, RateLimit},
    policy::AskedRules,
    route::RouteRequest,
};
use fwd_base::HostName;
use fwd_dataplane::{Backend, EndpointId, PublishedPorts};

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
    /// What it is to be.
    #[serde(default)]
    pub options: EndpointOptions,
}

/// What an endpoint is to be: each of its options once, for commands, files and plugins alike. What is left out is as it is, or the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EndpointOptions {
    /// Its address of IPv4; without it, the one that it has, else the next free one.
    pub ip: Option<Ipv4Addr>,
    /// The same of IPv6.
    pub ip6: Option<Ipv6Addr>,
    /// The first and the last address that may be chosen where none is given; without it, those of the subnet. Of a command alone: what is there
    /// has one.
    #[serde(skip)]
    pub range: Option<(Ipv4Addr, Ipv4Addr)>,
    /// It is made beforehand, for the next `up` that it fits, instead of for somebody. Of a command alone: of what is there, the pool is nobody's.
    #[serde(skip)]
    pub pooled: bool,
    /// Name of the host-side veth; without it, one made of network and address. Of a command alone: what is there has one.
    #[serde(skip)]
    pub host_if: Option<String>,
    /// Hardware address inside; without it, one made of the address.
    pub mac: Option<HardwareAddress>,
    /// Names by which it is found, besides that of its namespace.
    pub aliases: Vec<HostName>,
    /// It gets no default route.
    pub no_default_route: bool,
    /// Metric of its default route; without it, that of the kernel, and no route where another endpoint of the namespace has one.
    pub metric: Option<u32>,
    /// Other routes inside.
    pub routes: Vec<RouteRequest>,
    /// What it may send and get in a second; of what is not said, as it is, else without limit.
    pub limits: AskedLimits,
    /// Whom it speaks with; none where that stays as it is.
    pub policy: AskedRules,
    /// The host answers for the addresses of [`Self::source`], which it does not have.
    pub announce: bool,
    /// It may send from addresses other than its own.
    pub allow_spoof: bool,
    /// Addresses of the host behind which its packets appear; without them, those of its network, else the one that the host would take.
    pub source: Sources,
    /// How the program is attached to the host-side veth; without it, as it is, else the best that the kernel has.
    pub attach: Option<Backend>,
    /// Ports of the host that lead to it; of a command, besides those that do already.
    pub publish: Vec<PublishedPorts>,
}

impl EndpointOptions {
    /// The addresses that it is to have, IPv4 first.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        self.ip.map(IpAddr::from).into_iter().chain(self.ip6.map(IpAddr::from))
    }
}
