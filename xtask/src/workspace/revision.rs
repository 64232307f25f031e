//! The program of another commit of this repository.

use std::{fs, path::PathBuf, process::Stdio};

use anyhow::{Context as _, Result, bail};

use super::{Workspace, capture, run as run_command};

/// Below the target directory: checkouts of other commits, and what is built of them.
const DIRECTORY: &str = "against";

/// The `fwd` of another commit. It is built once.
pub(crate) fn built(workspace: &Workspace, rev: &str) -> Result<PathBuf> {
    let name = format!("{rev}^{{commit}}");
    let commit = capture(workspace.as_builder("git").args(["rev-parse", "--verify", "--short=12", &name]))
        .with_context(|| format!("{rev} is no commit of this repository"))?;
    let here = workspace.target.join(DIRECTORY);
    let program = here.join(format!("fwd-{}", commit.trim()));
    if program.is_file() {
        return Ok(program);
    }
    let copy = workspace.at(checked_out(workspace, commit.trim())?);
    let build = copy.target.join(DIRECTORY).join("build");
    let mut cargo = copy.cargo("build");
    cargo.args(["--locked", "--release", "--quiet", "--package", "forwarder", "--bin", "fwd"]);
    cargo.env("CARGO_TARGET_DIR", &build).env("BPF_LINKER", workspace.tools().join("bin/bpf-linker"));
    run_command(&mut cargo).with_context(|| format!("{rev} cannot be built"))?;
    run_command(workspace.as_builder("cp").arg(build.join("release/fwd")).arg(&program))?;
    Ok(program)
}

/// The files of a commit, without a repository: nothing is left in ours.
fn checked_out(workspace: &Workspace, commit: &str) -> Result<PathBuf> {
    let copy = workspace.target.join(DIRECTORY).join(commit);
    run_command(workspace.as_builder("rm").arg("-rf").arg(&copy))?;
    run_command(workspace.as_builder("mkdir").arg("-p").arg(&copy))?;
    let mut archive = workspace.as_builder("git");
    let mut archive =
        archive.args(["archive", commit]).stdout(Stdio::piped()).spawn().context("cannot run git archive")?;
    let files = archive.stdout.take().context("git archive gives nothing")?;
    // As new as the checkout, not as the commit: what was built of another one would be taken for newer than these files.
    run_command(workspace.as_builder("tar").args(["-x", "--touch", "-C"]).arg(&copy).stdin(files))?;
    let status = archive.wait().context("cannot wait for git archive")?;
    if !status.success() {
        bail!("git archive {commit} failed ({status})");
    }
    fs::metadata(copy.join("Cargo.lock")).with_context(|| format!("{commit} is no commit of fwd"))?;
    Ok(copy)
}
