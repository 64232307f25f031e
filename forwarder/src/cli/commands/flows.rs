//! `fwd flows`.

use crate::{
    Result,
    cli::{args::FlowsArgs, session::Session, target},
    query::{Flows, State, not_up},
    render::FlowView,
};

/// Lists the flows, of one namespace or of all.
pub(in crate::cli) fn run(session: &mut Session<'_, '_>, args: &FlowsArgs) -> Result<()> {
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
