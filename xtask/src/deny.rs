//! `./x deny`: cargo-deny over everything that is linked.
//!
//! No part of `./x test`: cargo-deny is a program of two hundred crates of its own, which takes minutes to install, and its database of
//! advisories comes from the network. What must hold of every commit, licences and the registry, `./x tidy` checks from the same lists.

use std::ffi::OsString;

use anyhow::{Result, bail};

use crate::workspace::{Workspace, capture, run as run_command};

/// Licences, registries, versions that are there twice, and advisories; or the checks that are named.
pub(crate) fn run(workspace: &Workspace, arguments: &[OsString]) -> Result<()> {
    if capture(workspace.cargo("deny").arg("--version")).is_err() {
        bail!("cargo-deny is missing: `cargo install --locked cargo-deny` takes some minutes");
    }
    run_command(workspace.cargo("deny").arg("check").args(arguments))
}
