//! `./x build`: one binary with the eBPF object inside.

use std::ffi::OsString;

use anyhow::Result;

use crate::{
    setup, term,
    workspace::{Workspace, run as run_command},
};

/// Builds `target/release/fwd` and says where it is.
pub(crate) fn run(workspace: &Workspace, arguments: &[OsString]) -> Result<()> {
    setup::linker::ensure(workspace)?;
    run_command(workspace.cargo("build").args(["--locked", "--release"]).args(arguments))?;
    println!("{} {}", term::out().green("✓"), workspace.target.join("release/fwd").display());
    Ok(())
}
