//! `fwd trace`.

use clap::Args;

use super::TargetArgs;
use crate::trace::FlowPattern;

/// `fwd trace`.
#[derive(Args, Debug)]
pub(crate) struct TraceArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Only a flow, such as "tcp 10.77.0.2:1234 > 203.0.113.1:443", in either direction; any part may be *
    #[arg(long, value_name = "TUPLE")]
    pub(crate) flow: Option<FlowPattern>,
    /// Only what is dropped, or left to the kernel for a reason
    #[arg(long)]
    pub(crate) drops: bool,
    /// End after so many lines
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
}
