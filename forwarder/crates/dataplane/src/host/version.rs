//! What other versions of `fwd` have pinned for a host: their maps cannot be read, but everything can be taken down.
//!
//! This much stays the same in every version. Each has a directory below that of the host; in it, wherever, are pins. A pin of a
//! link keeps a program attached. A directory called `clsact-PROGRAM-IFINDEX` stands for a filter with the priority and the
//! handle of [`crate::attach::filter`], at either side of that interface, and `qdisc` inside for the queueing discipline. The map
//! `maps/DEVICES` is one of devices, with `lo` of the host among them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    Dataplane, RunDir,
    attach::{discard, filter},
    host::bpffs,
};
use fwd_base::{Context as _, Result};

impl Dataplane {
    /// The versions other than this one that have pins for the host namespace with `cookie`, by the names of their directories.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn other_versions(run_dir: &RunDir, cookie: u64) -> Result<Vec<String>> {
        let own = run_dir.of(cookie);
        let mut names = Self::versions(run_dir, cookie)?;
        names.retain(|name| own.file_name() != Some(name.as_ref()));
        Ok(names)
    }

    /// The versions that have pins for the host namespace with `cookie`.
    pub(crate) fn versions(run_dir: &RunDir, cookie: u64) -> Result<Vec<String>> {
        let paths = entries(&run_dir.host(cookie))?.into_iter();
        let mut names: Vec<String> =
            paths.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect();
        names.sort();
        Ok(names)
    }

    /// Detaches and unpins all that another version has pinned for the host namespace with `cookie`.
    ///
    /// # Errors
    /// A pin or a filter cannot be removed.
    pub fn remove_version(run_dir: &RunDir, cookie: u64, name: &str) -> Result<()> {
        remove(&run_dir.host(cookie).join(name))?;
        bpffs::release(run_dir, cookie)
    }
}

/// What is in a directory; nothing if there is none.
fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    match fs::read_dir(dir) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(Vec::new()),
        entries => Ok(entries.doing("list", dir.display().to_string())?.flatten().map(|entry| entry.path()).collect()),
    }
}

/// Removes a pin, or a directory with all that is in it, links before what they hold.
pub(crate) fn remove(path: &Path) -> Result<()> {
    let is_dir = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
    if !is_dir {
        return discard(path);
    }
    if let Some(ifindex) = noted_filter(path) {
        filter::detach_everywhere(ifindex, path)?;
    }
    let mut inside = entries(path)?;
    inside.sort_by_key(|path| (!path.ends_with("links"), path.clone()));
    inside.iter().try_for_each(|path| remove(path))?;
    match fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.doing("remove", path.display().to_string()),
    }
}

/// The interface of the filter that a directory stands for.
fn noted_filter(path: &Path) -> Option<u32> {
    let name = path.file_name()?.to_str()?;
    name.strip_prefix(filter::NOTE)?.rsplit_once('-')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_of_filters_are_told_from_other_directories() {
        let number = |name: &str| noted_filter(Path::new(name));
        assert_eq!(number("/run/fwd/bpf/7/v9/links/clsact-from_ns-12"), Some(12));
        assert_eq!(number("clsact-to_uplink-later-3"), Some(3));
        for other in ["links", "clsact-", "clsact-from_ns", "clsact-from_ns-x", "from_ns-12"] {
            assert_eq!(number(other), None, "{other}");
        }
    }

    #[test]
    fn everything_but_the_own_version_is_another() {
        let dir = tempfile::tempdir().expect("a directory");
        let run_dir = RunDir::new(dir.path());
        assert_eq!(Dataplane::other_versions(&run_dir, 7).expect("nothing"), [""; 0]);
        for name in ["v0", "links", "maps"] {
            fs::create_dir_all(run_dir.host(7).join(name)).expect("a directory");
        }
        fs::create_dir_all(run_dir.of(7)).expect("a directory");
        assert_eq!(Dataplane::other_versions(&run_dir, 7).expect("readable"), ["links", "maps", "v0"]);
        fs::create_dir_all(run_dir.host(7).join("v0/links/from_ns-12")).expect("a directory");
        remove(&run_dir.host(7).join("v0")).expect("it is removed");
        assert_eq!(Dataplane::other_versions(&run_dir, 7).expect("readable"), ["links", "maps"]);
    }
}
