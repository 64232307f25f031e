//! What netavark and podman hand over, as they write it (netavark's types.rs, version 1.14).

use std::{collections::BTreeMap, io::Read, net::IpAddr};

use ipnet::IpNet;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use fwd_base::{Context as _, Error, Kind, Result};
use fwd_plugin::json;

/// A network, as podman notes it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Network {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) driver: String,
    pub(crate) network_interface: Option<String>,
    pub(crate) subnets: Vec<Subnet>,
    pub(crate) ipv6_enabled: bool,
    pub(crate) internal: bool,
    pub(crate) dns_enabled: bool,
    pub(crate) network_dns_servers: Vec<IpAddr>,
    pub(crate) options: BTreeMap<String, String>,
    pub(crate) ipam_options: BTreeMap<String, String>,
    pub(crate) routes: Vec<Route>,
}

/// Addresses of a network.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Subnet {
    pub(crate) subnet: IpNet,
    pub(crate) gateway: Option<IpAddr>,
    pub(crate) lease_range: Option<LeaseRange>,
}

/// Those of them that may be chosen.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct LeaseRange {
    pub(crate) start_ip: Option<IpAddr>,
    pub(crate) end_ip: Option<IpAddr>,
}

/// A route inside of containers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Route {
    pub(crate) destination: IpNet,
    pub(crate) gateway: Option<IpAddr>,
    pub(crate) metric: Option<u32>,
    pub(crate) route_type: Option<String>,
}

/// One container, and one of its networks.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Container {
    pub(crate) container_id: String,
    pub(crate) container_name: String,
    pub(crate) port_mappings: Vec<PortMapping>,
    pub(crate) network: Network,
    pub(crate) network_options: NetworkOptions,
}

/// What is said of the container in that network.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NetworkOptions {
    pub(crate) aliases: Vec<String>,
    pub(crate) interface_name: String,
    pub(crate) static_ips: Vec<IpAddr>,
    pub(crate) static_mac: Option<String>,
    pub(crate) options: BTreeMap<String, String>,
}

/// Ports of the host that lead to the container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PortMapping {
    pub(crate) host_ip: String,
    pub(crate) host_port: u16,
    pub(crate) container_port: u16,
    /// `tcp`, `udp`, or several with commas between them.
    pub(crate) protocol: String,
    /// How many follow one another; 0 is one.
    pub(crate) range: u16,
}

/// The document on standard input.
///
/// # Errors
/// There is none.
pub(crate) fn document(input: &mut dyn Read) -> Result<Value> {
    const INPUT: &str = "standard input";
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes).doing("read", INPUT)?;
    let document: Value = serde_json::from_slice(&bytes).map_err(|error| unreadable(&error.to_string()))?;
    if document.is_object() { Ok(document) } else { Err(unreadable("it is no object")) }
}

/// What is declared of a document.
///
/// # Errors
/// It has values of other types.
pub(crate) fn read<T: DeserializeOwned>(document: Value) -> Result<T> {
    json::read(json::without_null(&document)).map_err(|why| unreadable(&why))
}

fn unreadable(why: &str) -> Error {
    Error::new(Kind::Usage, "read", "what netavark hands over", why)
        .remedy("call it by podman: `podman network create -d fwd NAME`")
}
