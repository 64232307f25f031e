//! Programs of the host reach published ports by the host's own addresses.

use std::{fmt, path::PathBuf};

use super::super::{Acts, Handling, Managed};
use crate::Actual;
use fwd_base::text::word;

/// The programs at a cgroup, by which its processes in the host's namespace reach published ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostAccess {
    /// Directory of the cgroup; empty where it is not known any more.
    pub path: PathBuf,
    /// Its number, the inode of that directory: of no other one while the machine is up.
    pub id: u64,
}

/// What the programs are asked about, as bpftool calls it.
const ATTACHED: [&str; 8] =
    ["getpeername6", "recvmsg6", "sendmsg6", "connect6", "getpeername4", "recvmsg4", "sendmsg4", "connect4"];

impl Managed for HostAccess {
    fn handling(&self) -> Handling {
        Handling::new("attach", "detach", Acts::OnPins).in_steps()
    }

    fn is_there(&self, actual: &Actual) -> bool {
        actual.records.host_cgroup == Some(self.id)
    }

    fn equivalent(&self, make: bool, pins: &str) -> Vec<String> {
        if !make {
            return vec![format!("rm {pins}/links/host_*")];
        }
        let path = word(&self.path.display().to_string());
        let line = |what: &&str| format!("bpftool cgroup attach {path} {what} pinned {pins}/progs/host_{what}");
        ATTACHED.iter().map(line).collect()
    }
}

impl fmt::Display for HostAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the programs of the host's own access to published ports, cgroup ")?;
        if self.path.as_os_str().is_empty() { write!(f, "{}", self.id) } else { write!(f, "{}", self.path.display()) }
    }
}
