//! A bpffs of our own at `RUNDIR/bpf`: `ip netns exec` remounts `/sys`, and `/sys/fs/bpf` with it.

use std::{fs, path::Path};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};

use super::{RunDir, lock::make_private};
use crate::{Context as _, Result, netns::mounts};

/// Makes sure that a bpffs is mounted that outlives this command.
///
/// # Errors
/// [`crate::Kind::Unsupported`] in a mount namespace that ends with its command.
pub(super) fn ensure(run_dir: &RunDir) -> Result<()> {
    make_private(run_dir.path())?;
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

/// Unmounts the bpffs and removes the directories if no host namespace has pins there any more.
pub(super) fn release(run_dir: &RunDir) -> Result<()> {
    let dir = run_dir.bpffs();
    if !dir.exists() {
        return Ok(());
    }
    // Only directories are ours: a kernel with CONFIG_BPF_PRELOAD puts `maps.debug` and `progs.debug` into each bpffs.
    let entries = fs::read_dir(&dir).doing("list", dir.display().to_string())?;
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
