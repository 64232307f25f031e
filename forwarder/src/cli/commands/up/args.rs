//! What `fwd up` takes.

use clap::Args;

use crate::{
    cli::args::{NetworkArgs, TargetArgs, choice, defaults, one_of_them},
    dataplane::Backend,
};

/// Examples below the help.
pub(in crate::cli::commands) const HELP: &str = "\
Examples:
  fwd up --ns mynet                           through the default route's interface
  fwd up --ns mynet --uplink eth0 --dry-run   only show what would be done
  fwd up --ns web --network web --subnet 10.0.0.0/24
  fwd up --ns web -p 8080:80 -p 53:53/udp     publish ports of the host
  fwd up --ns web --dns --alias www           find namespaces by name
  fwd up --ns web --network db --ifname eth1  a second interface, in another network
  fwd up --container web --ifname eth1        attach a running container, besides what it has
  fwd up --ns old --datapath kernel           bridge and nftables, to compare";

/// `fwd up`.
#[derive(Args, Debug)]
#[command(group = one_of_them())]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
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
    /// Answer at the uplink for the address of --source, which the host does not have
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
    /// Print the operations and their equivalent commands; change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    // Last: their headings go on to the end.
    #[command(flatten)]
    pub(crate) options: NetworkArgs,
    #[command(flatten)]
    pub(crate) table: TableArgs,
}

/// Whom the namespace speaks with.
#[derive(Args, Debug)]
pub(crate) struct PolicyArgs {
    /// Let the namespace begin conversations with these, and with no others that no rule
    /// is about: CIDR[:PORT[-PORT]][/PROTO], such as 10.0.0.0/8:443/tcp, [fd00::/8]:443 or
    /// any:53; several times for several, the most specific counts; given for a namespace
    /// that is up, its rules are these from then on, or none
    #[arg(long, value_name = "RULE")]
    pub(crate) allow_out: Vec<String>,
    /// Let it begin none with these
    #[arg(long, value_name = "RULE")]
    pub(crate) deny_out: Vec<String>,
    /// Let these, and no others that no rule is about, begin conversations with it: of its
    /// network, and by published ports; the port is the one inside
    #[arg(long, value_name = "RULE")]
    pub(crate) allow_in: Vec<String>,
    /// Let these begin none with it
    #[arg(long, value_name = "RULE")]
    pub(crate) deny_in: Vec<String>,
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
