//! Which process is in which network namespace, by /proc.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::MetadataExt,
};

use serde::Serialize;

use super::failed;
use fwd_base::Result;

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Process {
    /// Its id, as seen by the caller.
    pub pid: u32,
    /// Its command name, at most 15 bytes (proc_pid_comm(5)), which it chooses itself; empty if it has ended meanwhile.
    pub comm: String,
}

impl Process {
    pub(crate) fn of(pid: u32) -> Self {
        let comm = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
        Self { pid, comm: name(&comm) }
    }
}

/// The name without its newline, as the process chose it.
fn name(comm: &[u8]) -> String {
    String::from_utf8_lossy(comm.strip_suffix(b"\n").unwrap_or(comm)).into_owned()
}

/// The processes of the machine by the inode of their network namespace.
///
/// A process counts where its main thread is. Zombies are in no namespace any more.
#[derive(Debug, Default)]
pub(super) struct Processes {
    /// Ascending process ids.
    pub(super) by_inode: BTreeMap<u64, Vec<u32>>,
    /// The namespace of every process could be told, so that the numbers are exact.
    pub(super) complete: bool,
}

impl Processes {
    /// Reads all of /proc once. Processes that come and go meanwhile may be missed.
    pub(super) fn read() -> Result<Self> {
        let mut all = Self { by_inode: BTreeMap::new(), complete: true };
        let mut hidden = Vec::new();
        let entries = fs::read_dir("/proc").map_err(|error| failed("read", "/proc", error))?;
        for entry in entries {
            let entry = entry.map_err(|error| failed("read", "/proc", error))?;
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            match inode_of(pid) {
                Ok(Some(inode)) => all.by_inode.entry(inode).or_default().push(pid),
                Ok(None) => {}
                // The process has privileges that the caller lacks (ptrace(2), access mode checking).
                Err(_) => hidden.push(pid),
            }
        }
        all.place(&hidden);
        all.by_inode.values_mut().for_each(|pids| pids.sort_unstable());
        Ok(all)
    }

    /// Finds the namespaces of processes whose own links are hidden, by that of a process whose link is not.
    fn place(&mut self, hidden: &[u32]) {
        if hidden.is_empty() {
            return;
        }
        let known: BTreeMap<u64, u64> = self
            .by_inode
            .iter()
            .filter_map(|(inode, pids)| Some((pids.iter().find_map(|pid| mark_of(*pid).ok())?, *inode)))
            .collect();
        for pid in hidden {
            match mark_of(*pid).map(|mark| known.get(&mark)) {
                Ok(Some(inode)) => self.by_inode.entry(*inode).or_default().push(*pid),
                Err(error) if has_ended(&error) => {}
                Ok(None) | Err(_) => self.complete = false,
            }
        }
    }

    /// The inode of the namespace of process `pid`, if it was seen and its namespace could be told.
    pub(super) fn inode_of(&self, pid: u32) -> Option<u64> {
        self.by_inode.iter().find(|(_, pids)| pids.contains(&pid)).map(|(inode, _)| *inode)
    }

    /// The processes in the namespace, by ascending id.
    pub(super) fn inside(&self, inode: u64) -> &[u32] {
        self.by_inode.get(&inode).map_or(&[], Vec::as_slice)
    }
}

/// The inodes of the namespaces that processes are in, as far as the caller sees processes.
///
/// # Errors
/// /proc cannot be read.
pub fn inhabited() -> Result<BTreeSet<u64>> {
    Ok(Processes::read()?.by_inode.into_keys().collect())
}

/// The inode of the process's network namespace; `None` if the process has ended.
fn inode_of(pid: u32) -> io::Result<Option<u64>> {
    match fs::read_link(format!("/proc/{pid}/ns/net")) {
        Ok(link) => Ok(link.to_str().and_then(parse_inode)),
        Err(error) if has_ended(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A number that the processes of one network namespace have in common: /proc/PID/net is a directory of the namespace
/// (fs/proc/proc_net.c), and everyone may look at it.
fn mark_of(pid: u32) -> io::Result<u64> {
    fs::metadata(format!("/proc/{pid}/net/dev")).map(|metadata| metadata.ino())
}

/// What /proc answers about a process that has ended or is a zombie.
fn has_ended(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || matches!(error.raw_os_error(), Some(libc::ESRCH | libc::EINVAL))
}

/// The inode number in `net:[4026531840]`, as links below /proc/PID/ns and mountinfo show it.
pub(super) fn parse_inode(link: &str) -> Option<u64> {
    link.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inode_is_read_from_a_link() {
        assert_eq!(parse_inode("net:[4026531840]"), Some(4_026_531_840));
        for other in ["mnt:[4026531840]", "net:[]", "net:[1", "", "/"] {
            assert_eq!(parse_inode(other), None, "{other:?}");
        }
    }

    #[test]
    fn this_process_is_in_its_own_namespace() {
        let own = std::process::id();
        let inode = inode_of(own).expect("/proc is mounted").expect("this process runs");
        let all = Processes::read().expect("/proc is mounted");
        assert!(all.inside(inode).contains(&own));
        assert!(all.inside(inode).is_sorted());
        assert_eq!((all.inode_of(own), all.inode_of(0)), (Some(inode), None));
        assert_eq!(all.inside(0), [0_u32; 0]);
        assert!(!Process::of(own).comm.is_empty());
    }

    #[test]
    fn a_hidden_process_is_placed_beside_one_that_is_not() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep runs");
        let own = std::process::id();
        let mut all = Processes { by_inode: BTreeMap::from([(1, vec![own])]), complete: true };
        all.place(&[child.id()]);
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        assert_eq!((all.inside(1), all.complete), (&[own, child.id()][..], true));
        all.place(&[child.id()]);
        assert!(all.complete, "a process that has ended is in no namespace");
        let mut nothing_known = Processes { by_inode: BTreeMap::new(), complete: true };
        nothing_known.place(&[own]);
        assert!(!nothing_known.complete);
    }

    #[test]
    fn a_command_name_is_taken_as_it_is() {
        assert_eq!(name(b"sleep\n"), "sleep");
        assert_eq!(name(b"\x1b[31mx\n\n"), "\x1b[31mx\n");
    }
}
