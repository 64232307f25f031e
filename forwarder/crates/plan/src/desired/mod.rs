//! What there is to be on a host, as data: what `up` and `down` change a part of, and what a whole is planned from.
//!
//! What is left out is as it is, or the default: so a part says no more than what was asked for, and [`export`](super::export)
//! says everything. The lists have room for what comes; what is not made yet is refused, not left out.

mod asked;
mod datapath;
mod endpoint;
mod network;
mod options;
mod place;
mod request;
mod scope;
mod source;
mod target;
pub mod written;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(super) use self::{
    asked::{Asked, AskedNetwork},
    endpoint::policy,
    network::{SWITCHES, Switch},
};
pub use self::{
    datapath::Datapath,
    endpoint::{AskedLimits, AskedRules, Endpoint, EndpointOptions, HardwareAddress, Limits, RateLimit, RouteRequest},
    network::{Ipv4, Ipv6, Network, Treatment, UplinkChoice},
    options::{Bridging, Flows, IDLE_TIMES, IdleTime, Nat, TableRecord, TableRequest, range, seconds},
    place::Places,
    request::{Caller, NetworkRequest, PortRequest, UpRequest, UplinkRequest},
    scope::{Declared, DownRequest, NetworkScope, Scope},
    source::{Announced, SourceRange, Sources},
    target::TargetRef,
};

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
