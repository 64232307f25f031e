//! Where `fwd` keeps its pins and locks.

use std::path::{Path, PathBuf};

/// The directory of everything that outlives a command: `/run/fwd` unless `--run-dir` or `FWD_RUN_DIR` says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDir(PathBuf);

impl RunDir {
    /// `/run/fwd`.
    pub const DEFAULT: &'static str = "/run/fwd";

    /// A directory of the user's choice; created when it is needed.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where the bpffs is mounted.
    #[must_use]
    pub fn bpffs(&self) -> PathBuf {
        self.0.join("bpf")
    }

    /// The pins of the host namespace with `cookie`.
    #[must_use]
    pub fn of(&self, cookie: u64) -> PathBuf {
        self.bpffs().join(cookie.to_string())
    }

    /// The undo logs of the hosts since the machine was started with this boot id.
    #[must_use]
    pub fn undo(&self, boot: &str) -> PathBuf {
        self.0.join(format!("undo-{boot}"))
    }

    /// The lock of the host namespace with `cookie`.
    #[must_use]
    pub fn lock(&self, cookie: u64) -> PathBuf {
        self.0.join(format!("{cookie}.lock"))
    }
}

impl Default for RunDir {
    fn default() -> Self {
        Self::new(Self::DEFAULT)
    }
}
