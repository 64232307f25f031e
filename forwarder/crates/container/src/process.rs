//! What /proc says of a process: when it began, and in which cgroups it is.

use std::fs;

/// When the process began, in clock ticks since the machine did; none if there is none with this number, or if it has ended.
pub(crate) fn started(pid: u32) -> Option<u64> {
    parse_started(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Field 22 of /proc/PID/stat (proc_pid_stat(5)), unless field 3 says that it is a zombie or dead. Field 2, the command's name in
/// parentheses, may itself have spaces and parentheses.
fn parse_started(stat: &str) -> Option<u64> {
    const STATE: usize = 3;
    const STARTED: usize = 22;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let started = fields.nth(STARTED - STATE - 1)?;
    if matches!(state, "Z" | "X" | "x") { None } else { started.parse().ok() }
}

/// Whether the process is in a cgroup that is called after the container with this id.
pub(crate) fn is_in_cgroup_of(pid: u32, id: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|cgroups| names(&cgroups, id))
}

/// Whether a directory in these lines of /proc/PID/cgroup (cgroups(7)) is called after the container: `ID`, or as systemd's scopes are,
/// `docker-ID.scope`, `libpod-ID.scope`, `cri-containerd-ID.scope`.
fn names(cgroups: &str, id: &str) -> bool {
    let paths = cgroups.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    let mut directories = paths.flat_map(|path| path.split('/'));
    directories.any(|directory| {
        let name = directory.strip_suffix(".scope").unwrap_or(directory);
        name.strip_suffix(id).is_some_and(|before| before.is_empty() || before.ends_with('-'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line of a process, with that name and in that state.
    fn line(name: &str, state: &str) -> String {
        format!(
            "7 ({name}) {state} 1 7 7 0 -1 4194560 96 0 0 0 0 0 0 0 20 0 1 0 1241287 4399104 1 18446744073709551615 0"
        )
    }

    #[test]
    fn the_beginning_is_read_whatever_the_process_calls_itself() {
        for name in ["sleep", "a b", "x) Z 1 (y", ")", ""] {
            assert_eq!(parse_started(&line(name, "S")), Some(1_241_287), "{name}");
        }
        for state in ["Z", "X"] {
            assert_eq!(parse_started(&line("sleep", state)), None, "it has ended");
        }
        for nonsense in ["", "7", "7 (sleep", "7 (sleep) S 1 2"] {
            assert_eq!(parse_started(nonsense), None);
        }
    }

    #[test]
    fn a_process_that_runs_has_begun_and_one_that_ended_has_not() {
        assert!(started(std::process::id()).is_some());
        assert_eq!(started(0), None);
    }

    #[test]
    fn cgroups_are_told_by_the_whole_id() {
        let of = |path: &str| names(&format!("4:memory:/other\n0::{path}\n"), "c1f2");
        for path in ["/docker/c1f2", "/default/c1f2", "/a.slice/docker-c1f2.scope", "/libpod_parent/libpod-c1f2/init"] {
            assert!(of(path), "{path}");
        }
        for path in ["/", "/docker/c1f2e", "/docker/ac1f2", "/c1f2x/y", "/docker-c1f.scope", "/x:c1f2"] {
            assert!(!of(path), "{path}");
        }
    }
}
