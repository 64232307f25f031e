//! The runtimes.

use serde::{Deserialize, Serialize};

/// Who runs containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Runtime {
    /// docker, or moby.
    Docker,
    /// podman, and CRI-O, which keeps its containers in the same places.
    Podman,
    /// containerd: `ctr`, `nerdctl`, Kubernetes.
    Containerd,
}

impl Runtime {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Docker, Self::Podman, Self::Containerd];

    /// `docker`, `podman` or `containerd`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Containerd => "containerd",
        }
    }
}
