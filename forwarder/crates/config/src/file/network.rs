//! What a file may say of a network.

use std::{collections::BTreeSet, net::Ipv4Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::words;
use fwd_plan::{Datapath, Ipv4, Ipv6, Nat};

/// A network. What is left out and depends on the host (uplink's MTU, free subnet, best data path, IPv6) is as it is, or as the host
/// has it; everything else that is left out is not to be.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Network {
    /// The interface that leads outside; without it, the network follows the host's routes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub uplink: Option<Spanned<String>>,
    /// Nothing leaves it: it has no uplink, and nobody in it a default route.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub internal: bool,
    /// Its addresses, such as 10.0.0.0/24; without them, those that it has, or a free /24.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub subnet: Option<Spanned<Ipv4Net>>,
    /// Address of the gateway; without it, the one that it has, or the first of the subnet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Ipv4Addr>,
    /// IPv4; without it, what it has, or addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words::ipv4")]
    pub ipv4: Option<Ipv4>,
    /// IPv6; without it, what it has, or masquerade where the host's IPv6 leads outside.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words::ipv6")]
    pub ipv6: Option<Ipv6>,
    /// Its addresses of IPv6, a /64 or longer; without them, those that it has, or a free /64.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub subnet6: Option<Spanned<Ipv6Net>>,
    /// Largest packet, bytes; without it, what it has, or the uplink's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// What forwards its packets; without it, what does already, or the best that the kernel has.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words::datapath")]
    pub datapath: Option<Datapath>,
    /// How it maps ports; without it, symmetric.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words::nat")]
    pub nat: Option<Nat>,
    /// The MSS of its TCP connections is lowered to what the path carries.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub clamp_mss: bool,
    /// The programs may send past the host's policies of IPsec.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ignore_xfrm: bool,
    /// Its namespaces do not reach each other.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_icc: bool,
    /// Networks that may reach it: they do once each has allowed the other.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(with = "BTreeSet<String>")]
    pub allow_networks: BTreeSet<Spanned<String>>,
    /// A name server answers at its gateway.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dns: bool,
    /// It stays when commands take its last namespace down.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub keep: bool,
}
