//! `./x demo`: fwd at work on a sandboxed host.

use std::{ffi::OsString, os::unix::process::CommandExt as _};

use anyhow::{Context as _, Result};

use crate::{
    setup::{self, packages},
    workspace::{Workspace, run as run_command},
};

/// Installs and builds what is missing, then becomes `fwd-demo`, so that it alone hears Ctrl-C and cleans up.
pub(crate) fn run(workspace: &Workspace, arguments: &[OsString]) -> Result<()> {
    let root = setup::as_root(workspace)?;
    // It tells what it cannot show for want of one of them, and shows the rest.
    if packages::require_containers().is_err() {
        eprintln!("x: not everything that runs containers can be installed here: the demo goes on with what there is");
    }
    run_command(workspace.cargo("build").args(["--locked", "--release", "--quiet"]))?;
    let demo = workspace.target.join("release/fwd-demo");
    let fwd = workspace.target.join("release/fwd");
    let error = root.command(&demo, &[("FWD_BIN", fwd.as_os_str())]).args(arguments).exec();
    Err(error).with_context(|| format!("cannot run {}", demo.display()))
}
