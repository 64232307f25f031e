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
packet is lost. Where the maps have changed too, records are written in their new
form. What would be lost is named, and nothing changed; flows that have changed
end with --end-flows. The programs that ran before stay in the kernel, one
generation of them: --rollback puts them back in the same way, with the maps that
they had.

Examples:
  fwd inspect mynet --json | jq .programs    are they this fwd's?
  fwd reload
  fwd reload --rollback                      as it was before the last reload";

/// `fwd reload`.
#[derive(Args, Debug)]
pub(crate) struct ReloadArgs {
    /// Bring the programs back that ran before the last reload
    #[arg(long, conflicts_with = "end_flows")]
    rollback: bool,
    /// End all flows where another version lays them out otherwise: otherwise that is refused
    #[arg(long)]
    end_flows: bool,
}

/// Replaces the programs by those of this build.
pub(super) fn run(session: &mut Session<'_, '_>, args: &ReloadArgs) -> Result<()> {
    let ReloadArgs { rollback, end_flows } = *args;
    let context = session.context();
    let done = if rollback { execute::roll_back(&context)? } else { execute::reload(&context, end_flows)? };
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
