//! `fwd ls`.

use crate::{
    Result,
    cli::{args::LsArgs, session::Session, state::State},
};

/// Lists the endpoints, by network.
pub(in crate::cli) fn run(session: &mut Session<'_, '_>, args: &LsArgs) -> Result<()> {
    let LsArgs {} = args;
    let views = match State::read(session)? {
        Some(state) => state.views()?,
        None => Vec::new(),
    };
    session.emit(&views)
}
