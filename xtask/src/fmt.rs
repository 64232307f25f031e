//! `./x fmt`: rustfmt for every crate.

use std::ffi::OsString;

use anyhow::Result;

use crate::workspace::{Workspace, run as run_command};

/// Formats the sources; `--check` only says what differs.
pub(crate) fn run(workspace: &Workspace, arguments: &[OsString]) -> Result<()> {
    run_command(workspace.cargo("fmt").args(["--all", "--"]).args(arguments))
}
