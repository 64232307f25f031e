//! `./x docs`: writes the parts of the pages that repeat what the code declares. A unit test compares them.

use anyhow::Result;

use crate::{
    setup,
    workspace::{Workspace, run as run_command},
};

/// Builds the program that knows the declarations, and lets it write.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    setup::linker::ensure(workspace)?;
    let root = &workspace.root;
    run_command(
        workspace.cargo("run").args(["--locked", "--quiet", "--package", "forwarder", "--bin", "fwd-docs"]).arg(root),
    )
}
