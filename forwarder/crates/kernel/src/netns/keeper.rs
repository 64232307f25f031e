//! A process that keeps the files of a namespace over those of /etc while a command runs.
//!
//! A resolver of the host renames a new file over /etc/resolv.conf, and the kernel takes off whatever is mounted on the old one, in
//! every mount namespace (`detach_mounts`, fs/namei.c). The command would ask the host's resolver from then on.

use std::{
    collections::BTreeSet,
    io,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    process,
};

use nix::{
    fcntl::{OFlag, open},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        inotify::{AddWatchFlags, InitFlags, Inotify},
        prctl,
        stat::Mode,
        wait::waitpid,
    },
    unistd::{ForkResult, chdir, dup2_stderr, dup2_stdin, dup2_stdout, setsid},
};

use super::{etc::Binding, sys};

/// Starts the process for the calling one, which becomes the command: it ends with it. Without it the command runs as well, so that
/// whatever goes wrong is only noted.
pub(super) fn start(bindings: &[Binding]) {
    if bindings.is_empty() {
        return;
    }
    let started = sys::pidfd_open(process::id()).and_then(|command| {
        match sys::fork()? {
            // Nobody's child, so that the command waits only for its own.
            ForkResult::Child => {
                if matches!(sys::fork(), Ok(ForkResult::Child)) {
                    drop(keep(&command, bindings));
                }
                sys::exit_now()
            }
            ForkResult::Parent { child } => waitpid(child, None).map(drop).map_err(io::Error::from),
        }
    });
    if let Err(error) = started {
        tracing::debug!("nobody keeps the files of the namespace over those of /etc: {error}");
    }
}

/// Binds again what is taken off, until the command has ended.
fn keep(command: &OwnedFd, bindings: &[Binding]) -> io::Result<()> {
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
    step_back(&[command.as_fd(), inotify.as_fd()])?;
    let mut watched = BTreeSet::new();
    loop {
        // First watched, then looked at: nothing is missed in between.
        watch(&inotify, bindings, &mut watched);
        bindings.iter().for_each(Binding::renew);
        let mut fds =
            [PollFd::new(command.as_fd(), PollFlags::POLLIN), PollFd::new(inotify.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        if fds[0].any() == Some(true) {
            return Ok(());
        }
        while inotify.read_events().is_ok() {}
    }
}

/// Watches directories that are not watched yet: a link may have come to lead elsewhere.
fn watch(inotify: &Inotify, bindings: &[Binding], watched: &mut BTreeSet<PathBuf>) {
    let changes = AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_ONLYDIR;
    for directory in bindings.iter().flat_map(Binding::directories) {
        if !watched.contains(&directory) && inotify.add_watch(&directory, changes).is_ok() {
            watched.insert(directory);
        }
    }
}

/// Lets go of everything that belongs to the command: its terminal, its pipes, its directory.
fn step_back(kept: &[impl AsFd]) -> io::Result<()> {
    setsid()?;
    chdir("/")?;
    prctl::set_name(c"fwd-exec-files")?;
    let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    drop(null);
    sys::close_all_but(kept)
}
