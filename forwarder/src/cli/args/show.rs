//! Commands that only show something.

use clap::{ArgGroup, Args};

use super::TargetArgs;

/// `fwd ls`.
#[derive(Args, Debug)]
pub(crate) struct LsArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Instead, every host whose pins are in the run directory, also those that are gone
    #[arg(long, conflicts_with_all = ["name", "ns", "pid", "netns"])]
    pub(crate) all_hosts: bool,
}

/// `fwd reload`.
#[derive(Args, Debug)]
pub(crate) struct ReloadArgs {}

/// `fwd features`.
#[derive(Args, Debug)]
pub(crate) struct FeaturesArgs {}

/// `fwd gc`.
#[derive(Args, Debug)]
pub(crate) struct GcArgs {}

/// `fwd inspect`.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("what").required(true).multiple(true).args(["name", "ns", "pid", "netns", "interface"]))]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Interface to look at: of the host, or of the namespace given
    #[arg(long = "if", value_name = "IFNAME")]
    pub(crate) interface: Option<String>,
}

/// `fwd flows`.
#[derive(Args, Debug)]
pub(crate) struct FlowsArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
}

/// `fwd stats`.
#[derive(Args, Debug)]
pub(crate) struct StatsArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Also what never happened
    #[arg(long)]
    pub(crate) all: bool,
    /// What each reason means, and what to do about it
    #[arg(long)]
    pub(crate) explain: bool,
    /// The flow table instead: its use, taken ports, retries in the search for a port
    #[arg(long, conflicts_with_all = ["all", "explain", "name", "ns", "pid", "netns"])]
    pub(crate) nat: bool,
}
