//! `fwd reload`.

use crate::{
    Result,
    cli::{args::ReloadArgs, session::Session},
    dataplane::{Programs, Reloaded},
    execute,
    render::{ProgramsView, ReloadView},
};

/// Replaces the programs by those of this build.
pub(in crate::cli) fn run(session: &mut Session<'_, '_>, args: &ReloadArgs) -> Result<()> {
    let ReloadArgs {} = args;
    let Reloaded { before, after, replaced } = execute::reload(&session.context())?;
    session.emit(&ReloadView { changed: replaced > 0, replaced, before: view(before), after: view(after) })
}

/// Programs as they are shown.
pub(super) fn view(programs: Programs) -> ProgramsView {
    let Programs { tag, object, current, traced } = programs;
    let traced_by = traced.filter(|by| by.alive).map(|by| by.pid);
    let (tag, object) = (format!("{tag:016x}"), format!("{object:016x}"));
    ProgramsView { tag, object, current, traced: traced.is_some(), traced_by }
}
