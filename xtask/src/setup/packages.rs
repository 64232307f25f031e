//! The Debian packages of packages.txt.

use anyhow::{Result, bail};

use crate::{progress, root::Root, workspace::on_path};

const LIST: &str = include_str!("../../packages.txt");
/// Those that compile.
const COMPILERS: [&str; 2] = ["musl-tools", "g++"];
/// Runs as root with the packages as arguments.
const SCRIPT: &str = include_str!("apt.sh");

/// What runs containers of docker and podman.
const CONTAINERS: [Package; 4] = [
    package("docker.io", "dockerd", "containers of docker"),
    package("podman", "podman", "containers of podman"),
    package("runc", "runc", "what both start them with"),
    package("busybox-static", "busybox", "what is in the containers"),
];

/// The client of docker: up to Debian 12 it comes with docker.io.
const DOCKER_CLIENT: Package = package("docker-cli", "docker", "commands to docker");

/// A line of packages.txt, or what one command alone needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: &'static str,
    pub(crate) command: &'static str,
    pub(crate) reason: &'static str,
}

/// One that some command alone needs.
pub(crate) const fn package(name: &'static str, command: &'static str, reason: &'static str) -> Package {
    Package { name, command, reason }
}

/// The packages whose command is not to be found.
pub(crate) fn missing() -> Vec<Package> {
    without_command(all())
}

/// Installs those of these packages whose command is not to be found.
pub(crate) fn require(packages: &[Package]) -> Result<()> {
    let missing = without_command(packages.iter().copied());
    if missing.is_empty() { Ok(()) } else { install(&missing, Root::obtain()) }
}

/// Installs what runs containers of docker and podman.
pub(crate) fn require_containers() -> Result<()> {
    require(&CONTAINERS)?;
    // Asked for when docker.io is there, which brings it in some releases, where no package is called so.
    require(&[DOCKER_CLIENT])
}

/// The names of those that have programs to be run; the others are compilers, with what these need.
pub(crate) fn names_of_programs() -> impl Iterator<Item = &'static str> {
    all().filter(|package| !COMPILERS.contains(&package.name)).map(|package| package.name)
}

fn without_command(packages: impl Iterator<Item = Package>) -> Vec<Package> {
    packages.filter(|package| !on_path(package.command)).collect()
}

/// Installs packages without starting or enabling services, or says which of them are missing, and why.
pub(crate) fn install(packages: &[Package], root: Result<Root>) -> Result<()> {
    let why = match root {
        _ if !on_path("apt-get") => "there is no apt-get here: install these commands by hand".to_owned(),
        Err(error) => format!("{error:#}"),
        Ok(root) => {
            let names = packages.iter().map(|package| package.name);
            let title = format!("installing {}", names.clone().collect::<Vec<_>>().join(" "));
            match progress::run(&title, root.command("sh", &[]).args(["-c", SCRIPT, "x-setup"]).args(names)) {
                Ok(()) => "apt-get was content, but the commands are not there".to_owned(),
                Err(_) => "apt-get could not install them, see above".to_owned(),
            }
        }
    };
    let left = without_command(packages.iter().copied());
    if left.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> =
        left.iter().map(|Package { name, command, reason }| format!("\n  {name} ({command}): {reason}")).collect();
    bail!("Debian packages: {why}{}", lines.concat())
}

fn all() -> impl Iterator<Item = Package> {
    LIST.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')).filter_map(|line| {
        let (name, rest) = line.split_once(' ')?;
        let (command, reason) = rest.trim_start().split_once(' ')?;
        Some(Package { name, command, reason: reason.trim() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_names_package_command_and_reason() {
        let lines = LIST.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count();
        assert_eq!(all().count(), lines);
        assert_eq!(names_of_programs().count(), lines - COMPILERS.len());
        for package in all() {
            assert!(!package.command.is_empty() && package.reason.len() > 5, "{package:?}");
        }
    }
}
