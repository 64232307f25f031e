//! `./x runtimes`: `--container` with docker, podman and containerd as Debian has them, podman by netavark in a Debian that is made for it, and
//! dockerd with `fwd` as its network driver.
//!
//! No part of `./x test`: the runtimes are a hundred and fifty megabytes. What they write into files is what the tests of `fwd-container` have.

use anyhow::{Context as _, Result};
use clap::Args;

use crate::{
    setup::{
        self,
        packages::{self, Package},
    },
    workspace::{Workspace, run as run_command},
};

/// What is tried, and the script that does it as root, with the path of `fwd`.
const SCRIPTS: [(&str, &str); 3] = [
    ("containers", include_str!("runtimes.sh")),
    ("netavark", include_str!("netavark.sh")),
    ("docker", include_str!("docker.sh")),
];

const fn package(name: &'static str, command: &'static str, reason: &'static str) -> Package {
    Package { name, command, reason }
}

/// What it takes besides what tests take.
const NEEDED: [Package; 6] = [
    package("docker.io", "dockerd", "containers of docker"),
    package("podman", "podman", "containers of podman"),
    package("containerd", "ctr", "containers of containerd"),
    package("runc", "runc", "the OCI runtime of all three"),
    package("busybox-static", "busybox", "what is in the containers"),
    package("mmdebstrap", "mmdebstrap", "a Debian with a podman that has plugins"),
];

/// What is to be tried.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Try this alone
    #[arg(value_parser = SCRIPTS.map(|(name, _)| name))]
    only: Option<String>,
}

/// Installs the runtimes without starting a service, builds `fwd`, and has each of them use it.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    let root = setup::as_root(workspace)?;
    packages::require(&NEEDED)?;
    run_command(workspace.cargo("build").args(["--locked", "--quiet", "--package", "forwarder", "--bin", "fwd"]))?;
    let fwd = workspace.target.join("debug/fwd");
    for (name, script) in SCRIPTS.iter().filter(|(name, _)| arguments.only.as_ref().is_none_or(|only| only == name)) {
        run_command(root.command("sh", &[]).args(["-c", script, "x-runtimes"]).arg(&fwd))
            .with_context(|| format!("{name}: it is not as it should be, see above"))?;
    }
    Ok(())
}
