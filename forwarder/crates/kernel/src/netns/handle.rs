//! A network namespace, held open.

use std::{
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    sync::OnceLock,
    thread,
};

use nix::{
    fcntl::{OFlag, open},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sched::{CloneFlags, setns},
    sys::{
        socket::{AddressFamily, SockFlag, SockType, socket},
        stat::{Mode, fstat},
        statfs::{NSFS_MAGIC, fstatfs},
    },
};

use super::{DIRECTORY, Name, failed, named, nearest, sys};
use fwd_base::{Error, Kind, Result, text::word};

/// How often, and after which time each, a name is looked at again whose file is no namespace yet, or any more.
const MOMENTS: usize = 20;
/// See above.
const MOMENT: std::time::Duration = std::time::Duration::from_millis(5);

/// A network namespace, opened once and verified to be one.
///
/// It lives at least as long as this handle, whatever happens to its name and its processes.
#[derive(Debug)]
pub struct Netns {
    fd: OwnedFd,
    cookie: OnceLock<u64>,
}

impl Netns {
    /// The namespace of the calling thread.
    ///
    /// # Errors
    /// If /proc is not mounted.
    pub fn current() -> Result<Self> {
        let current = Self::open_path(Path::new("/proc/thread-self/ns/net"))?;
        current.learn_cookie();
        Ok(current)
    }

    /// The namespace called `name` under /run/netns.
    ///
    /// # Errors
    /// [`Kind::NotFound`], with the nearest name as the remedy; [`Kind::Conflict`] if a file of this name is there that
    /// is no namespace.
    pub fn open_named(name: &Name) -> Result<Self> {
        let path = Path::new(DIRECTORY).join(name.as_str());
        let mut opened = Self::open_path(&path);
        // Between the file and the mount on it, or after that, is a moment in which whoever makes or deletes the namespace is at it.
        for _ in 0..MOMENTS {
            match &opened {
                Err(error) if error.kind == Kind::Usage => std::thread::sleep(MOMENT),
                _ => break,
            }
            opened = Self::open_path(&path);
        }
        opened.map_err(|error| match error.kind {
            Kind::NotFound => no_such_name(name),
            Kind::Usage => leftover(name, &path),
            _ => error,
        })
    }

    /// The namespace that the file `path` stands for, such as /proc/PID/ns/net or /run/docker/netns/ID.
    ///
    /// The file is examined before it is opened: no device or pipe is touched by a wrong path.
    ///
    /// # Errors
    /// [`Kind::NotFound`] if there is no such file, [`Kind::Usage`] if it is no network namespace.
    pub fn open_path(path: &Path) -> Result<Self> {
        let object = path.display().to_string();
        let found = open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).map_err(|errno| match errno {
            nix::Error::ENOENT | nix::Error::ENOTDIR => {
                let error = Error::new(Kind::NotFound, "open", &object, "no such file").caused_by(errno);
                error.remedy("`fwd ns ls --all` shows the namespaces of this machine")
            }
            nix::Error::ENAMETOOLONG | nix::Error::EINVAL => {
                Error::new(Kind::Usage, "open", &object, errno.desc()).caused_by(errno)
            }
            _ => failed("open", &object, errno),
        })?;
        let filesystem = fstatfs(&found).map_err(|errno| failed("examine", &object, errno))?;
        if filesystem.filesystem_type() != NSFS_MAGIC {
            return Err(no_namespace(&object, "it is no network namespace"));
        }
        // An O_PATH descriptor cannot be given to setns(2): this opens the same inode, not the path again.
        let same = PathBuf::from(format!("/proc/thread-self/fd/{}", found.as_raw_fd()));
        let fd = open(&same, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
            .map_err(|errno| failed("open", &object, errno))?;
        match sys::namespace_type(&fd).map_err(|error| failed("examine", &object, error))? {
            libc::CLONE_NEWNET => Ok(Self { fd, cookie: OnceLock::new() }),
            _ => Err(no_namespace(&object, "it is a namespace of another kind, no network namespace")),
        }
    }

    /// The namespace of the process `pid`.
    ///
    /// # Errors
    /// [`Kind::NotFound`] if there is no such process or it ended meanwhile.
    pub fn open_pid(pid: u32) -> Result<Self> {
        let object = format!("the network namespace of process {pid}");
        let gone = |why: &str| {
            let error = Error::new(Kind::NotFound, "open", &object, why);
            error.remedy("`fwd ns ls --all` shows the namespaces of this machine and a process of each")
        };
        let process = sys::pidfd_open(pid).map_err(|error| match error.raw_os_error() {
            Some(libc::ESRCH) => gone("there is no such process"),
            Some(libc::EINVAL | libc::ENOENT) => gone("it is the id of a thread, not of a process"),
            _ => failed("open", &object, error),
        })?;
        let opened = Self::open_path(Path::new(&format!("/proc/{pid}/ns/net")));
        // The number may have been given to another process before /proc was read, but not if this one still runs.
        if has_ended(&process).map_err(|errno| failed("open", &object, errno))? {
            return Err(gone("the process has ended"));
        }
        opened
    }

    /// Another handle of the same namespace.
    ///
    /// # Errors
    /// There are too many open files.
    pub fn try_clone(&self) -> Result<Self> {
        let fd = self.fd.try_clone().map_err(|error| failed("hold", "a network namespace", error))?;
        Ok(Self { fd, cookie: self.cookie.clone() })
    }

    /// The inode number that `ls -l /proc/PID/ns/net` and `lsns` show. It may be used anew after the namespace is gone.
    ///
    /// # Errors
    /// If the kernel cannot tell.
    pub fn inode(&self) -> Result<u64> {
        self.identity().map(|(_, inode)| inode)
    }

    /// The cookie: a number that no other namespace gets until reboot (`SO_NETNS_COOKIE`).
    ///
    /// # Errors
    /// [`Kind::Unsupported`] before Linux 5.14, or without the right to enter the namespace.
    pub fn cookie(&self) -> Result<u64> {
        if let Some(cookie) = self.cookie.get() {
            return Ok(*cookie);
        }
        let cookie = self.visit(own_cookie)?;
        Ok(*self.cookie.get_or_init(|| cookie))
    }

    /// Notes the cookie, on a thread that is inside. Where the kernel does not tell, [`cookie`](Self::cookie) will say so.
    pub(super) fn learn_cookie(&self) {
        if self.cookie.get().is_none()
            && let Ok(cookie) = own_cookie()
        {
            self.cookie.get_or_init(|| cookie);
        }
    }

    /// Runs `f` on a thread of its own inside the namespace, and waits for it.
    ///
    /// The caller's own thread stays where it is. Sockets that `f` makes belong to this namespace for good, so they may
    /// be taken out and used anywhere.
    ///
    /// # Errors
    /// What `f` returns, or that the namespace cannot be entered.
    ///
    /// # Panics
    /// If `f` panics.
    pub fn run<T: Send>(&self, f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        on_thread(|| {
            self.enter()?;
            // Nearly everybody wants to know it, and another thread would cost more than asking now.
            self.learn_cookie();
            f()
        })
    }

    /// Moves the calling thread, and no other, into the namespace for good.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] without CAP_SYS_ADMIN.
    pub fn enter(&self) -> Result<()> {
        setns(&self.fd, CloneFlags::CLONE_NEWNET).map_err(|errno| failed("enter", "the network namespace", errno))
    }

    /// Whether both are the same namespace.
    ///
    /// # Errors
    /// If the kernel cannot tell.
    pub fn is_same(&self, other: &Self) -> Result<bool> {
        Ok(self.identity()? == other.identity()?)
    }

    /// Device and inode: they identify a namespace as long as a handle holds it.
    fn identity(&self) -> Result<(u64, u64)> {
        let stat = fstat(&self.fd).map_err(|errno| failed("examine", "the network namespace", errno))?;
        Ok((stat.st_dev, stat.st_ino))
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The cookie of the calling thread's namespace.
fn own_cookie() -> Result<u64> {
    let socket = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)
        .map_err(|errno| failed("make", "a socket", errno))?;
    sys::socket_netns_cookie(&socket).map_err(|error| match error.raw_os_error() {
        Some(libc::ENOPROTOOPT) => Error::new(
            Kind::Unsupported,
            "read",
            "the cookie of a network namespace",
            "this kernel has no SO_NETNS_COOKIE",
        )
        .remedy("use a newer kernel: `fwd features` tells which Linux has it"),
        _ => failed("read", "the cookie of a network namespace", error),
    })
}

/// Runs `f` on a thread that ends with it, so that what it unshares or enters ends with it too.
pub(super) fn on_thread<T: Send>(f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("netns".into())
            .spawn_scoped(scope, f)
            .map_err(|error| failed("start", "a thread for the network namespace", error))?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Whether the process behind a pidfd has ended: the descriptor is readable then (pidfd_open(2)).
fn has_ended(process: &OwnedFd) -> nix::Result<bool> {
    poll(&mut [PollFd::new(process.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO).map(|ready| ready > 0)
}

fn no_namespace(object: &str, why: &str) -> Error {
    Error::new(Kind::Usage, "open", object, why).remedy("give a file such as /run/netns/NAME or /proc/PID/ns/net")
}

fn no_such_name(name: &Name) -> Error {
    let error = Error::new(Kind::NotFound, "open", format!("namespace {name}"), "there is no namespace of this name");
    let names = named().unwrap_or_default();
    error.remedy(match nearest(name.as_str(), &names) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("`fwd ns ls` shows those that exist, `fwd ns add {}` makes it", word(name.as_str())),
    })
}

/// What a creator that was killed half-way leaves behind, or what another mount namespace keeps to itself.
fn leftover(name: &Name, path: &Path) -> Error {
    let why = format!("{} is there, but it is no network namespace", path.display());
    Error::new(Kind::Conflict, "open", format!("namespace {name}"), why)
        .remedy(format!("if nothing is about to create it, remove the leftover: `fwd ns rm {}`", word(name.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_current_namespace_is_itself() {
        let one = Netns::current().expect("/proc is mounted");
        let two = Netns::open_pid(std::process::id()).expect("this process exists");
        assert!(one.is_same(&two).expect("both are open"));
        let link = std::fs::read_link("/proc/self/ns/net").expect("/proc is mounted");
        let inode = one.inode().expect("it is open");
        assert_eq!(link.to_string_lossy(), format!("net:[{inode}]"));
    }

    #[track_caller]
    fn refuses(path: &str, kind: Kind) {
        let error = Netns::open_path(Path::new(path)).expect_err("it is no network namespace");
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.to_string().contains(path), "{error}");
    }

    #[test]
    fn what_is_no_network_namespace_is_refused_by_name() {
        refuses("/no/such/file", Kind::NotFound);
        refuses("/dev/null/x", Kind::NotFound);
        refuses("/dev/null", Kind::Usage);
        refuses("/tmp", Kind::Usage);
        refuses("/proc/self/ns/mnt", Kind::Usage);
        refuses("/proc/self/status", Kind::Usage);
        refuses(&format!("/{}", "x".repeat(300)), Kind::Usage);
        refuses("/tmp/a\0b", Kind::Usage);
    }

    #[test]
    fn a_pipe_does_not_block_the_opening() {
        let directory = tempfile::tempdir().expect("a directory");
        let pipe = directory.path().join("pipe");
        nix::unistd::mkfifo(&pipe, Mode::S_IRUSR).expect("a pipe");
        refuses(pipe.to_str().expect("UTF-8"), Kind::Usage);
    }

    #[test]
    fn an_ended_process_is_not_found() {
        let mut child = std::process::Command::new("true").spawn().expect("true runs");
        let pid = child.id();
        child.wait().expect("it ends");
        let error = Netns::open_pid(pid).expect_err("the process has ended");
        assert_eq!(error.kind, Kind::NotFound);
        assert!(error.to_string().contains(&pid.to_string()), "{error}");
        assert_eq!(Netns::open_pid(u32::MAX).expect_err("no such process").kind, Kind::NotFound);
    }

    #[test]
    fn a_name_that_does_not_exist_is_not_found() {
        let name = Name::try_from("no-such-namespace-here").expect("a valid name");
        let error = Netns::open_named(&name).expect_err("nobody made it");
        assert_eq!(error.kind, Kind::NotFound);
        assert!(error.remedy.is_some());
    }
}
