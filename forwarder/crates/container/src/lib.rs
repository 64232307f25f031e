//! Containers by id or name: which process is the first of one, out of what docker, podman and containerd note in files.
//!
//! No daemon is asked: it may be the one that waits for this very command, in a hook or a plugin's call. What the files say may be old
//! (a machine that crashed, a runtime that was killed), so a process is taken for a container's only if it began when the runtime says
//! that it did, or is in the container's cgroup.

mod choose;
mod container;
mod process;
mod runtime;
mod state;

use std::{collections::BTreeMap, path::Path};

pub use container::{Container, FirstProcess};
pub use runtime::Runtime;

use fwd_base::Result;

/// The container that is called `asked`: by its name, its id, or the beginning of its id; before it may stand the runtime
/// (`docker:web`), and of containerd the namespace, too (`containerd:k8s.io/1f2e`). `root` is where the runtimes' files are: `/`.
///
/// One that does not run is found, too: [`Container::open`] says so.
///
/// # Errors
/// [`NotFound`](fwd_base::Kind::NotFound) if there is none, [`Usage`](fwd_base::Kind::Usage) if there are several; they are named.
pub fn find(root: &Path, asked: &str) -> Result<Container> {
    let known = state::read(root);
    choose::choose(&known, asked).map(Container::of)
}

/// The containers that run, as the runtimes note them below `root`.
#[must_use]
pub fn running(root: &Path) -> Vec<Container> {
    let known = state::read(root).containers;
    known.iter().map(Container::of).filter(|container| container.process.is_some()).collect()
}

/// Ids of docker's containers, by the paths of their network namespaces (`/var/run/docker/netns/0123456789ab`): of those that docker has noted
/// below `root`, which it does a moment after they have begun to run.
#[must_use]
pub fn docker_sandboxes(root: &Path) -> BTreeMap<String, String> {
    state::docker_sandboxes(root)
}

#[cfg(test)]
mod tests;
