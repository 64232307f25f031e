//! `fwd ls`.

use super::nat;
use crate::{
    Result,
    cli::{
        args::LsArgs,
        session::Session,
        state::{State, not_up},
        target,
    },
    render::LsView,
};

/// Lists the endpoints, by network.
pub(in crate::cli) fn run(session: &mut Session<'_, '_>, args: &LsArgs) -> Result<()> {
    let target = target::given(&args.target)?;
    let view = match (State::read(session)?, target) {
        (Some(mut state), target) => {
            if let Some(target) = target {
                state.endpoints = state.of(&target)?;
            }
            let endpoints = state.endpoints.clone();
            state.count_flows(&endpoints)?;
            LsView { endpoints: state.views()?, nat: nat::view(&state.plane, &state.occupancy)? }
        }
        (None, Some(target)) => return Err(not_up(&target, None)),
        (None, None) => LsView { endpoints: Vec::new(), nat: None },
    };
    session.emit(&view)
}
