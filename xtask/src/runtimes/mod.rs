//! `./x runtimes`: `--container` with docker, podman and containerd as Debian has them, podman by netavark and with `fwd` in netavark's place, in
//! Debians that are made for it, dockerd with `fwd` as its network driver, and containerd with `fwd` as its CNI plugin; and what else manages a
//! host's network, beside `fwd`.
//!
//! No part of `./x test`: the runtimes are a hundred and fifty megabytes. What they write into files is what the tests of `fwd-container` have.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::{
    setup::{
        self,
        packages::{self, Package, package},
    },
    workspace::{Workspace, run as run_command},
};

/// What is tried, the script that does it as root, with the path of `fwd` and of the directory of the scripts, and what that is told besides.
const SCRIPTS: [(&str, &str, &[&str]); 6] = [
    ("containers", include_str!("runtimes.sh"), &[]),
    ("netavark", include_str!("netavark.sh"), &["plugin"]),
    ("podman", include_str!("netavark.sh"), &["place"]),
    ("docker", include_str!("docker.sh"), &[]),
    (CONTAINERD, include_str!("containerd.sh"), &[]),
    ("managers", include_str!("managers.sh"), &[]),
];

const CONTAINERD: &str = "containerd";
/// Speaks CRI to containerd, as a kubelet does: of the registry of Python.
const CRI_CLIENT: &str = "container-runtime-interface-api==2.0.1";

/// What it takes besides what tests take, and containers of docker and podman.
const NEEDED: [Package; 10] = [
    package("containerd", "ctr", "containers of containerd"),
    package("containernetworking-plugins", "/usr/lib/cni/loopback", "what containerd calls besides for each pod"),
    package("python3-pip", "pip3", "fetches a client of CRI"),
    package("ufw", "ufw", "a firewall by iptables"),
    package("firewalld", "firewalld", "a firewall by nftables"),
    package("network-manager", "NetworkManager", "what configures interfaces that it finds"),
    package("systemd", "networkctl", "systemd-networkd, which configures interfaces that its files match"),
    package("udev", "udevadm", "tells it which are not for it"),
    package("dbus", "dbus-daemon", "by which these are spoken to"),
    package("mmdebstrap", "mmdebstrap", "a Debian with a podman that has plugins"),
];

/// What is to be tried.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Try this alone
    #[arg(value_parser = SCRIPTS.map(|(name, ..)| name))]
    only: Option<String>,
}

/// Installs the programs without starting or enabling a service, builds `fwd`, and has each of them use it, or live beside it.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    let root = setup::as_root(workspace)?;
    packages::require_containers()?;
    packages::require(&NEEDED)?;
    run_command(workspace.cargo("build").args(["--locked", "--quiet", "--package", "forwarder", "--bin", "fwd"]))?;
    let fwd = workspace.target.join("debug/fwd");
    let scripts = workspace.root.join("xtask/src/runtimes");
    let is_asked = |name: &str| arguments.only.as_ref().is_none_or(|only| only == name);
    for (name, script, told) in SCRIPTS.iter().filter(|(name, ..)| is_asked(name)) {
        let client = if *name == CONTAINERD { cri_client(workspace)? } else { PathBuf::new() };
        let mut command = root.command("sh", &[("PYTHONPATH", client.as_os_str())]);
        run_command(command.args(["-c", script, "x-runtimes"]).args([&fwd, &scripts]).args(*told))
            .with_context(|| format!("{name}: it is not as it should be, see above"))?;
    }
    Ok(())
}

/// The directory of the client of CRI, which is fetched the first time.
fn cri_client(workspace: &Workspace) -> Result<PathBuf> {
    let directory = workspace.target.join("runtimes").join(CRI_CLIENT);
    if !directory.exists() {
        let mut pip = workspace.as_builder("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]);
        run_command(pip.arg(&directory).arg(CRI_CLIENT))?;
    }
    Ok(directory)
}
