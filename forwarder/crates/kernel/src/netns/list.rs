//! Every network namespace that can be found: by name, by process and by mount.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use nix::net::if_::if_nameindex;
use serde::Serialize;

use super::{
    DIRECTORY, Name, Netns, failed, mounts, named,
    processes::{Process, Processes, parse_inode},
};
use fwd_base::Result;

/// A network namespace of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Its inode number, as `lsns` and `ls -l /proc/PID/ns/net` show it.
    pub inode: u64,
    /// Its names under /run/netns, then the paths of other files that it is bound to; both sorted, often none.
    pub names: Vec<String>,
    /// How many processes it has; `None` if some process cannot be told to be inside or not.
    pub processes: Option<usize>,
    /// The process with the lowest id among those inside.
    pub example: Option<Process>,
    /// The interfaces inside, by index; `None` if they cannot be read.
    pub interfaces: Option<Vec<String>>,
    /// It is the one that plays the host.
    pub is_host: bool,
    /// The caller is in it.
    pub is_caller: bool,
}

impl Listed {
    /// Whether it has a name under /run/netns, and not only paths.
    #[must_use]
    pub fn is_named(&self) -> bool {
        self.names.first().is_some_and(|name| !is_path(name))
    }
}

/// The namespaces that have a name, as [`list_all`] describes them, sorted by name (the host's first).
///
/// # Errors
/// If /proc cannot be read.
pub fn list_named(host: &Netns, caller: &Netns) -> Result<Vec<Listed>> {
    let mut all = list_all(host, caller)?;
    all.retain(Listed::is_named);
    Ok(all)
}

/// Every network namespace with a process, a name or a mount, once: the host's first, then by name, then by inode.
///
/// Out of reach are those that only an open file or socket keeps alive, or a mount in another mount namespace.
///
/// # Errors
/// If /proc cannot be read.
pub fn list_all(host: &Netns, caller: &Netns) -> Result<Vec<Listed>> {
    let (host_inode, caller_inode) = (host.inode()?, caller.inode()?);
    let processes = Processes::read()?;
    let names = Names::read()?;
    let inodes: BTreeSet<u64> = [host_inode, caller_inode]
        .into_iter()
        .chain(processes.by_inode.keys().copied())
        .chain(names.by_inode.keys().copied())
        .collect();
    let mut listed: Vec<Listed> = inodes
        .into_iter()
        .map(|inode| {
            let inside = processes.inside(inode);
            let interfaces = match inode {
                _ if inode == host_inode => interfaces(host).ok(),
                _ if inode == caller_inode => interfaces(caller).ok(),
                _ => interfaces_of(inode, names.paths(inode), inside),
            };
            Listed {
                inode,
                names: names.of(inode),
                processes: processes.complete.then_some(inside.len()),
                example: inside.first().map(|pid| Process::of(*pid)),
                interfaces,
                is_host: inode == host_inode,
                is_caller: inode == caller_inode,
            }
        })
        .collect();
    listed.sort_by(|a, b| order(a).cmp(&order(b)));
    Ok(listed)
}

/// The cookies of all these namespaces, as far as they can be entered.
///
/// # Errors
/// As [`list_all`].
pub fn cookies() -> Result<BTreeSet<u64>> {
    Ok(cookies_with_names()?.into_keys().collect())
}

/// The same with the names of each, as in [`Listed::names`].
///
/// # Errors
/// As [`list_all`].
pub fn cookies_with_names() -> Result<BTreeMap<u64, Vec<String>>> {
    let (processes, names) = (Processes::read()?, Names::read()?);
    let inodes: BTreeSet<u64> = processes.by_inode.keys().chain(names.by_inode.keys()).copied().collect();
    let cookie = |inode: u64| {
        let cookie = opened(inode, names.paths(inode), processes.inside(inode))?.cookie().ok()?;
        Some((cookie, names.of(inode)))
    };
    Ok(inodes.into_iter().filter_map(cookie).collect())
}

/// The host's first, named ones before nameless ones.
fn order(listed: &Listed) -> (bool, bool, &[String], u64) {
    (!listed.is_host, !listed.is_named(), &listed.names, listed.inode)
}

/// The names and other bound files of namespaces, by inode.
#[derive(Debug, Default)]
pub(super) struct Names {
    by_inode: BTreeMap<u64, BTreeSet<PathBuf>>,
}

impl Names {
    /// Looks into /run/netns and at the mounts that the calling thread sees. Names that cannot be opened are left out.
    pub(super) fn read() -> Result<Self> {
        let mut all = Self::default();
        for name in named()? {
            if let Ok(inode) = Netns::open_named(&name).and_then(|netns| netns.inode()) {
                all.by_inode.entry(inode).or_default().insert(Path::new(DIRECTORY).join(name.as_str()));
            }
        }
        for mount in mounts::all()?.into_iter().filter(|mount| mount.filesystem == "nsfs") {
            if let Some(inode) = parse_inode(&mount.root) {
                all.by_inode.entry(inode).or_default().insert(mount.point);
            }
        }
        Ok(all)
    }

    fn paths(&self, inode: u64) -> impl Iterator<Item = &PathBuf> {
        self.by_inode.get(&inode).into_iter().flatten()
    }

    /// Names, then paths.
    pub(super) fn of(&self, inode: u64) -> Vec<String> {
        let mut names: Vec<String> = self.paths(inode).map(|path| shown(path)).collect();
        names.sort_by(|a, b| (is_path(a), a).cmp(&(is_path(b), b)));
        names
    }
}

fn is_path(name: &str) -> bool {
    name.starts_with('/')
}

/// The name of a namespace under /run/netns, else the whole path.
fn shown(path: &Path) -> String {
    let name = path.strip_prefix(DIRECTORY).ok().and_then(Path::to_str).and_then(|name| Name::try_from(name).ok());
    name.map_or_else(|| path.display().to_string(), |name| name.as_str().to_owned())
}

/// The interfaces of the namespace `inode`, which is opened by one of its paths or processes.
fn interfaces_of<'a>(inode: u64, paths: impl Iterator<Item = &'a PathBuf>, pids: &[u32]) -> Option<Vec<String>> {
    interfaces(&opened(inode, paths, pids)?).ok()
}

/// The namespace `inode`, opened by one of its paths or processes.
fn opened<'a>(inode: u64, paths: impl Iterator<Item = &'a PathBuf>, pids: &[u32]) -> Option<Netns> {
    let by_path = paths.filter_map(|path| Netns::open_path(path).ok());
    let by_pid = pids.iter().filter_map(|pid| Netns::open_pid(*pid).ok());
    // What is opened may not be what was listed: names and process ids can change hands.
    by_path.chain(by_pid).find(|netns| netns.inode().is_ok_and(|opened| opened == inode))
}

/// The names of the interfaces in `netns`, by index.
///
/// # Errors
/// If the namespace cannot be entered.
pub fn interfaces(netns: &Netns) -> Result<Vec<String>> {
    netns.run(|| {
        let found = if_nameindex().map_err(|errno| failed("list", "the interfaces of a namespace", errno))?;
        let mut found: Vec<(u32, String)> =
            found.iter().map(|one| (one.index(), one.name().to_string_lossy().into_owned())).collect();
        found.sort();
        // An interface is listed once for its link and again for each kind of address.
        found.dedup();
        Ok(found.into_iter().map(|(_, name)| name).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(inode: u64, names: &[&str], is_host: bool) -> Listed {
        Listed {
            inode,
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            processes: Some(0),
            example: None,
            interfaces: None,
            is_host,
            is_caller: false,
        }
    }

    #[test]
    fn the_host_comes_first_then_names_then_inodes() {
        let mut all = [
            listed(2, &[], false),
            listed(1, &[], false),
            listed(3, &["/run/docker/netns/x"], false),
            listed(9, &["b"], false),
            listed(8, &["a", "z"], false),
            listed(99, &[], true),
        ];
        all.sort_by(|a, b| order(a).cmp(&order(b)));
        assert_eq!(all.map(|listed| listed.inode), [99, 8, 9, 1, 2, 3]);
    }

    #[test]
    fn names_come_before_paths() {
        let paths = ["/run/docker/netns/x", "/run/netns/b", "/run/netns/a"];
        let names = Names { by_inode: BTreeMap::from([(1, paths.iter().map(PathBuf::from).collect())]) };
        assert_eq!(names.of(1), ["a", "b", "/run/docker/netns/x"]);
        assert_eq!(names.of(2), [""; 0]);
    }

    #[test]
    fn a_path_that_is_no_name_stays_a_path() {
        assert_eq!(shown(Path::new("/run/netns/blue")), "blue");
        assert_eq!(shown(Path::new("/run/netns/a/b")), "/run/netns/a/b");
        assert_eq!(shown(Path::new("/run/netns/a\nb")), "/run/netns/a\nb");
        assert_eq!(shown(Path::new("/run/netns")), "/run/netns");
    }

    #[test]
    fn the_own_namespace_is_listed_once_as_host_and_caller() {
        let own = Netns::current().expect("/proc is mounted");
        let all = list_all(&own, &own).expect("/proc is mounted");
        let inode = own.inode().expect("it is open");
        assert_eq!((all[0].inode, all[0].is_host, all[0].is_caller), (inode, true, true));
        assert_eq!(all.iter().filter(|listed| listed.inode == inode).count(), 1);
        assert!(all[0].example.is_some());
    }
}
