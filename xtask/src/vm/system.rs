//! The programs that are there in a machine: those of this host, or where they are for another processor, of a Debian of the machine's own.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::programs::Programs;
use crate::{
    arch::{Arch, apt::Apt},
    setup::packages,
};

/// What a Debian has besides the programs of packages.txt, and what these depend on.
const BASE: [&str; 10] = [
    "base-files",
    "base-passwd",
    "bash",
    "busybox-static",
    "coreutils",
    "dash",
    "findutils",
    "grep",
    "sed",
    "util-linux",
];

/// Whose programs they are.
pub(super) enum System {
    Host,
    /// Those of packages that are unpacked below this directory. None of them was installed, so none of their scripts has run.
    Unpacked(PathBuf),
}

impl System {
    /// Unpacks what is needed at `root` if it is not there yet.
    pub(super) fn get(apt: &Apt<'_>, root: PathBuf, arch: Arch) -> Result<Self> {
        if arch.is_native() {
            return Ok(Self::Host);
        }
        if !root.exists() {
            let packages: Vec<&str> = BASE.into_iter().chain(packages::names_of_programs()).collect();
            apt.unpack_with_dependencies(&packages, &root)?;
        }
        Ok(Self::Unpacked(root))
    }

    /// Where they are, if not with all other files of the host.
    pub(super) fn root(&self) -> Option<&Path> {
        match self {
            Self::Host => None,
            Self::Unpacked(root) => Some(root),
        }
    }

    /// Busybox as it runs in the machine.
    pub(super) fn busybox_file(&self, programs: &Programs) -> PathBuf {
        self.root().map_or_else(|| programs.busybox_file(), |root| root.join("usr/bin/busybox"))
    }
}
