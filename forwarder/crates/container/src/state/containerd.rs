//! What containerd notes: a directory for each task that runs, by namespace and id, with the number of its first process and its OCI
//! configuration (runtime/v2/bundle.go, and `WritePidFile` of the shim).

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;

use super::{ContainerState, docker::CONTAINERD_NAMESPACE as DOCKERS, files::Files, oci};
use crate::Runtime;

/// State directories: its own, docker's, and that of k3s.
const STATES: [&str; 3] = ["/run/containerd", "/run/docker/containerd/daemon", "/run/k3s/containerd"];
/// The plugin below them that runs tasks.
const TASKS: &str = "io.containerd.runtime.v2.task";
/// Where runc keeps the states of its tasks.
const OCI: &str = "/run/containerd/runc";

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

pub(super) fn read(files: &mut Files) -> Vec<ContainerState> {
    let mut containers = Vec::new();
    for state in STATES {
        let tasks = Path::new(state).join(TASKS);
        // Those of docker are known by docker's own names.
        for namespace in files.directories(&tasks).into_iter().filter(|namespace| namespace != DOCKERS) {
            let directory = tasks.join(&namespace);
            for id in files.directories(&directory) {
                containers.push(noted(files, &directory.join(&id), &namespace, id));
            }
        }
    }
    containers
}

fn noted(files: &mut Files, task: &Path, namespace: &str, id: String) -> ContainerState {
    let pid = files.number(&task.join("init.pid"));
    let started = pid.and_then(|pid| oci::started(files, &Path::new(OCI).join(namespace).join(&id), pid));
    let config: Option<Config> = files.json(&task.join("config.json"));
    let names = config.and_then(|config| name(&config.annotations)).into_iter().collect();
    ContainerState { runtime: Runtime::Containerd, namespace: Some(namespace.into()), id, names, pid, started }
}

/// What people call it: nerdctl's name, or of a pod's sandbox that of the pod, whose containers are all in its network namespace
/// (containerd's pkg/cri/annotations).
fn name(annotations: &BTreeMap<String, String>) -> Option<String> {
    let is_sandbox = annotations.get("io.kubernetes.cri.container-type").is_some_and(|kind| kind == "sandbox");
    let pod = annotations.get("io.kubernetes.cri.sandbox-name").filter(|_| is_sandbox);
    annotations.get("nerdctl/name").or(pod).cloned()
}
