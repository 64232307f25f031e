//! A bpffs of our own at `RUNDIR/bpf`: `ip netns exec` remounts `/sys`, and `/sys/fs/bpf` with it.

use std::{
    fs, io,
    path::Path,
    time::{Duration, Instant},
};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};

use crate::{
    RunDir,
    host::{lock::Gate, rundir::make_private},
};
use fwd_base::{Context as _, Result};
use fwd_kernel::netns::mounts;

/// How long another host of the same run directory may take to mount or unmount it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes sure that a bpffs is mounted that outlives this command, with a directory for the host namespace with `cookie`: from then on
/// nobody unmounts it.
///
/// # Errors
/// [`fwd_base::Kind::Unsupported`] in a mount namespace that ends with its command.
pub(crate) fn ensure(run_dir: &RunDir, cookie: u64) -> Result<()> {
    let _gate = Gate::enter(run_dir, Instant::now() + PATIENCE)?;
    mounted(run_dir)?;
    let host = run_dir.host(cookie);
    fs::create_dir_all(&host).doing("create", host.display().to_string())
}

fn mounted(run_dir: &RunDir) -> Result<()> {
    let dir = run_dir.bpffs();
    if is_bpffs(&dir) {
        return Ok(());
    }
    if let Some(refusal) = mounts::is_temporary(run_dir.path())? {
        return Err(refusal);
    }
    make_private(&dir)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("bpf"), &dir, Some("bpf"), flags, Some("mode=0700")).doing("mount a bpffs on", dir.display().to_string())
}

/// Removes the directory of a host namespace if nothing is pinned there any more. The last one takes the bpffs along, and the
/// directory on which it is mounted.
pub(crate) fn release(run_dir: &RunDir, cookie: u64) -> Result<()> {
    let dir = run_dir.bpffs();
    if !dir.exists() {
        return Ok(());
    }
    let _gate = Gate::enter(run_dir, Instant::now() + PATIENCE)?;
    let host = run_dir.host(cookie);
    match fs::remove_dir(&host) {
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {
            return Err(error).doing("remove", host.display().to_string());
        }
        _ => {}
    }
    // Only directories are ours: a kernel with CONFIG_BPF_PRELOAD puts `maps.debug` and `progs.debug` into each bpffs.
    let entries = match fs::read_dir(&dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.doing("list", dir.display().to_string())?,
    };
    if entries.flatten().any(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        return Ok(());
    }
    if is_bpffs(&dir) {
        umount2(&dir, MntFlags::MNT_DETACH).doing("unmount", dir.display().to_string())?;
    }
    fs::remove_dir(&dir).doing("remove", dir.display().to_string())
}

fn is_bpffs(dir: &Path) -> bool {
    statfs(dir).is_ok_and(|statfs| statfs.filesystem_type() == BPF_FS_MAGIC)
}
