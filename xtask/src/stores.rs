//! `./x stores`: what the flow table costs, and what the alternatives would.

use std::os::unix::process::CommandExt as _;

use anyhow::{Context as _, Result};

use crate::{
    root::Root,
    setup,
    workspace::{Workspace, run as run_command},
};

/// Builds `fwd-stores` and becomes it.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let root = Root::obtain()?;
    setup::linker::ensure(workspace)?;
    run_command(workspace.cargo("build").args(["--locked", "--release", "--quiet", "--bin", "fwd-stores"]))?;
    let program = workspace.target.join("release/fwd-stores");
    let error = root.command(&program, &[]).args(arguments).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}
