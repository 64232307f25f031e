//! What an endpoint is to be.

mod interface;
mod limits;
mod route;

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use super::{policy::AskedRules, request::TargetRef, source::Sources};

pub use self::{
    interface::HardwareAddress,
    limits::{AskedLimits, Limits, RateLimit},
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
    /// Addresses.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// The first and the last address of which one is chosen where none is given; of a command alone: what is there has one.
    #[serde(skip)]
    pub range: Option<(Ipv4Addr, Ipv4Addr)>,
    /// It is made beforehand, for whoever asks next; of a command alone: of what is there, the pool is nobody's.
    #[serde(skip)]
    pub pooled: bool,
    /// The host answers for the address behind which its packets appear, which it does not have.
    #[serde(default)]
    pub announce: bool,
    /// Name of the host-side veth; of a command alone: what is there has one.
    #[serde(skip)]
    pub host_if: Option<String>,
    /// It may send from other addresses.
    #[serde(default)]
    pub allow_spoof: bool,
    /// Addresses of the host behind which its packets appear; without them, the one that the host would take.
    #[serde(default)]
    pub source: Sources,
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
