//! The socket at which dockerd asks: one of our own, or one that whoever started the process has opened (sd_listen_fds(3)).

use std::{
    env, fs, io,
    os::{
        fd::OwnedFd,
        unix::{
            fs::{FileTypeExt as _, PermissionsExt as _},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    process,
};

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

use fwd_base::{Context as _, Error, Kind, Result};

/// The first descriptor that is handed over (sd_listen_fds(3)).
const FIRST: i32 = 3;

/// Where the driver listens.
#[derive(Debug)]
pub(super) struct Listener {
    socket: UnixListener,
    /// The file of a socket of our own.
    path: Option<PathBuf>,
}

impl Listener {
    /// The socket that was handed over, or one at `path`.
    ///
    /// # Errors
    /// What was handed over is no such socket; somebody listens there already; the kernel refuses.
    pub(super) fn open(path: &Path) -> Result<Self> {
        match handed_over()? {
            Some(socket) => Ok(Self { socket, path: None }),
            None => Ok(Self { socket: bind(path)?, path: Some(path.into()) }),
        }
    }

    /// The socket, for a runtime.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(super) fn socket(&self) -> Result<UnixListener> {
        self.socket.set_nonblocking(true).doing("use", self.name())?;
        self.socket.try_clone().doing("use", self.name())
    }

    /// What it is called in messages.
    pub(super) fn name(&self) -> String {
        match &self.path {
            Some(path) => path.display().to_string(),
            None => "the socket that was handed over".into(),
        }
    }

    /// Removes the file of a socket of our own: docker is told at once that nobody is there.
    pub(super) fn forget(&self) {
        if let Some(path) = &self.path
            && let Err(error) = fs::remove_file(path)
        {
            tracing::warn!("cannot remove {}: {error}", path.display());
        }
    }
}

/// The socket that was handed over to this process, if one was.
fn handed_over() -> Result<Option<UnixListener>> {
    let number = |name| env::var(name).ok()?.parse::<u32>().ok();
    if number("LISTEN_PID") != Some(process::id()) {
        return Ok(None);
    }
    let refuse = |why: String| {
        Error::new(Kind::Usage, "listen", "at the socket that was handed over", why)
            .remedy("hand over one that listens, of the family AF_UNIX (ListenStream= of a systemd socket unit)")
    };
    match number("LISTEN_FDS") {
        None | Some(0) => return Ok(None),
        Some(1) => {}
        Some(several) => return Err(refuse(format!("{several} were handed over"))),
    }
    // Known by its number alone, a descriptor is nobody's in Rust: this one is made of it, and the first is closed.
    let own = taken(getpid()).map_err(|error| refuse(error.to_string()))?;
    nix::unistd::close(FIRST).map_err(|error| refuse(error.to_string()))?;
    let socket = UnixListener::from(own);
    match socket.local_addr() {
        Ok(_) => Ok(Some(socket)),
        Err(error) => Err(refuse(error.to_string())),
    }
}

fn taken(process: Pid) -> rustix::io::Result<OwnedFd> {
    let process = pidfd_open(process, PidfdFlags::empty())?;
    pidfd_getfd(process, FIRST, PidfdGetfdFlags::empty())
}

/// A socket for root alone. What a driver has left that was killed is replaced.
fn bind(path: &Path) -> Result<UnixListener> {
    let name = || path.display().to_string();
    if UnixStream::connect(path).is_ok() {
        return Err(Error::new(Kind::Conflict, "listen", format!("at {}", name()), "somebody listens there already")
            .remedy("`ss -xlp` shows who; end that one, or choose another place with --socket"));
    }
    // Nothing but what a driver has left is replaced.
    if fs::symlink_metadata(path).is_ok_and(|found| !found.file_type().is_socket()) {
        return Err(Error::new(
            Kind::Conflict,
            "listen",
            format!("at {}", name()),
            "a file is there that is no socket",
        )
        .remedy("choose another place with --socket, or remove that file"));
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).doing("remove", name()),
        _ => {}
    }
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).doing("make", directory.display().to_string())?;
    }
    let socket = UnixListener::bind(path).doing("listen", format!("at {}", name()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).doing("protect", name())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_socket_is_replaced_and_one_that_listens_is_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("plugins/fwd.sock");
        let first = Listener::open(&path).expect("it listens");
        assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
        assert_eq!(Listener::open(&path).expect_err("somebody listens").kind, Kind::Conflict);
        drop(first);
        let second = Listener::open(&path).expect("nobody listens any more");
        UnixStream::connect(&path).expect("it listens");
        second.forget();
        assert!(!path.exists());
        fs::write(&path, "precious").expect("it is written");
        let error = Listener::open(&path).expect_err("it is no socket");
        assert!(error.kind == Kind::Conflict && error.remedy.is_some(), "{error}");
        assert_eq!(fs::read(&path).expect("it stays"), b"precious");
    }
}
