//! `fwd gc`.

use clap::Args;

use crate::{
    Result,
    cli::session::Session,
    execute::{self, Collected},
    render::{CollectedView, GcView},
};

/// Examples below the help.
pub(super) const HELP: &str = "\
A host here is a network namespace in which `fwd up` was run, such as one given
by --host-netns. What it had pinned is removed by the next command of any host,
once it is gone; this does it at once, and deletes namespaces that `up` had made
for it and that have nothing inside.

Examples:
  fwd ls --all-hosts     which there are, and which are gone
  fwd gc";

/// `fwd gc`.
#[derive(Args, Debug)]
pub(crate) struct GcArgs {}

/// Removes what is left of hosts that are gone.
pub(super) fn run(session: &mut Session<'_, '_>, args: &GcArgs) -> Result<()> {
    let GcArgs {} = args;
    let view = |Collected { cookie, removed, left }| CollectedView { cookie, removed, left };
    let hosts: Vec<_> = execute::gc(&session.context())?.into_iter().map(view).collect();
    session.emit(&GcView { changed: !hosts.is_empty(), hosts })
}
