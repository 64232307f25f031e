//! `./x package --check`: the package in a fresh Debian, used as the README says.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail};

use crate::{
    progress,
    root::Root,
    setup::packages::{self, Package, package},
    workspace::Workspace,
};

/// Runs as root, with the package and the commands.
const SCRIPT: &str = include_str!("check.sh");
/// What the script needs of this machine.
const NEEDED: Package = package("mmdebstrap", "mmdebstrap", "the fresh Debian that the package is installed in");
/// Under which heading of the README the first commands are.
const HEADING: &str = "## On a real uplink";

/// Installs the package in a Debian of its own and types the README's first commands there.
pub(super) fn run(workspace: &Workspace, package: &Path) -> Result<()> {
    let root = Root::obtain()?;
    packages::require(&[NEEDED])?;
    let readme = fs::read_to_string(workspace.root.join("README.md")).context("cannot read README.md")?;
    let commands = first_commands(&readme);
    if commands.is_empty() {
        bail!("README.md has no commands below {HEADING:?}");
    }
    let mut check = root.command("sh", &[]);
    check.args(["-c", SCRIPT, "x-package"]).arg(package).arg(commands.join("\n")).arg(workspace.shared_script());
    progress::run("installing the package in a fresh Debian, and using it (some minutes)", &mut check)
        .context("the package does not work, see above")
}

/// The commands of the first block below the heading, without their comments.
fn first_commands(readme: &str) -> Vec<&str> {
    let below = readme.split_once(HEADING).map_or("", |(_, below)| below);
    let block = below.split("```").nth(1).unwrap_or_default();
    block.lines().map(|line| line.split(" #").next().unwrap_or(line).trim()).filter(|line| !line.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_has_first_commands_that_begin_with_up_and_end_with_down() {
        let commands = first_commands(include_str!("../../../README.md"));
        assert!(commands.len() > 5 && commands.iter().all(|command| command.starts_with("fwd ")), "{commands:?}");
        assert!(commands[0].starts_with("fwd up") && commands[commands.len() - 1].starts_with("fwd down"));
        assert!(commands.iter().all(|command| !command.contains('#')), "{commands:?}");
    }
}
