//! Cgroups of version 2 (cgroups(7)).

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};

use crate::netns::mounts;
use fwd_base::{Context as _, Error, Kind, Result};

/// Where the root of cgroup2 is mounted, as the calling thread sees it; none if it is not.
///
/// # Errors
/// The mounts cannot be read.
pub fn root() -> Result<Option<PathBuf>> {
    Ok(mounts::all()?.into_iter().find(|mount| mount.filesystem == "cgroup2" && mount.root == "/").map(|it| it.point))
}

/// The number of the cgroup in a directory: its inode, which no other cgroup has while the machine is up.
///
/// # Errors
/// It is no directory of cgroup2.
pub fn id(path: &Path) -> Result<u64> {
    let object = || format!("cgroup {}", path.display());
    let metadata = fs::metadata(path).doing("open", object())?;
    let filesystem = statfs(path).doing("look at", object())?.filesystem_type();
    if filesystem != CGROUP2_SUPER_MAGIC || !metadata.is_dir() {
        return Err(Error::new(Kind::Usage, "use", object(), "it is no directory of cgroup2")
            .remedy("name one, such as /sys/fs/cgroup/system.slice; `findmnt -t cgroup2` tells where they are"));
    }
    Ok(metadata.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_of_another_file_system_is_no_cgroup() {
        let error = id(Path::new("/proc")).expect_err("it is none");
        assert_eq!(error.kind, Kind::Usage);
        assert!(error.remedy.is_some_and(|remedy| remedy.contains("findmnt")));
        assert!(id(Path::new("/nowhere")).is_err());
    }
}
