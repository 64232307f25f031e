//! What `fwd trace` takes.

use clap::Args;

use crate::{cli::args::TargetArgs, trace::FlowPattern};

/// Examples below the help.
pub(in crate::cli::commands) const HELP: &str = "\
One line for each packet and hook: when, since its former hook, what it was, and
what became of it: forwarded as which address, delivered to which, left to the
kernel (punted) or dropped for which reason, by which flow.

The programs are replaced by traced ones meanwhile, under traffic and without
losing a packet, and put back at the end. While nobody traces nothing is slower.

Examples:
  fwd trace mynet                    until Ctrl-C
  fwd trace --drops                  what does not get through, and why
  fwd trace --flow 'tcp 10.77.0.2 > 203.0.113.1:443'
  fwd trace --flow 'udp *:53' --count 20 --json
  fwd trace --flow 'tcp * > [2001:db8::1]:443'";

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
