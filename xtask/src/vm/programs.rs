//! The emulator and busybox, as Debian builds them, with the libraries that they were built for: they run on any host of this processor.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use crate::{
    arch::{Arch, apt::Apt},
    workspace::Workspace,
};

/// Where libraries are.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// A directory of programs.
pub(super) struct Programs {
    root: PathBuf,
    /// The processor that is emulated.
    arch: Arch,
}

impl Programs {
    /// Unpacks them at `root` if they are not there yet.
    pub(super) fn get(apt: &Apt<'_>, root: PathBuf, arch: Arch) -> Result<Self> {
        let emulator = match arch {
            Arch::Amd64 => "qemu-system-x86",
            Arch::Arm64 => "qemu-system-arm",
        };
        if !root.exists() {
            apt.unpack_with_dependencies(&[emulator, "busybox-static"], &root)?;
        }
        Ok(Self { root, arch })
    }

    /// The processor that is emulated.
    pub(super) fn arch(&self) -> Arch {
        self.arch
    }

    /// Busybox, which is linked statically, to be run.
    pub(super) fn busybox(&self, workspace: &Workspace) -> Command {
        workspace.as_builder(self.busybox_file())
    }

    /// The file of busybox.
    pub(super) fn busybox_file(&self) -> PathBuf {
        self.root.join("usr/bin/busybox")
    }

    /// The emulator, to be run by `runner` with its own libraries.
    pub(super) fn emulator(&self, mut runner: Command) -> Command {
        let libraries = self.root.join(LIBRARIES);
        runner.arg(libraries.join("ld-linux-x86-64.so.2")).arg("--library-path");
        runner.arg(join(&[&libraries, &libraries.join("nss")]));
        runner.arg(self.root.join("usr/bin").join(format!("qemu-system-{}", self.arch.name())));
        for data in ["usr/share/qemu", "usr/share/seabios"] {
            runner.arg("-L").arg(self.root.join(data));
        }
        runner.env("QEMU_MODULE_DIR", libraries.join("qemu"));
        runner
    }
}

fn join(paths: &[&Path]) -> std::ffi::OsString {
    let mut joined = std::ffi::OsString::new();
    for (index, path) in paths.iter().enumerate() {
        joined.push(if index == 0 { "" } else { ":" });
        joined.push(path);
    }
    joined
}
