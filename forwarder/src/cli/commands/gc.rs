//! `fwd gc`.

use crate::{
    Result,
    cli::{args::GcArgs, session::Session},
    execute::{self, Collected},
    render::{CollectedView, GcView},
};

/// Removes what is left of hosts that are gone.
pub(in crate::cli) fn run(session: &mut Session<'_, '_>, args: &GcArgs) -> Result<()> {
    let GcArgs {} = args;
    let view = |Collected { cookie, removed, left }| CollectedView { cookie, removed, left };
    let hosts: Vec<_> = execute::gc(&session.context())?.into_iter().map(view).collect();
    session.emit(&GcView { changed: !hosts.is_empty(), hosts })
}
