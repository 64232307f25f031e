//! `fwd reload`.

use clap::Args;

use crate::{
    Result,
    cli::session::Session,
    dataplane::{Programs, Reloaded},
    execute,
    render::{ProgramsView, ReloadView},
};

/// Examples below the help.
pub(super) const HELP: &str = "\
After an upgrade the programs in the kernel are still those of the former fwd.
Each is replaced in one step, and flows, counters and connections go on: no
packet is lost. Where the maps have changed too, it refuses and changes nothing;
then `fwd down --all`, and `fwd up` for each namespace. The programs that ran
before stay in the kernel, one generation of them: --rollback puts them back in
the same way, and keeps the others in their turn.

Examples:
  fwd inspect mynet --json | jq .programs    are they this fwd's?
  fwd reload
  fwd reload --rollback                      as it was before the last reload";

/// `fwd reload`.
#[derive(Args, Debug)]
pub(crate) struct ReloadArgs {
    /// Bring the programs back that ran before the last reload
    #[arg(long)]
    rollback: bool,
}

/// Replaces the programs by those of this build.
pub(super) fn run(session: &mut Session<'_, '_>, args: &ReloadArgs) -> Result<()> {
    let ReloadArgs { rollback } = *args;
    let context = session.context();
    let done = if rollback { execute::roll_back(&context)? } else { execute::reload(&context)? };
    let Reloaded { before, after, replaced } = done;
    session.emit(&ReloadView {
        changed: replaced > 0,
        rolled_back: rollback,
        replaced,
        before: view(before),
        after: view(after),
    })
}

/// Programs as they are shown.
pub(super) fn view(programs: Programs) -> ProgramsView {
    let Programs { tag, object, current, traced, former } = programs;
    let traced_by = traced.filter(|by| by.alive).map(|by| by.pid);
    let (tag, object) = (format!("{tag:016x}"), format!("{object:016x}"));
    let former = former.map(|build| format!("{build:016x}"));
    ProgramsView { tag, object, current, traced: traced.is_some(), traced_by, former }
}
