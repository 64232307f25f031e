//! What runtimes note in files, of which root alone can write any.

mod containerd;
mod docker;
mod files;
mod oci;
mod podman;

use std::{collections::BTreeMap, path::Path};

use self::files::Files;
use crate::Runtime;

/// What a runtime notes of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContainerState {
    /// Who runs it.
    pub(crate) runtime: Runtime,
    /// The namespace of containerd that it is in.
    pub(crate) namespace: Option<String>,
    /// Its id.
    pub(crate) id: String,
    /// What it may be called besides, the usual first.
    pub(crate) names: Vec<String>,
    /// The number of its first process, if it runs, or did when that was written.
    pub(crate) pid: Option<u32>,
    /// When that process began, in clock ticks since the machine did; none if nobody notes it.
    pub(crate) started: Option<u64>,
}

/// All that is noted.
#[derive(Debug, Default)]
pub(crate) struct RuntimeStates {
    /// The containers, those of docker first.
    pub(crate) containers: Vec<ContainerState>,
    /// What is there and cannot be read: which file, and why.
    pub(crate) unreadable: Vec<String>,
}

/// Ids of docker's containers, by the paths of their network namespaces, as far as that is noted below `root`.
pub(crate) fn docker_sandboxes(root: &Path) -> BTreeMap<String, String> {
    docker::sandboxes(&mut Files::below(root))
}

/// Reads what is noted below `root`. What goes meanwhile is left out.
pub(crate) fn read(root: &Path) -> RuntimeStates {
    let mut files = Files::below(root);
    let mut containers = docker::read(&mut files);
    containers.extend(podman::read(&mut files));
    containers.extend(containerd::read(&mut files));
    RuntimeStates { containers, unreadable: files.unreadable }
}
