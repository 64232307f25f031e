//! One load at a time on this machine: two would measure each other, and one in real time leaves nothing of its CPU to any other.

use std::{
    fs::File,
    io,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use fwd_base::{Context as _, Result};

/// The file that a load locks while it is measured. The tests of this crate wait for each other only: they measure nothing.
const FILE: &str = if cfg!(test) { "/run/fwd-bench-tests.lock" } else { "/run/fwd-bench.lock" };

/// The turn of this load, until it is dropped. Nothing where there is no such directory or no right to it: whoever starts two at
/// once there sees it in the figures.
#[derive(Debug)]
pub(super) struct Turn(#[expect(dead_code, reason = "what is locked is let go with it")] Option<File>);

impl Turn {
    /// Waits until no other load is measured.
    pub(super) fn take() -> Self {
        Self::of(lock(FILE))
    }

    /// The same, and calls `meanwhile` so often while it waits.
    ///
    /// # Errors
    /// That of `meanwhile`. The lock is let go as soon as it is there.
    pub(super) fn wait(often: Duration, mut meanwhile: impl FnMut() -> Result<()>) -> Result<Self> {
        // A thread of its own waits, because those who wait are served in turn; who only looks now and then may never find it free.
        let (locked, is_locked) = mpsc::channel();
        let waiting = move || drop(locked.send(lock(FILE)));
        thread::Builder::new().name("turn".into()).spawn(waiting).doing("start", "a thread")?;
        loop {
            match is_locked.recv_timeout(often) {
                Ok(file) => return Ok(Self::of(file)),
                Err(RecvTimeoutError::Disconnected) => return Ok(Self(None)),
                Err(RecvTimeoutError::Timeout) => meanwhile()?,
            }
        }
    }

    fn of(file: io::Result<File>) -> Self {
        Self(file.map_err(|error| tracing::debug!("{FILE}: {error}")).ok())
    }
}

fn lock(file: &str) -> io::Result<File> {
    let file = File::options().create(true).append(true).open(file)?;
    file.lock().map(|()| file)
}
