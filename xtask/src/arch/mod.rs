//! Processors that `fwd` is built for, and how this machine builds for another one than its own.

pub(crate) mod apt;
pub(crate) mod run;

use std::process::Command;

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use crate::{
    progress,
    workspace::{Workspace, capture},
};

/// A processor, by Debian's name for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Arch {
    Amd64,
    Arm64,
}

impl Arch {
    /// The one that emulators are made for here.
    pub(crate) const NATIVE: Self = Self::Amd64;

    /// What Rust and the kernel call it, and GNU's triples begin with.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }

    /// Whether it is this machine's own.
    pub(crate) fn is_native(self) -> bool {
        self.name() == std::env::consts::ARCH
    }

    /// What rustc is told to build for, where it is not this machine's own. With musl, all that has to be linked comes with Rust, the linker
    /// too, and what comes out runs wherever there is a kernel.
    pub(crate) fn target(self) -> Option<String> {
        (!self.is_native()).then(|| format!("{}-unknown-linux-musl", self.name()))
    }

    /// A cargo command that builds for this processor.
    pub(crate) fn cargo(self, workspace: &Workspace, subcommand: &str) -> Command {
        let mut cargo = workspace.cargo(subcommand);
        if let Some(target) = self.target() {
            let linker = format!("CARGO_TARGET_{}_LINKER", target.to_uppercase().replace('-', "_"));
            cargo.args(["--target", &target]).env(linker, "rust-lld");
        }
        cargo
    }

    /// Makes sure that Rust's library for this processor is there.
    pub(crate) fn ensure(self, workspace: &Workspace) -> Result<()> {
        let Some(target) = self.target() else { return Ok(()) };
        let toolchain = ["--toolchain", &workspace.toolchain];
        let installed =
            capture(workspace.as_builder("rustup").args(["target", "list", "--installed"]).args(toolchain))?;
        if installed.lines().any(|line| line == target) {
            return Ok(());
        }
        let mut add = workspace.as_builder("rustup");
        add.args(["target", "add", &target]).args(toolchain);
        progress::run(&format!("installing Rust's library for {target}"), &mut add)
            .context("rustup cannot install it, see above")
    }
}

impl std::fmt::Display for Arch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::Arch;

    #[test]
    fn all_but_one_are_built_for_with_what_comes_with_rust() {
        let targets: Vec<String> = Arch::value_variants().iter().filter_map(|arch| arch.target()).collect();
        assert_eq!(targets.len(), Arch::value_variants().len() - 1);
        assert!(targets.iter().all(|target| target.ends_with("-musl")), "{targets:?}");
    }
}
