//! What a network is to be: for `fwd up`, which makes one that is missing, and `fwd network add`; and what the words mean.

use std::{fmt, str::FromStr};

use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};

use ipnet::IpNet;

use super::{choice, defaults, parsed, told_apart};
use crate::{
    Error, Kind, Result,
    reconcile::{Bridging, Datapath, Flows, Ipv4, Ipv6, Nat, Network, UplinkChoice},
};

/// What a network is to be.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Network (as it is made; one that is there must be so)")]
pub(crate) struct NetworkArgs {
    /// Interface to the outside; without it, the default route's
    #[arg(long, value_name = "IFACE")]
    pub(crate) uplink: Option<String>,
    /// Addresses of the network, gateway first [default: a free /24, of 10.77.0.0/16
    /// if it can be; it has room for 253 namespaces]
    #[arg(long, value_name = "CIDR")]
    pub(crate) subnet: Option<String>,
    /// Address of the gateway [default: the first of the subnet]
    #[arg(long, value_name = "ADDR")]
    pub(crate) gateway: Option<String>,
    #[arg(long, value_name = "KIND", default_value = AUTO, value_parser = ipv4())]
    #[arg(help = format!("IPv4 of the network; auto: on; {}", told_apart(&Ipv4::ALL, Ipv4::name, Ipv4::what)))]
    pub(crate) ipv4: Ipv4Arg,
    #[arg(long, value_name = "KIND", default_value = AUTO, value_parser = ipv6())]
    #[arg(help = format!("IPv6 of the network; auto: masquerade where an IPv6 default route leaves by the uplink, and without IPv4; {}", told_apart(&Ipv6::ALL, Ipv6::name, Ipv6::what)))]
    pub(crate) ipv6: Ipv6Arg,
    /// Addresses of IPv6, a /64 or longer [default: a free /64 of the host's own
    /// unique local prefix]
    #[arg(long, value_name = "CIDR")]
    pub(crate) subnet6: Option<String>,
    /// Largest packet, bytes [default: the uplink's]
    #[arg(long, value_name = "N")]
    pub(crate) mtu: Option<u32>,
    #[arg(long, value_name = "KIND", default_value = AUTO, value_parser = datapath())]
    #[arg(help = format!("What forwards packets; auto: the best; {}", told_apart(&Datapath::ALL, Datapath::name, Datapath::what)))]
    pub(crate) datapath: DatapathArg,
    #[arg(long, value_name = "KIND", value_parser = choice(&Nat::ALL, Nat::name))]
    #[arg(help = defaults::told(&format!("How the network maps ports; {}", told_apart(&Nat::ALL, Nat::name, Nat::what)), defaults::nat()))]
    pub(crate) nat: Option<Nat>,
    /// Lower the MSS of the network's TCP connections to what the path carries
    #[arg(long)]
    pub(crate) clamp_mss: bool,
    /// Let the programs send past the host's policies of IPsec (`ip xfrm policy`)
    #[arg(long)]
    pub(crate) ignore_xfrm: bool,
    /// Make the network one that nothing leaves: no uplink, no default route inside
    #[arg(long, conflicts_with = "uplink")]
    pub(crate) internal: bool,
    /// Keep the network's namespaces from reaching each other; gateway and way out stay
    #[arg(long)]
    pub(crate) no_icc: bool,
    #[arg(long, value_name = "KIND", value_parser = choice(&Flows::ALL, Flows::name))]
    #[arg(help = defaults::told(&format!("Of what there are flows; {}", told_apart(&Flows::ALL, Flows::name, Flows::what)), Flows::default().name()))]
    pub(crate) flows: Option<Flows>,
    #[arg(long, value_name = "KIND", value_parser = choice(&Bridging::ALL, Bridging::name))]
    #[arg(help = defaults::told(&format!("The network's bridge; {}", told_apart(&Bridging::ALL, Bridging::name, Bridging::what)), Bridging::default().name()))]
    pub(crate) bridge: Option<Bridging>,
    /// Make the network one with a name server at its gateway: namespaces find one another by
    /// NAME and NAME.NETWORK, and what is outside as the host does
    #[arg(long)]
    pub(crate) dns: bool,
    /// Let multicast pass between the network and its uplink: names (mDNS), services (SSDP),
    /// and groups that are routed
    #[arg(long)]
    pub(crate) multicast: bool,
}

impl NetworkArgs {
    /// What the words ask for. Which networks may reach it, and whether it stays, is for the command to say.
    ///
    /// # Errors
    /// [`Kind::Usage`] with option and value.
    pub(crate) fn asked(&self) -> Result<Network> {
        let Self {
            uplink,
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
            internal,
            no_icc,
            flows,
            bridge,
            dns,
            multicast,
        } = self;
        let gateway = gateway.as_deref();
        Ok(Network {
            uplink: UplinkChoice::of(uplink.clone(), *internal)?,
            subnet: subnet.as_deref().map(|text| whole("--subnet", text, "10.0.0.0/24")).transpose()?,
            subnet6: subnet6.as_deref().map(|text| whole("--subnet6", text, "fd00:77::/64")).transpose()?,
            gateway: gateway.map(|text| parsed("--gateway", text, "an IPv4 address such as 10.0.0.254")).transpose()?,
            ipv4: ipv4.0,
            ipv6: ipv6.0,
            mtu: *mtu,
            datapath: datapath.0,
            nat: *nat,
            clamp_mss: *clamp_mss,
            ignore_xfrm: *ignore_xfrm,
            no_icc: *no_icc,
            flows: flows.unwrap_or_default(),
            bridging: bridge.unwrap_or_default(),
            dns: *dns,
            multicast: *multicast,
            ..Network::default()
        })
    }
}

/// A subnet, written by its first address.
fn whole<T: Copy + FromStr<Err: fmt::Display> + Into<IpNet>>(option: &str, text: &str, example: &str) -> Result<T> {
    let subnet: T = parsed(option, text, &format!("a network such as {example}"))?;
    let found: IpNet = subnet.into();
    if found == found.trunc() {
        return Ok(subnet);
    }
    let why = format!("{} lies inside of a network", found.addr());
    Err(Error::new(Kind::Usage, "use", format!("{option} {text}"), why).remedy(format!("{option} {}", found.trunc())))
}

/// What this host has.
const AUTO: &str = "auto";

/// `--datapath`: none for `auto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DatapathArg(pub(crate) Option<Datapath>);

/// `--ipv4`: none for `auto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ipv4Arg(pub(crate) Option<Ipv4>);

/// `--ipv6`: none for `auto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ipv6Arg(pub(crate) Option<Ipv6>);

fn ipv4() -> impl TypedValueParser<Value = Ipv4Arg> {
    let words = std::iter::once(AUTO).chain(Ipv4::ALL.map(Ipv4::name));
    PossibleValuesParser::new(words).map(|word| Ipv4Arg(Ipv4::ALL.into_iter().find(|ipv4| ipv4.name() == word)))
}

fn ipv6() -> impl TypedValueParser<Value = Ipv6Arg> {
    let words = std::iter::once(AUTO).chain(Ipv6::ALL.map(Ipv6::name));
    PossibleValuesParser::new(words).map(|word| Ipv6Arg(Ipv6::ALL.into_iter().find(|ipv6| ipv6.name() == word)))
}

fn datapath() -> impl TypedValueParser<Value = DatapathArg> {
    let words = std::iter::once(AUTO).chain(Datapath::ALL.map(Datapath::name));
    PossibleValuesParser::new(words)
        .map(|word| DatapathArg(Datapath::ALL.into_iter().find(|datapath| datapath.name() == word)))
}
