//! `./x runtimes`: `--container` with docker, podman and containerd as Debian has them, and dockerd with `fwd` as its network driver.
//!
//! No part of `./x test`: the runtimes are a hundred and fifty megabytes. What they write into files is what the tests of `fwd-container` have.

use anyhow::{Context as _, Result};

use crate::{
    setup::{
        self,
        packages::{self, Package},
    },
    workspace::{Workspace, run as run_command},
};

/// Run as root, with the path of `fwd`, each with what it means if it fails.
const SCRIPTS: [(&str, &str); 2] = [
    (include_str!("runtimes.sh"), "containers are not found as they should be, see above"),
    (include_str!("docker.sh"), "dockerd does not do with fwd what it should, see above"),
];

const fn package(name: &'static str, command: &'static str, reason: &'static str) -> Package {
    Package { name, command, reason }
}

/// What it takes besides what tests take.
const NEEDED: [Package; 5] = [
    package("docker.io", "dockerd", "containers of docker"),
    package("podman", "podman", "containers of podman"),
    package("containerd", "ctr", "containers of containerd"),
    package("runc", "runc", "the OCI runtime of all three"),
    package("busybox-static", "busybox", "what is in the containers"),
];

/// Installs the runtimes without starting a service, builds `fwd`, has it find and attach containers of each, and has dockerd ask it for networks.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let root = setup::as_root(workspace)?;
    packages::require(&NEEDED)?;
    run_command(workspace.cargo("build").args(["--locked", "--quiet", "--package", "forwarder", "--bin", "fwd"]))?;
    let fwd = workspace.target.join("debug/fwd");
    SCRIPTS.into_iter().try_for_each(|(script, failed)| {
        run_command(root.command("sh", &[]).args(["-c", script, "x-runtimes"]).arg(&fwd)).context(failed)
    })
}
