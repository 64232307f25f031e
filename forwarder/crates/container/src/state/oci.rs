//! The states of OCI runtimes: runc's `state.json` (libcontainer/container_linux.go, `BaseState`), crun's `status` (libcrun/status.c).

use std::path::Path;

use serde::Deserialize;

use super::files::Files;

#[derive(Deserialize)]
struct RuncState {
    init_process_pid: u32,
    init_process_start: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct CrunStatus {
    pid: u32,
    process_start_time: Option<u64>,
}

/// When the process `pid` of a container began, in clock ticks since the machine did, by the state that its OCI runtime keeps in a
/// directory.
pub(super) fn started(files: &mut Files, directory: &Path, pid: u32) -> Option<u64> {
    let runc = files.json(&directory.join("state.json"));
    let runc = runc.map(|RuncState { init_process_pid, init_process_start }| (init_process_pid, init_process_start));
    let found = runc.or_else(|| {
        let CrunStatus { pid, process_start_time } = files.json(&directory.join("status"))?;
        Some((pid, process_start_time?))
    });
    found.filter(|(noted, _)| *noted == pid).map(|(_, started)| started)
}
