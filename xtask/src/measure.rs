//! `./x stores`, `./x packets`, …: measurements, each a program of its own.

use std::{ffi::OsString, os::unix::process::CommandExt as _};

use anyhow::{Context as _, Result};

use crate::{
    root::Root,
    setup,
    workspace::{Workspace, run as run_command},
};

/// What the flow table costs, and what the alternatives would.
pub(crate) fn stores(workspace: &Workspace, arguments: &[OsString]) -> Result<()> {
    become_program(workspace, "fwd-stores", arguments)
}

/// What the programs take for a packet of each kind.
pub(crate) fn packets(workspace: &Workspace, arguments: &[OsString]) -> Result<()> {
    become_program(workspace, "fwd-packets", arguments)
}

/// What the uplink's hooks cost the host's own traffic.
pub(crate) fn host_cost(workspace: &Workspace, arguments: &[OsString]) -> Result<()> {
    become_program(workspace, "fwd-host-cost", arguments)
}

/// How long one `apply` takes for a thousand namespaces.
pub(crate) fn thousand(workspace: &Workspace, arguments: &[OsString]) -> Result<()> {
    become_program(workspace, "fwd-thousand", arguments)
}

/// Whether what endpoints send and get is what their limits say.
pub(crate) fn rates(workspace: &Workspace, arguments: &[OsString]) -> Result<()> {
    // iperf3 is a package.
    setup::as_root(workspace)?;
    become_program(workspace, "fwd-rates", arguments)
}

/// Whether our own load and other programs say the same about the same paths.
pub(crate) fn bench_check(workspace: &Workspace, arguments: &[OsString]) -> Result<()> {
    // The other programs are packages.
    setup::as_root(workspace)?;
    become_program(workspace, "fwd-bench-check", arguments)
}

/// Builds one of our programs, optimised.
pub(crate) fn build(workspace: &Workspace, name: &str) -> Result<()> {
    run_command(workspace.cargo("build").args(["--locked", "--release", "--quiet", "--bin", name]))
}

/// Builds a program and becomes it.
pub(crate) fn become_program(workspace: &Workspace, name: &str, arguments: &[OsString]) -> Result<()> {
    let root = Root::obtain()?;
    setup::linker::ensure(workspace)?;
    build(workspace, name)?;
    let program = workspace.target.join("release").join(name);
    let error = root.command(&program, &[]).args(arguments).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}
