//! `fwd up`.

use clap::{Args, ValueEnum};

use super::{TargetArgs, target::one_of};

/// `fwd up`.
#[derive(Args, Debug)]
#[command(group = one_of(["name", "ns", "pid", "netns"]))]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Interface to the outside; without it, the default route's
    #[arg(long, value_name = "IFACE")]
    pub(crate) uplink: Option<String>,
    /// Addresses of the network, gateway first [default: a free /24 of 10.77.0.0/16]
    #[arg(long, value_name = "CIDR")]
    pub(crate) subnet: Option<String>,
    /// Address of the namespace [default: the next free one]
    #[arg(long, value_name = "ADDR")]
    pub(crate) ip: Option<String>,
    /// Network to join, made if missing; names its bridge [default: fwd0]
    #[arg(long, value_name = "NAME")]
    pub(crate) network: Option<String>,
    /// Largest packet, bytes [default: the uplink's]
    #[arg(long, value_name = "N")]
    pub(crate) mtu: Option<u32>,
    /// What forwards packets: tc is eBPF, kernel is bridge and nftables, auto the best
    #[arg(long, value_name = "KIND", default_value = "auto")]
    pub(crate) datapath: DatapathArg,
    /// Print the operations and their equivalent commands; change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `--datapath`, with plain comments as for the values of the global options.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DatapathArg {
    // The best that this kernel has.
    Auto,
    // eBPF programs at the traffic control hooks.
    Tc,
    // The kernel's bridge, with masquerade by nftables.
    Kernel,
}
