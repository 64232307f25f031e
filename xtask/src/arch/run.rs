//! Programs of another processor on this machine, by Debian's emulator for that.

use std::{path::PathBuf, process::Command};

use anyhow::Result;

use super::{Arch, apt::Apt};
use crate::workspace::Workspace;

/// What runs the programs of a processor.
pub(crate) enum Runner {
    /// This machine's kernel.
    Kernel,
    /// An emulator, which is linked statically.
    Emulator(PathBuf),
}

impl Runner {
    /// Unpacks the emulator if one is needed and it is not there yet.
    pub(crate) fn get(workspace: &Workspace, arch: Arch) -> Result<Self> {
        if arch.is_native() {
            return Ok(Self::Kernel);
        }
        let root = workspace.target.join("debian/qemu-user");
        if !root.exists() {
            Apt::at(workspace, Arch::NATIVE)?.unpack(&["qemu-user"], &root)?;
        }
        Ok(Self::Emulator(root.join(format!("usr/bin/qemu-{}", arch.name()))))
    }

    /// A program, to be run as the user who builds.
    pub(crate) fn run(&self, workspace: &Workspace, program: &std::path::Path) -> Command {
        match self {
            Self::Kernel => workspace.as_builder(program),
            Self::Emulator(emulator) => {
                let mut command = workspace.as_builder(emulator);
                command.arg(program);
                command
            }
        }
    }
}
