//! `fwd plan`.

use clap::Args;

use super::apply;
use crate::{
    Result,
    cli::{
        args::DeclaredArgs,
        session::{Session, steps},
    },
    config,
    execute::{self, PlannedWhole},
    reconcile::partly,
    render::ChangesView,
};

/// Examples below the help.
pub(super) const HELP: &str = "\
Examples:
  fwd plan -f network.toml                   what `fwd apply` would make of what is up
  fwd plan -f network.toml --json | jq .changes
  fwd plan --prune                           what is in no file of /etc/fwd would go";

/// `fwd plan`.
#[derive(Args, Debug)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) declared: DeclaredArgs,
}

/// Shows what it would take to make what files say.
pub(super) fn run(session: &mut Session<'_, '_>, args: &PlanArgs) -> Result<()> {
    let PlanArgs { declared: DeclaredArgs { files, prune } } = args;
    let desired = config::desired(&files.read()?)?;
    let PlannedWhole { changes, planned } = execute::dry_apply(&session.context(), &desired, &apply::scope(*prune))?;
    session.warn(&planned.warnings)?;
    let undone = partly("plan", &changes, &[]);
    let changes = changes.into_iter().map(apply::view).collect();
    session.emit(&ChangesView { changes, steps: steps(planned.steps) })?;
    undone.map_or(Ok(()), Err)
}
