//! The gate of a run directory, which all its hosts share: held for the few system calls that make or remove directories, mount or
//! unmount the bpffs, or take a place in a queue.

use std::{
    fs::{self, File},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::Instant,
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

use crate::RunDir;
use fwd_base::{Context as _, Error, Kind, Result};

/// Held while the run directory changes.
#[derive(Debug)]
pub(crate) struct Gate {
    _dir: Flock<File>,
}

impl Gate {
    /// Waits until nobody else is in. The run directory is made if it is missing, and stays as long as the gate is held.
    ///
    /// # Errors
    /// It cannot be made, is not ours alone, or somebody does not leave it until `end`.
    pub(crate) fn enter(run_dir: &RunDir, end: Instant) -> Result<Self> {
        loop {
            run_dir.create()?;
            match Self::enter_if_there(run_dir, end)? {
                Some(gate) => return Ok(gate),
                // The last command has taken it away meanwhile.
                None if Instant::now() < end => {}
                None => {
                    let why = "other commands take it away again and again";
                    return Err(Error::new(Kind::Failed, "open", object(run_dir), why));
                }
            }
        }
    }

    /// The same of a directory that is there; none if it has gone, which it then stays.
    ///
    /// # Errors
    /// It cannot be opened, or somebody does not leave it until `end`.
    pub(super) fn enter_if_there(run_dir: &RunDir, end: Instant) -> Result<Option<Self>> {
        loop {
            let dir = match fs::OpenOptions::new()
                .read(true)
                .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC)
                .open(run_dir.path())
            {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                dir => dir.doing("open", object(run_dir))?,
            };
            match flock(dir, FlockArg::LockExclusive, end).doing("lock", object(run_dir))? {
                Some(dir) if is_current(&dir, run_dir.path())? => return Ok(Some(Self { _dir: dir })),
                Some(_removed) => {}
                None => {
                    let why = "another fwd has been at it for too long";
                    return Err(Error::new(Kind::Failed, "change", object(run_dir), why)
                        .remedy("look for a fwd that was stopped (`fuser` names those that have the directory open)"));
                }
            }
        }
    }
}

fn object(run_dir: &RunDir) -> String {
    format!("run directory {}", run_dir.path().display())
}

/// Whether the open file is the one at this path.
pub(super) fn is_current(file: &File, path: &Path) -> Result<bool> {
    let ours = file.metadata().doing("look at", path.display().to_string())?;
    Ok(fs::symlink_metadata(path).is_ok_and(|now| now.ino() == ours.ino() && now.dev() == ours.dev()))
}

/// Locks a file, which the kernel does as soon as it can; `None` if that is not before `end`.
///
/// The kernel's waiting has no limit. So a thread waits, and where it waits in vain it is left to itself: it unlocks as soon as it has
/// locked.
pub(super) fn flock(file: File, how: FlockArg, end: Instant) -> nix::Result<Option<Flock<File>>> {
    let at_once = match how {
        FlockArg::LockShared => FlockArg::LockSharedNonblock,
        _ => FlockArg::LockExclusiveNonblock,
    };
    let file = match Flock::lock(file, at_once) {
        Ok(locked) => return Ok(Some(locked)),
        Err((file, Errno::EWOULDBLOCK)) => file,
        Err((_, errno)) => return Err(errno),
    };
    let (sender, receiver) = channel();
    let wait = move || {
        let mut file = file;
        let result = loop {
            match Flock::lock(file, how) {
                Ok(locked) => break Ok(locked),
                Err((again, Errno::EINTR)) => file = again,
                Err((_, errno)) => break Err(errno),
            }
        };
        // Nobody may be there any more to take it: then it is dropped, which unlocks.
        drop(sender.send(result));
    };
    thread::Builder::new().name("lock".into()).spawn(wait).map_err(|_| Errno::EAGAIN)?;
    match receiver.recv_timeout(end.saturating_duration_since(Instant::now())) {
        Ok(result) => result.map(Some),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Ok(None),
    }
}
