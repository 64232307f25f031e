//! cargo-deb, which makes the package.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::{
    progress,
    workspace::{Workspace, capture, run},
};

const VERSION: &str = "3.8.0";

/// Where it is installed.
pub(super) fn program(workspace: &Workspace) -> PathBuf {
    workspace.tools().join("bin/cargo-deb")
}

/// Makes sure that it is there; builds it (some minutes) where it is not.
pub(super) fn ensure(workspace: &Workspace) -> Result<()> {
    let version = capture(workspace.as_builder(program(workspace)).arg("--version"));
    if version.is_ok_and(|version| version.split_whitespace().any(|word| word == VERSION)) {
        return Ok(());
    }
    let built = workspace.target.join("cargo-deb");
    let mut install = workspace.cargo("install");
    // It runs for a moment: what would make it fast costs more.
    install
        .args(["cargo-deb", "--version", VERSION, "--locked", "--force"])
        .args(["--no-default-features", "--features", "lzma"])
        .args(["--config", "profile.release.opt-level=1", "--config", "profile.release.lto=false"])
        .arg("--target-dir")
        .arg(&built)
        .arg("--root")
        .arg(workspace.tools());
    progress::run(&format!("building cargo-deb {VERSION} (once, some minutes)"), &mut install)
        .context("cargo cannot install cargo-deb, see above")?;
    run(workspace.as_builder("rm").arg("-rf").arg(built))
}
