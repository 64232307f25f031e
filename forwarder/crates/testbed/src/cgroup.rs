//! A cgroup for the programs of a sandboxed host: what is attached there concerns nobody else of the machine.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{command_in, wait_until};
use fwd_base::{Context, Result};
use fwd_kernel::{cgroup, netns::Netns};

/// How long a process may take to leave it after it was killed.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the names of cgroups begin with, before the prefix of the testbed.
pub(super) const NAME: &str = "fwd-";

/// Makes that of a testbed; none where the machine has no cgroup2.
pub(super) fn create(prefix: &str) -> Result<Option<PathBuf>> {
    let Some(path) = path(prefix)? else { return Ok(None) };
    match fs::create_dir(&path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(error).doing("create", path.display().to_string())
        }
        _ => Ok(Some(path)),
    }
}

/// Removes it with what was made below it, once nobody is in there any more.
pub(super) fn remove(prefix: &str) -> Result<()> {
    let Some(path) = path(prefix)? else { return Ok(()) };
    wait_until(PATIENCE, &format!("{} is left", path.display()), || match remove_tree(&path) {
        Ok(()) => Ok(Some(())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Some(())),
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Ok(None),
        Err(error) => Err(error).doing("remove", path.display().to_string()),
    })
}

/// Removes a cgroup, the innermost first.
fn remove_tree(cgroup: &Path) -> io::Result<()> {
    for entry in fs::read_dir(cgroup)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(cgroup)
}

/// A command in a namespace and in a cgroup: a shell moves there before it becomes what it is told to.
pub fn command_in_cgroup<S: AsRef<OsStr>>(ns: &Netns, cgroup: &Path, argv: &[S]) -> Command {
    let procs = cgroup.join("cgroup.procs");
    let moved = ["sh".as_ref(), "-c".as_ref(), "echo 0 > \"$0\" && exec \"$@\"".as_ref(), procs.as_os_str()];
    command_in(ns, &moved.into_iter().chain(argv.iter().map(AsRef::as_ref)).collect::<Vec<&OsStr>>())
}

fn path(prefix: &str) -> Result<Option<PathBuf>> {
    Ok(cgroup::root()?.map(|root| root.join(format!("{NAME}{prefix}"))))
}
