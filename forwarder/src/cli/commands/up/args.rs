//! What `fwd up` takes.

use clap::Args;

use crate::cli::args::{EndpointArgs, NetworkArgs, TargetArgs, defaults, one_of_them};

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
    #[command(flatten)]
    pub(crate) endpoint: EndpointArgs,
    /// Print the operations and their equivalent commands; change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    // Last: their headings go on to the end.
    #[command(flatten)]
    pub(crate) options: NetworkArgs,
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
