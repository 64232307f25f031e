//! `fwd flows`.

use clap::Args;

use crate::{
    Result,
    cli::{args::TargetArgs, session::Session, target},
    query::{Flows, State, not_up},
    render::FlowView,
};

/// Examples below the help.
pub(super) const HELP: &str = "\
tx is namespace → outside, rx is outside → namespace. Bytes are IP bytes,
packets are counted as on the wire. RTT is the round trip of a TCP handshake.

Examples:
  fwd flows
  fwd flows --ns mynet --json | jq 'map(.tx_bytes) | add'";

/// `fwd flows`.
#[derive(Args, Debug)]
pub(crate) struct FlowsArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
}

/// Lists the flows, of one namespace or of all.
pub(super) fn run(session: &mut Session<'_, '_>, args: &FlowsArgs) -> Result<()> {
    let target = target::given(&args.target)?;
    let Some(state) = State::records(&session.at)? else {
        return match target {
            Some(target) => Err(not_up(&target, None)),
            None => session.emit(&Vec::<FlowView>::new()),
        };
    };
    let flows = Flows::read(&state, target.as_ref())?;
    session.emit_each(flows.all(), &|flow| flows.view(flow))
}
