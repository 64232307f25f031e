//! Namespaces with a name: files under /run/netns with a namespace bound to them, as `ip netns` makes them.

use std::{
    fs,
    os::{
        fd::{AsFd, AsRawFd},
        unix::fs::DirBuilderExt,
    },
    path::{Path, PathBuf},
};

use nix::{
    fcntl::{Flock, FlockArg, OFlag, open},
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::stat::Mode,
    unistd::unlink,
};

use super::{DIRECTORY, Name, Netns, failed, mounts};
use fwd_base::{Error, Kind, Result, text::word};

/// No name has more namespaces bound over each other than this; it bounds the loop that takes them off.
const MOST_LAYERS: usize = 16;

const NOTHING: Option<&Path> = None;

impl Netns {
    /// Creates a namespace, lets `prepare` work in it, then publishes it under `name` as `ip netns add` does.
    ///
    /// `prepare` runs on a thread inside the new namespace. Nobody else can find the namespace before it returns, and
    /// nothing is left if it fails.
    ///
    /// # Errors
    /// As [`create`](Self::create) and [`publish`](Self::publish), or what `prepare` returns.
    pub fn create_named(name: &Name, prepare: impl FnOnce(&Self) -> Result<()> + Send) -> Result<Self> {
        let netns = Self::create(name)?;
        netns.run(|| prepare(&netns))?;
        netns.publish(name)?;
        Ok(netns)
    }

    /// Creates a namespace that is to be [published](Self::publish) under `name`. Until then nobody else can find it, and it goes
    /// with the handle.
    ///
    /// # Errors
    /// [`Kind::Conflict`] if the name is taken, [`Kind::Unsupported`] without CAP_SYS_ADMIN or where the name would
    /// vanish with this command ([`mounts::is_temporary`]).
    pub fn create(name: &Name) -> Result<Self> {
        if path_of(name).symlink_metadata().is_ok() {
            return Err(taken(name));
        }
        if let Some(refusal) = mounts::is_temporary(Path::new(DIRECTORY))? {
            return Err(refusal);
        }
        Self::nameless()
    }

    /// Gives a namespace a name.
    ///
    /// # Errors
    /// [`Kind::Conflict`] if the name is taken; the name cannot be made.
    pub fn publish(&self, name: &Name) -> Result<()> {
        set_up_directory(Path::new(DIRECTORY))?;
        publish(name, &path_of(name), self)
    }

    /// Takes the name from a namespace; the namespace itself goes with its last process, socket or other name.
    ///
    /// Also removes what a creator that was killed half-way left. False if there was no such name.
    ///
    /// # Errors
    /// If the file under /run/netns can be neither unmounted nor removed.
    pub fn delete_named(name: &Name) -> Result<bool> {
        let path = path_of(name);
        unmount_all(name, &path)?;
        match unlink(&path) {
            Ok(()) => Ok(true),
            Err(nix::Error::ENOENT) => Ok(false),
            Err(errno) => Err(failed("delete", object(name), errno)),
        }
    }
}

fn path_of(name: &Name) -> PathBuf {
    Path::new(DIRECTORY).join(name.as_str())
}

fn object(name: &Name) -> String {
    format!("namespace {name}")
}

fn taken(name: &Name) -> Error {
    Error::new(Kind::Conflict, "create", object(name), format!("{DIRECTORY}/{name} exists already"))
        .remedy(format!("use another name, or delete it first: `fwd ns rm {}`", word(name.as_str())))
}

/// Makes `directory` a shared mount of its own, as `ip netns add` does, so that names removed in one mount namespace
/// go away in all of them.
///
/// A lock keeps two creators from binding it over itself again and again (iproute2's netns_add knows the story); the
/// directory stays a mount afterwards, as it does with iproute2.
fn set_up_directory(directory: &Path) -> Result<()> {
    let shown = directory.display().to_string();
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(directory)
        .map_err(|error| failed("create", &shown, error))?;
    let lock = open(directory, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
        .map_err(|errno| failed("open", &shown, errno))?;
    let _lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, errno)| failed("lock", &shown, errno))?;
    let share = |what| mount(NOTHING, directory, NOTHING, MsFlags::MS_SHARED | what, NOTHING);
    // The directory alone: each of a thousand names in it is a mount, too.
    match share(MsFlags::empty()) {
        // EINVAL: it is no mount yet.
        Err(nix::Error::EINVAL) => {
            mount(Some(directory), directory, NOTHING, MsFlags::MS_BIND | MsFlags::MS_REC, NOTHING)
                .map_err(|errno| failed("bind to itself", &shown, errno))?;
            share(MsFlags::MS_REC)
        }
        result => result,
    }
    .map_err(|errno| failed("make a shared mount of", &shown, errno))
}

/// Binds the namespace to a new file, which must not exist: no link is followed, nothing is overwritten.
fn publish(name: &Name, path: &Path, netns: &Netns) -> Result<()> {
    let flags = OFlag::O_RDONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    match open(path, flags, Mode::empty()) {
        Ok(_) => {}
        Err(nix::Error::EEXIST) => return Err(taken(name)),
        Err(errno) => return Err(failed("create", object(name), errno)),
    }
    let source = PathBuf::from(format!("/proc/thread-self/fd/{}", netns.as_fd().as_raw_fd()));
    mount(Some(&source), path, NOTHING, MsFlags::MS_BIND, NOTHING).map_err(|errno| {
        let error = failed("create", object(name), errno);
        match unlink(path) {
            Ok(()) => error,
            Err(left) => error.remedy(format!("{} is left over ({left}): remove it", path.display())),
        }
    })
}

/// Takes every mount off `path`. A name that is a symbolic link is not followed to what it points at.
fn unmount_all(name: &Name, path: &Path) -> Result<()> {
    for _ in 0..MOST_LAYERS {
        match umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) => {}
            // No mount (any more), or no such file.
            Err(nix::Error::EINVAL | nix::Error::ENOENT) => return Ok(()),
            Err(errno) => return Err(failed("delete", object(name), errno)),
        }
    }
    Ok(())
}
