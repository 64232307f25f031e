//! `./x bench --against REV`: this checkout and another commit in turn, pair by pair.

use std::ffi::OsString;

use anyhow::Result;

use crate::{
    measure,
    root::Root,
    setup,
    workspace::{Workspace, revision, run as run_command},
};

/// Builds both, and measures them; `passed` are arguments of `fwd-bench-against`.
pub(super) fn run(workspace: &Workspace, rev: &str, passed: &[OsString]) -> Result<()> {
    let root = Root::obtain()?;
    setup::linker::ensure(workspace)?;
    let before = revision::built(workspace, rev)?;
    measure::build(workspace, "fwd")?;
    measure::build(workspace, "fwd-bench-against")?;
    let release = workspace.target.join("release");
    run_command(root.command(release.join("fwd-bench-against"), &[]).arg(before).arg(release.join("fwd")).args(passed))
}
