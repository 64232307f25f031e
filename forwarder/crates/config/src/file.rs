//! What a file may say: keys and their types, as they are written. Documentation comments are what the schema says of them.

mod endpoint;
mod limit;
mod network;
mod words;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Spanned;

pub use self::{endpoint::Endpoint, network::Network};

/// What there is to be on a host: networks, and namespaces that are in them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct File {
    /// The flow table of the host, which all networks share.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Table>")]
    pub table: Option<Spanned<Table>>,
    /// Networks by name, which are their bridges' where an interface may be called so. They are there whether namespaces are in them or not.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, Network>")]
    pub networks: BTreeMap<Spanned<String>, Network>,
    /// Interfaces of namespaces, each in a network.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<Endpoint>")]
    pub endpoints: Vec<Spanned<Endpoint>>,
}

/// The flow table: set when the first network is made, until the last goes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Table {
    /// Ports of the uplink's address to appear behind: first and last, such as 1024-29999.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub nat_ports: Option<Spanned<String>>,
    /// Flows that may be established at once; decides the memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u32>")]
    pub max_flows: Option<Spanned<u64>>,
    /// The same for one namespace; without it, half of max-flows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u32>")]
    pub max_flows_per_ns: Option<Spanned<u64>>,
    /// Idle times that end flows, by name, such as tcp-established = "2h4m".
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "words::timeouts")]
    pub timeouts: BTreeMap<Spanned<String>, Spanned<String>>,
}

/// What is said nowhere yet.
pub(crate) fn anywhere<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}
