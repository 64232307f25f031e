//! What docker notes: a directory for each container with a config.v2.json (moby's container/container.go), in a root directory that
//! /etc/docker/daemon.json may move.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{ContainerState, files::Files, oci};
use crate::Runtime;

/// The namespace of containerd in which docker runs its containers.
pub(super) const CONTAINERD_NAMESPACE: &str = "moby";

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Daemon {
    data_root: Option<PathBuf>,
    exec_root: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    /// `/web`.
    name: String,
    state: Running,
    #[serde(default)]
    network_settings: NetworkSettings,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct NetworkSettings {
    /// Where its network namespace is, if it has one: `/var/run/docker/netns/0123456789ab`.
    sandbox_key: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Running {
    running: bool,
    pid: u32,
}

pub(super) fn read(files: &mut Files) -> Vec<ContainerState> {
    let daemon = daemon(files);
    let exec = daemon.exec_root.clone().unwrap_or_else(|| "/run/docker".into());
    configs(files, daemon).into_iter().map(|(id, config)| noted(files, &exec, id, config)).collect()
}

/// Ids of containers, by the paths of their network namespaces.
pub(super) fn sandboxes(files: &mut Files) -> BTreeMap<String, String> {
    let daemon = daemon(files);
    let configs = configs(files, daemon).into_iter().map(|(id, config)| (config.network_settings.sandbox_key, id));
    configs.filter(|(path, _)| !path.is_empty()).collect()
}

fn daemon(files: &mut Files) -> Daemon {
    files.json(Path::new("/etc/docker/daemon.json")).unwrap_or_default()
}

/// What is noted of each container, by its id.
fn configs(files: &mut Files, daemon: Daemon) -> Vec<(String, Config)> {
    let data = daemon.data_root.unwrap_or_else(|| "/var/lib/docker".into());
    // With userns-remap, the root directory is one called UID.GID below it.
    let is_remapped = |name: &String| name.split_once('.').is_some_and(|(uid, gid)| is_number(uid) && is_number(gid));
    let remapped = files.directories(&data).into_iter().filter(is_remapped).map(|name| data.join(name));
    let mut containers = Vec::new();
    for root in [data.clone()].into_iter().chain(remapped.collect::<Vec<_>>()) {
        let directory = root.join("containers");
        for id in files.directories(&directory) {
            let config: Option<Config> = files.json(&directory.join(&id).join("config.v2.json"));
            containers.extend(config.map(|config| (id, config)));
        }
    }
    containers
}

fn noted(
    files: &mut Files,
    exec: &Path,
    id: String,
    Config { name, state: Running { running, pid }, network_settings: _ }: Config,
) -> ContainerState {
    let pid = Some(pid).filter(|pid| running && *pid != 0);
    let started = pid.and_then(|pid| {
        // One for each OCI runtime that was used: runtime-runc, runtime-crun, …
        let runtimes = files.directories(exec).into_iter().filter(|name| name.starts_with("runtime-"));
        let states = runtimes.map(|runtime| exec.join(runtime).join(CONTAINERD_NAMESPACE).join(&id));
        states.collect::<Vec<_>>().iter().find_map(|state| oci::started(files, state, pid))
    });
    let names = vec![name.strip_prefix('/').unwrap_or(&name).to_owned()];
    ContainerState { runtime: Runtime::Docker, namespace: None, id, names, pid, started }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
