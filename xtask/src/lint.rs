//! `./x lint`: clippy for the host crates and, with its own target, for the BPF crate.

use anyhow::Result;

use crate::{
    setup,
    workspace::{Workspace, run as run_command},
};

/// Both halves; warnings are errors.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    setup::linker::ensure(workspace)?;
    host(workspace)?;
    bpf(workspace)
}

/// The crates that run on the host, with their tests.
pub(crate) fn host(workspace: &Workspace) -> Result<()> {
    run_command(workspace.cargo("clippy").args(["--locked", "--all-targets", "--", "-D", "warnings"]))
}

/// The eBPF programs, with the flags and in the target directory of forwarder/crates/dataplane/build.rs: the same code is seen, and the
/// macros are compiled once.
pub(crate) fn bpf(workspace: &Workspace) -> Result<()> {
    bpf_with(workspace, "")?;
    bpf_with(workspace, "trace")
}

fn bpf_with(workspace: &Workspace, features: &str) -> Result<()> {
    let flags =
        [format!("--cfg=bpf_target_arch=\"{}\"", std::env::consts::ARCH), "-Ctarget-cpu=v3".into()].join("\x1f");
    let mut clippy = workspace.cargo("clippy");
    clippy
        .args(["--locked", "--release", "--package", "forwarder-ebpf", "--target", "bpfel-unknown-none"])
        .args(["--features", features])
        .args(["-Zbuild-std=core", "--target-dir"])
        .arg(workspace.target.join("ebpf"))
        .args(["--", "-D", "warnings"])
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags);
    run_command(&mut clippy)
}
