//! What a file may say of a network, and how that becomes what is desired, and comes of it: each names every field of the other side.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, Ipv6Addr},
    ops::Range,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::{anywhere, words};
use fwd_base::{Error, Result};
use fwd_plan::{self as plan, Bridging, Datapath, Flows, Ipv4, Ipv6, Nat, SourceRange, Sources, UplinkChoice};

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
    /// With whom what its namespaces speak has flows; without it, with the outside.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words::flows")]
    pub flows: Option<Flows>,
    /// What connects its namespaces with the host; without it, the ports of a bridge.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words::bridge")]
    pub bridge: Option<Bridging>,
    /// Networks that may reach it: they do once each has allowed the other.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(with = "BTreeSet<String>")]
    pub allow_networks: BTreeSet<Spanned<String>>,
    /// A name server answers at its gateway.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dns: bool,
    /// Multicast passes between it and its uplink.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub multicast: bool,
    /// It stays when commands take its last namespace down.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub keep: bool,
    /// The address of the host behind which its namespaces appear by IPv4 that name none, or a range of them, 192.0.2.8-192.0.2.11; without it, the one
    /// that the host would take.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub source: Option<SourceRange<Ipv4Addr>>,
    /// The same of IPv6.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub source6: Option<SourceRange<Ipv6Addr>>,
}

impl Network {
    /// What is desired so. `refuse` is told which bytes of the file are wrong, and why.
    ///
    /// # Errors
    /// It has an uplink and is internal, or a subnet is written by another address than its first.
    pub(crate) fn desired(&self, refuse: impl Fn(Range<usize>, String) -> Error) -> Result<plan::Network> {
        let Self {
            uplink,
            internal,
            subnet,
            gateway,
            ipv4,
            ipv6,
            subnet6,
            mtu,
            datapath,
            nat,
            clamp_mss,
            ignore_xfrm,
            no_icc,
            flows,
            bridge,
            allow_networks,
            dns,
            multicast,
            keep,
            source,
            source6,
        } = self;
        let uplink = match uplink {
            Some(uplink) if *internal => {
                let refused = refuse(uplink.span(), "an internal network has no uplink".into());
                return Err(refused.remedy("leave out uplink or internal"));
            }
            Some(uplink) => UplinkChoice::Interface(uplink.get_ref().clone()),
            None if *internal => UplinkChoice::None,
            None => UplinkChoice::Auto,
        };
        // The kernel's own data path maps ports in its own way.
        let by_programs = datapath.is_none_or(Datapath::is_ebpf) && !internal;
        Ok(plan::Network {
            uplink,
            subnet: subnet.as_ref().map(|subnet| whole(subnet, &refuse)).transpose()?,
            subnet6: subnet6.as_ref().map(|subnet| whole(subnet, &refuse)).transpose()?,
            gateway: *gateway,
            ipv4: *ipv4,
            ipv6: *ipv6,
            mtu: *mtu,
            datapath: *datapath,
            nat: nat.or(by_programs.then(Default::default)),
            clamp_mss: *clamp_mss,
            ignore_xfrm: *ignore_xfrm,
            no_icc: *no_icc,
            flows: flows.unwrap_or_default(),
            bridging: bridge.unwrap_or_default(),
            allow_networks: allow_networks.iter().map(|other| other.get_ref().clone()).collect(),
            kept: *keep,
            dns: *dns,
            multicast: *multicast,
            source: Sources { v4: *source, v6: *source6 },
        })
    }

    /// What a file says of a network that is desired. What is usual is left out.
    pub(crate) fn said(network: &plan::Network) -> Self {
        let plan::Network {
            uplink,
            subnet,
            subnet6,
            gateway,
            ipv4,
            ipv6,
            mtu,
            datapath,
            nat,
            clamp_mss,
            ignore_xfrm,
            no_icc,
            flows,
            bridging,
            allow_networks,
            kept,
            dns,
            multicast,
            source,
        } = network;
        Self {
            uplink: uplink.interface().map(|name| anywhere(name.into())),
            internal: *uplink == UplinkChoice::None,
            subnet: subnet.map(anywhere),
            gateway: *gateway,
            ipv4: ipv4.filter(|ipv4| *ipv4 == Ipv4::Off),
            ipv6: *ipv6,
            subnet6: subnet6.map(anywhere),
            mtu: *mtu,
            datapath: *datapath,
            nat: nat.filter(|nat| *nat != Nat::default()),
            clamp_mss: *clamp_mss,
            ignore_xfrm: *ignore_xfrm,
            no_icc: *no_icc,
            flows: Some(*flows).filter(|flows| *flows != Flows::default()),
            bridge: Some(*bridging).filter(|bridging| *bridging != Bridging::default()),
            allow_networks: allow_networks.iter().cloned().map(anywhere).collect(),
            dns: *dns,
            multicast: *multicast,
            keep: *kept,
            source: source.v4,
            source6: source.v6,
        }
    }
}

/// A subnet, written by its first address.
fn whole<T: Copy + Into<IpNet>>(subnet: &Spanned<T>, refuse: &impl Fn(Range<usize>, String) -> Error) -> Result<T> {
    let found: IpNet = (*subnet.get_ref()).into();
    if found == found.trunc() {
        return Ok(*subnet.get_ref());
    }
    let refused = refuse(subnet.span(), format!("{} lies inside of a network", found.addr()));
    Err(refused.remedy(format!("write {:?}", found.trunc().to_string())))
}
