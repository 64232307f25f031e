//! One writer per host namespace: `flock` on a file, with a deadline, the holder named. Readers take none.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Seek as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

use super::RunDir;
use crate::{Context as _, Error, Kind, Result};

const POLL: Duration = Duration::from_millis(5);

/// Held while a command changes the host namespace.
#[derive(Debug)]
pub struct Lock {
    file: Flock<File>,
    path: PathBuf,
}

impl Lock {
    /// Waits for the lock until `deadline` has passed.
    ///
    /// # Errors
    /// Somebody else holds it for longer; the error names them.
    pub fn acquire(run_dir: &RunDir, cookie: u64, deadline: Duration) -> Result<Self> {
        make_private(run_dir.path())?;
        let path = run_dir.lock(cookie);
        let end = Instant::now() + deadline;
        loop {
            let file = open(&path)?;
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                // The last holder may have unlinked the file between our opening and locking it.
                Ok(file) if is_current(&file, &path)? => {
                    let mut lock = Self { file, path };
                    lock.sign()?;
                    return Ok(lock);
                }
                Ok(_unlinked) => {}
                Err((_, Errno::EWOULDBLOCK)) if Instant::now() < end => std::thread::sleep(POLL),
                Err((mut file, Errno::EWOULDBLOCK)) => return Err(held(&mut file, &path, deadline)),
                Err((_, error)) => return Err(error).doing("lock", path.display().to_string()),
            }
        }
    }

    /// Writes who holds the lock.
    fn sign(&mut self) -> Result<()> {
        let who = format!("pid {}", std::process::id());
        self.file.set_len(0).and_then(|()| self.file.write_all(who.as_bytes())).doing("write", self.path.display().to_string())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Unlinked while it is held: whoever opened it meanwhile sees that it is not the current one. The directory goes with
        // the last file in it; both failures only leave an empty file or directory behind.
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!("lock {}: {error}", self.path.display());
        }
        if let Some(dir) = self.path.parent()
            && let Err(error) = std::fs::remove_dir(dir)
        {
            tracing::trace!("{} stays: {error}", dir.display());
        }
    }
}

/// Creates the run directory, readable by root only, and checks that it belongs to us.
pub(super) fn make_private(dir: &Path) -> Result<()> {
    let object = || format!("run directory {}", dir.display());
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).doing("create", object())?;
    let metadata = std::fs::symlink_metadata(dir).doing("open", object())?;
    if !metadata.is_dir() || metadata.uid() != nix::unistd::geteuid().as_raw() {
        return Err(Error::new(Kind::Failed, "use", object(), "it is not a directory of ours")
            .remedy("remove it, or choose another with --run-dir"));
    }
    Ok(())
}

fn open(path: &Path) -> Result<File> {
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_CLOEXEC;
    loop {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags).open(path);
        match file {
            // The last holder took the directory with it.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                make_private(path.parent().unwrap_or(Path::new("/")))?;
            }
            file => return file.doing("open", format!("lock {}", path.display())),
        }
    }
}

fn is_current(file: &File, path: &Path) -> Result<bool> {
    let ours = file.metadata().doing("look at", path.display().to_string())?;
    Ok(std::fs::symlink_metadata(path).is_ok_and(|now| now.ino() == ours.ino() && now.dev() == ours.dev()))
}

fn held(file: &mut File, path: &Path, deadline: Duration) -> Error {
    let mut who = String::new();
    let read = file.rewind().and_then(|()| file.read_to_string(&mut who));
    let who = if read.is_ok() && !who.is_empty() { who } else { "another fwd".into() };
    Error::new(Kind::Failed, "lock", path.display().to_string(), format!("{who} has held it for {deadline:?}"))
        .remedy("wait until that command is done, or end it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_holder_is_refused_and_the_first_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let run_dir = RunDir::new(dir.path().join("run"));
        let first = Lock::acquire(&run_dir, 7, Duration::ZERO).unwrap();
        let refused = Lock::acquire(&run_dir, 7, Duration::ZERO).unwrap_err();
        assert!(refused.why.contains(&std::process::id().to_string()), "{refused}");
        drop(first);
        drop(Lock::acquire(&run_dir, 7, Duration::ZERO).unwrap());
        assert!(!run_dir.path().exists());
    }
}
