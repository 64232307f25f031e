//! `fwd ls`.

use super::nat;
use crate::{
    Result,
    cli::{args::LsArgs, session::Session, state::State},
    render::LsView,
};

/// Lists the endpoints, by network.
pub(in crate::cli) fn run(session: &mut Session<'_, '_>, args: &LsArgs) -> Result<()> {
    let LsArgs {} = args;
    let view = match State::read(session)? {
        Some(mut state) => {
            let endpoints = state.endpoints.clone();
            state.count_flows(&endpoints)?;
            LsView { endpoints: state.views()?, nat: nat::view(&state.plane, &state.occupancy)? }
        }
        None => LsView { endpoints: Vec::new(), nat: None },
    };
    session.emit(&view)
}
