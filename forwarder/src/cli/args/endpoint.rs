//! What an endpoint is to be, for `fwd up`; and what the words mean.

mod policy;
mod ports;
mod rate;

use clap::Args;

use self::policy::PolicyArgs;
use super::{choice, defaults, parsed, sources};
use crate::{
    Result,
    dataplane::Backend,
    netns::Name,
    reconcile::{EndpointOptions, UpRequest},
};

pub(crate) use self::ports::parsed_ports;

/// What an endpoint is to be, and where.
#[derive(Args, Clone, Debug)]
pub(crate) struct EndpointArgs {
    /// Address of the namespace [default: the next free one]
    #[arg(long, value_name = "ADDR")]
    pub(crate) ip: Option<String>,
    #[arg(long, value_name = "NAME")]
    #[arg(help = defaults::told("Network to join, made if missing; names its bridge", defaults::NETWORK))]
    pub(crate) network: Option<String>,
    /// Another name by which the namespace is found where the network has a name server (--dns);
    /// several times for several
    #[arg(long, value_name = "NAME")]
    pub(crate) alias: Vec<String>,
    /// Interface inside: a namespace may have several, each in a network of its own
    /// [default: eth0]
    #[arg(long, value_name = "IFACE")]
    pub(crate) ifname: Option<String>,
    /// Hardware address inside [default: one made of the address]
    #[arg(long, value_name = "MAC")]
    pub(crate) mac: Option<String>,
    /// Metric of the default route inside, where several interfaces have one: the lowest
    /// wins [default: the first interface alone has one]
    #[arg(long, value_name = "N", conflicts_with = "no_default_route", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) metric: Option<u32>,
    /// Route inside besides: CIDR, by the gateway, or CIDR=ROUTER; several times for several
    #[arg(long = "route", value_name = "CIDR[=ROUTER]")]
    pub(crate) routes: Vec<String>,
    /// Set no default route inside
    #[arg(long)]
    pub(crate) no_default_route: bool,
    /// Address of the host behind which its packets appear, or a range of them, which has
    /// more ports [default: the one that the host would take]
    #[arg(long, value_name = "ADDR[-ADDR]")]
    pub(crate) source: Option<String>,
    /// The same of IPv6
    #[arg(long, value_name = "ADDR[-ADDR]")]
    pub(crate) source6: Option<String>,
    /// Answer at the uplink for the addresses of --source and --source6, which the host does not have
    #[arg(long)]
    pub(crate) announce: bool,
    /// Let the namespace send from addresses other than its own
    #[arg(long)]
    pub(crate) allow_spoof: bool,
    /// Bits of IP packets that may leave the namespace in a second, such as 100M, or none;
    /// given for a namespace that is up, it holds from then on
    #[arg(long, value_name = "RATE")]
    pub(crate) rate_out: Option<String>,
    /// The same for what is delivered into it
    #[arg(long, value_name = "RATE")]
    pub(crate) rate_in: Option<String>,
    /// Bytes that may come at once beyond these rates [default: those of 50 ms]
    #[arg(long, value_name = "BYTES")]
    pub(crate) burst: Option<String>,
    #[command(flatten)]
    pub(crate) policy: PolicyArgs,
    #[arg(long, value_name = "KIND", value_parser = choice(&Backend::CHOICES, Backend::name))]
    #[arg(help = defaults::told("How the program is attached to the host-side veth: tcx is faster for \
        packets, clsact for up and down; given for a namespace that is up, it changes over", defaults::attach()))]
    pub(crate) attach: Option<Backend>,
    /// Ports of the host that lead to the namespace: [HOSTIP:]PORT[-END]:PORT[-END][/tcp|udp],
    /// such as 8080:80; several times for several
    #[arg(short = 'p', long, value_name = "PORTS")]
    pub(crate) publish: Vec<String>,
    /// Who may use them: prefixes of addresses, such as 192.0.2.0/24,2001:db8::/32; without it, all
    #[arg(long, value_name = "CIDRS", requires = "publish")]
    pub(crate) publish_from: Option<String>,
}

impl EndpointArgs {
    /// What the words ask for, as a part of `request`.
    ///
    /// # Errors
    /// [`Kind::Usage`](crate::Kind::Usage) with option and value.
    pub(crate) fn asked(&self, request: UpRequest) -> Result<UpRequest> {
        let Self {
            ip,
            network,
            alias,
            ifname,
            mac,
            metric,
            routes,
            no_default_route,
            source,
            source6,
            announce,
            allow_spoof,
            rate_out,
            rate_in,
            burst,
            policy,
            attach,
            publish,
            publish_from,
        } = self;
        let endpoint = EndpointOptions {
            ip: ip.as_deref().map(|ip| parsed("--ip", ip, "an IPv4 address such as 10.77.0.2")).transpose()?,
            mac: mac.as_deref().map(|mac| parsed("--mac", mac, "one such as 02:00:00:00:00:01")).transpose()?,
            aliases: alias.iter().map(|name| parsed("--alias", name, ALIAS)).collect::<Result<_>>()?,
            no_default_route: *no_default_route,
            metric: *metric,
            routes: routes.iter().map(|route| parsed("--route", route, ROUTE)).collect::<Result<_>>()?,
            limits: rate::limits(rate_out.as_deref(), rate_in.as_deref(), burst.as_deref())?,
            policy: policy::rules(policy)?,
            announce: *announce,
            allow_spoof: *allow_spoof,
            source: sources(source.as_deref(), source6.as_deref())?,
            attach: *attach,
            publish: parsed_ports(publish, publish_from.as_deref())?,
            ..EndpointOptions::default()
        };
        let network = network.as_deref().map(|name| Name::of("a network", name)).transpose()?;
        Ok(UpRequest { network, ifname: ifname.clone(), endpoint, ..request })
    }
}

/// How a name is written.
const ALIAS: &str = "a name such as www or db-1";
/// How a route is written.
const ROUTE: &str = "a network, and its router if it is not the gateway: 10.0.0.0/8, or 10.0.0.0/8=10.77.0.5";
