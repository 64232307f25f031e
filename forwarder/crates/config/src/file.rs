//! What a file may say: keys and their types, as they are written. Documentation comments are what the schema says of them.

mod network;
mod words;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Spanned;

pub use self::network::Network;
use fwd_base::HostName;
use fwd_dataplane::{Backend, PublishedPorts};
use fwd_kernel::netns::Name;
use fwd_plan::{HardwareAddress, RouteRequest, SourceRange};

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

/// An interface of a namespace in a network. Its namespace is given by one of ns, pid and netns.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Endpoint {
    /// The namespace by its name below /run/netns; made if it is missing, and deleted with its last interface then.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub ns: Option<Spanned<Name>>,
    /// The namespace of this process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The namespace by the path of its file, such as /run/netns/NAME.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub netns: Option<String>,
    /// The network; without it, fwd0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub network: Option<Spanned<String>>,
    /// The interface inside: a namespace may have several, each in a network of its own. Without it, eth0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ifname: Option<String>,
    /// Its address of IPv4; without it, the one that it has, or the next free one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<std::net::Ipv4Addr>,
    /// The same of IPv6.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip6: Option<Ipv6Addr>,
    /// Its hardware address; without it, one made of the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub mac: Option<HardwareAddress>,
    /// Other names by which it is found in a network with a name server.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub aliases: Vec<HostName>,
    /// Metric of its default route, where several interfaces of a namespace have one: the lowest wins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<u32>,
    /// It gets no default route.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_default_route: bool,
    /// Other routes inside: 10.0.0.0/8 by the gateway, or 10.0.0.0/8=10.77.0.5.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub routes: Vec<RouteRequest>,
    /// The host answers at the uplink for the address of `source`, which it does not have.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub announce: bool,
    /// It may send from addresses other than its own.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub allow_spoof: bool,
    /// The address of the host behind which its packets of IPv4 appear, or a range of them, 192.0.2.8-192.0.2.11; without it, the one that the host would
    /// take.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub source: Option<SourceRange<Ipv4Addr>>,
    /// The same of IPv6.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub source6: Option<SourceRange<Ipv6Addr>>,
    /// Whom it may begin conversations with: CIDR[:PORT[-PORT]][/PROTO], such as 10.0.0.0/8:443/tcp, or any:53. With one of these, with nobody else.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub allow_out: Vec<Spanned<String>>,
    /// Whom it may not; the most specific rule wins.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub deny_out: Vec<Spanned<String>>,
    /// Who may begin conversations with it. With one of these, nobody else.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub allow_in: Vec<Spanned<String>>,
    /// Who may not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub deny_in: Vec<Spanned<String>>,
    /// Bits of IP packets that may leave it in a second, such as 100M.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub rate_out: Option<Spanned<String>>,
    /// Bytes that may leave it at once beyond that, such as 625k; without it, those of 50 ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub burst_out: Option<Spanned<String>>,
    /// The same as rate-out for what is delivered into it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub rate_in: Option<Spanned<String>>,
    /// The same as burst-out for what is delivered into it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub burst_in: Option<Spanned<String>>,
    /// How the program is attached to the host-side veth: tcx is faster for packets, clsact for making and removing endpoints.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words::attach")]
    pub attach: Option<Backend>,
    /// Ports of the host that lead to it: [HOSTIP:]PORT[-END]:PORT[-END][/tcp|udp][ from CIDR,…].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub publish: Vec<PublishedPorts>,
}

/// What is said nowhere yet.
pub(crate) fn anywhere<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}
