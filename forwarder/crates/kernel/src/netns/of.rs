//! In which network namespace a process is, and who is there with it.

use serde::Serialize;

use super::{
    Netns,
    list::Names,
    processes::{Process, Processes},
};
use fwd_base::Result;

/// The network namespace of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Membership {
    /// The process asked about.
    pub process: Process,
    /// The inode number of its network namespace.
    pub inode: u64,
    /// The names of the namespace, as in [`Listed`](super::Listed).
    pub names: Vec<String>,
    /// It is the namespace that plays the host.
    pub is_host: bool,
    /// The other processes inside, by id.
    pub shared_with: Vec<Process>,
    /// Whether the namespace of every process of the machine is known: otherwise more may share it.
    pub complete: bool,
}

/// Tells in which network namespace the process `pid` is.
///
/// # Errors
/// [`Kind::NotFound`](fwd_base::Kind::NotFound) if there is no such process, [`Kind::Unsupported`](fwd_base::Kind::Unsupported)
/// if the caller may not examine it; if /proc cannot be read.
pub fn of_pid(pid: u32, host: &Netns) -> Result<Membership> {
    let all = Processes::read()?;
    let inode = match all.inode_of(pid) {
        Some(inode) => inode,
        None => Netns::open_pid(pid)?.inode()?,
    };
    let others = all.inside(inode).iter().filter(|other| **other != pid);
    Ok(Membership {
        process: Process::of(pid),
        inode,
        names: Names::read()?.of(inode),
        is_host: inode == host.inode()?,
        shared_with: others.map(|other| Process::of(*other)).collect(),
        complete: all.complete,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fwd_base::Kind;

    #[test]
    fn a_child_shares_the_namespace_of_its_parent() {
        let host = Netns::current().expect("/proc is mounted");
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep runs");
        let found = of_pid(child.id(), &host);
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        let found = found.expect("it ran");
        assert_eq!(found.process.pid, child.id());
        assert_eq!(found.inode, host.inode().expect("it is open"));
        assert!(found.is_host);
        assert!(found.shared_with.iter().any(|process| process.pid == std::process::id()));
        assert!(found.shared_with.iter().all(|process| process.pid != child.id()));
    }

    #[test]
    fn a_process_that_does_not_exist_is_not_found() {
        let host = Netns::current().expect("/proc is mounted");
        assert_eq!(of_pid(0, &host).expect_err("no process has this id").kind, Kind::NotFound);
    }
}
