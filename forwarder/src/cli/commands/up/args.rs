//! What `fwd up` takes.

use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};

use crate::{
    cli::args::{TargetArgs, choice, defaults, one_of, told_apart},
    dataplane::Backend,
    reconcile::{Datapath, Ipv6, Nat},
};

/// Examples below the help.
pub(in crate::cli::commands) const HELP: &str = "\
Examples:
  fwd up --ns mynet                           through the default route's interface
  fwd up --ns mynet --uplink eth0 --dry-run   only show what would be done
  fwd up --ns web --network web --subnet 10.0.0.0/24
  fwd up --ns web -p 8080:80 -p 53:53/udp     publish ports of the host
  fwd up --pid 4711                           attach a running container
  fwd up --ns old --datapath kernel           bridge and nftables, to compare";

/// `fwd up`.
#[derive(Args, Debug)]
#[command(group = one_of(["name", "ns", "pid", "netns"]))]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Interface to the outside; without it, the default route's
    #[arg(long, value_name = "IFACE")]
    pub(crate) uplink: Option<String>,
    /// Addresses of the network, gateway first [default: a free /24, of 10.77.0.0/16
    /// if it can be; it has room for 253 namespaces]
    #[arg(long, value_name = "CIDR")]
    pub(crate) subnet: Option<String>,
    #[arg(long, value_name = "KIND", default_value = AUTO, value_parser = ipv6())]
    #[arg(help = format!("IPv6 of the network; auto: masquerade where an IPv6 default route leaves by the uplink; {}", told_apart(&Ipv6::ALL, Ipv6::name, Ipv6::what)))]
    pub(crate) ipv6: Ipv6Arg,
    /// Addresses of IPv6, a /64 or longer [default: a free /64 of the host's own
    /// unique local prefix]
    #[arg(long, value_name = "CIDR")]
    pub(crate) subnet6: Option<String>,
    /// Address of the namespace [default: the next free one]
    #[arg(long, value_name = "ADDR")]
    pub(crate) ip: Option<String>,
    #[arg(long, value_name = "NAME")]
    #[arg(help = defaults::told("Network to join, made if missing; names its bridge", defaults::NETWORK))]
    pub(crate) network: Option<String>,
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
    /// Set no default route inside
    #[arg(long)]
    pub(crate) no_default_route: bool,
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
    #[arg(long, value_name = "KIND", value_parser = choice(&Backend::ALL, Backend::name))]
    #[arg(help = defaults::told("How the program is attached to the host-side veth: tcx is faster for \
        packets, clsact for up and down; given for a namespace that is up, it changes over", defaults::attach()))]
    pub(crate) attach: Option<Backend>,
    /// Ports of the host that lead to the namespace: [HOSTIP:]PORT[-END]:PORT[-END][/tcp|udp],
    /// such as 8080:80; several times for several
    #[arg(short = 'p', long, value_name = "PORTS")]
    pub(crate) publish: Vec<String>,
    /// Print the operations and their equivalent commands; change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    // Last: its heading goes on to the end.
    #[command(flatten)]
    pub(crate) table: TableArgs,
}

/// The flow table: shared by all networks of the host.
#[derive(Args, Debug)]
#[command(next_help_heading = "Flow table of the host (set by the first up, until the last down)")]
pub(crate) struct TableArgs {
    #[arg(long, value_name = "A-B")]
    #[arg(help = defaults::told("Ports of the uplink's address to appear behind", defaults::nat_ports()))]
    pub(crate) nat_ports: Option<String>,
    #[arg(long, value_name = "N")]
    #[arg(help = defaults::told("Flows that may be established at once; decides the memory", defaults::max_flows()))]
    pub(crate) max_flows: Option<String>,
    /// The same for one namespace [default: half of --max-flows]
    #[arg(long, value_name = "N")]
    pub(crate) max_flows_per_ns: Option<String>,
    /// Idle time that ends a flow, such as tcp-established=2h4m or udp-half-open=90s
    #[arg(long = "timeout", value_name = "NAME=TIME")]
    pub(crate) timeouts: Vec<String>,
}

/// What this host has.
const AUTO: &str = "auto";

/// `--datapath`: none for `auto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DatapathArg(pub(crate) Option<Datapath>);

/// `--ipv6`: none for `auto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ipv6Arg(pub(crate) Option<Ipv6>);

fn ipv6() -> impl TypedValueParser<Value = Ipv6Arg> {
    let words = std::iter::once(AUTO).chain(Ipv6::ALL.map(Ipv6::name));
    PossibleValuesParser::new(words).map(|word| Ipv6Arg(Ipv6::ALL.into_iter().find(|ipv6| ipv6.name() == word)))
}

fn datapath() -> impl TypedValueParser<Value = DatapathArg> {
    let words = std::iter::once(AUTO).chain(Datapath::ALL.map(Datapath::name));
    PossibleValuesParser::new(words)
        .map(|word| DatapathArg(Datapath::ALL.into_iter().find(|datapath| datapath.name() == word)))
}
