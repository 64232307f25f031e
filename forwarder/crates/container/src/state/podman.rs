//! What podman notes: a list of containers for each storage driver (containers/storage, containers.go), and a pid file for each
//! container that runs, or did (libpod's `PidFile`, which conmon writes). CRI-O uses the same places.

use std::path::Path;

use serde::Deserialize;

use super::{ContainerState, files::Files, oci};
use crate::Runtime;

/// Where the storage is that lasts, and that which goes with the machine; each has a directory for each driver.
const GRAPH_ROOT: &str = "/var/lib/containers/storage";
/// See above.
const RUN_ROOT: &str = "/run/containers/storage";
/// What directories of drivers end in: `overlay-containers`.
const OF_A_DRIVER: &str = "-containers";
/// Where OCI runtimes that podman starts keep states.
const OCI: [&str; 2] = ["/run/crun", "/run/runc"];

#[derive(Deserialize)]
struct Listed {
    id: String,
    names: Option<Vec<String>>,
}

pub(super) fn read(files: &mut Files) -> Vec<ContainerState> {
    let (graph, run) = (Path::new(GRAPH_ROOT), Path::new(RUN_ROOT));
    let mut containers = Vec::new();
    for driver in files.directories(graph).into_iter().filter(|name| name.ends_with(OF_A_DRIVER)) {
        let (lasting, passing) = (graph.join(&driver), run.join(&driver));
        // Those of `podman run --rm` are volatile; older versions list them beside the others.
        let lists = [&lasting.join("containers.json"), &lasting.join(VOLATILE), &passing.join(VOLATILE)];
        for list in lists {
            let listed: Vec<Listed> = files.json(list).unwrap_or_default();
            for listed in listed {
                let container = noted(files, &passing, listed);
                if containers.iter().all(|it: &ContainerState| it.id != container.id) {
                    containers.push(container);
                }
            }
        }
    }
    containers
}

/// The list of containers that do not outlive a crash of the machine.
const VOLATILE: &str = "volatile-containers.json";

fn noted(files: &mut Files, run: &Path, Listed { id, names }: Listed) -> ContainerState {
    let pid = files.number(&run.join(&id).join("userdata/pidfile"));
    let started = pid.and_then(|pid| OCI.iter().find_map(|oci| oci::started(files, &Path::new(oci).join(&id), pid)));
    ContainerState { runtime: Runtime::Podman, namespace: None, id, names: names.unwrap_or_default(), pid, started }
}
