//! Runs a command in a namespace, as `ip netns exec` does: this process becomes the command.
//!
//! The command is no child, so it inherits the terminal, its signals and the parent that waits for it.

use std::{
    env,
    ffi::{OsStr, OsString},
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
};

use nix::{
    fcntl::{OFlag, open},
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::{
        stat::Mode,
        statvfs::{FsFlags, statvfs},
    },
};

use super::{
    Name, Netns, etc, failed, keeper,
    mounts::{self, Mount},
};
use fwd_base::{Context, Error, Kind, Result};

const NOTHING: Option<&Path> = None;

/// Exit status where `fwd` itself fails, as docker has it.
pub const OWN_FAILURE: u8 = 125;
/// That of a command that is there and cannot be executed, as shells have it.
const NOT_EXECUTABLE: u8 = 126;
/// That of a command that there is not.
const NO_SUCH_COMMAND: u8 = 127;

/// Each exit status of [`exec`] that is not the command's own, with what it means.
pub const EXIT_CODES: [(u8, &str); 3] = [
    (OWN_FAILURE, "`fwd` itself failed, or the command line makes no sense"),
    (NOT_EXECUTABLE, "the command cannot be executed"),
    (NO_SUCH_COMMAND, "there is no such command"),
];

/// Why the command did not run.
#[derive(Debug)]
pub struct Failure {
    /// Exit status, one of [`EXIT_CODES`].
    pub status: u8,
    /// What went wrong.
    pub error: Error,
}

/// Turns this process into the command `argv` inside `netns`; returns only if that fails.
///
/// The command gets a mount namespace of its own, in which /sys describes `netns` and each file of /etc/netns/NAME lies
/// over its namesake in /etc, also where the namespace was not given by its name, and also after the host has replaced the file
/// underneath. File systems mounted below /sys, such as cgroups and bpffs, stay where they are. Without
/// a command `$SHELL` runs, else /bin/sh.
///
/// The calling thread may be left in the namespace when it fails: the process is expected to end then.
#[must_use = "it returns only if the command did not run"]
pub fn exec(netns: &Netns, name: Option<&Name>, argv: &[OsString]) -> Failure {
    if let Err(error) = enter(netns, name) {
        return Failure { status: OWN_FAILURE, error };
    }
    let shell = [default_shell(env::var_os("SHELL"))];
    let argv = if argv.is_empty() { &shell } else { argv };
    let [program, arguments @ ..] = argv else { unreachable!("there is a program: an empty argv was replaced") };
    // Command also restores the signal mask and SIGPIPE, which the Rust runtime ignores.
    not_executed(program, Command::new(program).args(arguments).exec())
}

/// `$SHELL` if it is set to something.
fn default_shell(shell: Option<OsString>) -> OsString {
    shell.filter(|shell| !shell.is_empty()).unwrap_or_else(|| "/bin/sh".into())
}

/// The exit status that shells and docker give a command that cannot be executed.
fn not_executed(program: &OsStr, error: io::Error) -> Failure {
    let object = program.display().to_string();
    match error.kind() {
        io::ErrorKind::NotFound => Failure {
            status: NO_SUCH_COMMAND,
            error: Error::new(Kind::NotFound, "run", object, "there is no such command").caused_by(error),
        },
        _ => Failure {
            status: NOT_EXECUTABLE,
            error: Error::new(Kind::Failed, "run", object, error.to_string()).caused_by(error),
        },
    }
}

/// Moves the calling thread into `netns` and a new mount namespace that shows it.
fn enter(netns: &Netns, name: Option<&Name>) -> Result<()> {
    let found = if name.is_none() { etc::name_of(netns) } else { None };
    let name = name.or(found.as_ref());
    netns.enter()?;
    unshare(CloneFlags::CLONE_NEWNS).map_err(|errno| failed("make", "a mount namespace for the command", errno))?;
    // Mounts of the host still arrive, ours stay here.
    mount(NOTHING, "/", NOTHING, MsFlags::MS_SLAVE | MsFlags::MS_REC, NOTHING)
        .doing("detach", "the mounts of the command from the host's")?;
    let mounts = mounts::all().unwrap_or_default();
    mount_sysfs(name.map_or(mounts::EXEC_SOURCE, Name::as_str), &mounts)?;
    etc::uncover(&mounts);
    keeper::start(&name.map(etc::cover).unwrap_or_default());
    Ok(())
}

/// Mounts a sysfs that shows the interfaces of this namespace, and brings back what was mounted below the old one.
fn mount_sysfs(source: &str, mounts: &[Mount]) -> Result<()> {
    let sys = Path::new("/sys");
    let flags = statvfs(sys).map_or(MsFlags::empty(), |old| inherited(old.flags()));
    let below = mounts_below(sys, mounts);
    // The old one stays underneath: detached, nothing could be bound from it any more.
    match mount(Some(source), sys, Some("sysfs"), flags, NOTHING) {
        // An outer command has mounted that of the same namespace.
        Err(nix::Error::EBUSY) => return Ok(()),
        result => result.map_err(|errno| failed("mount", "a sysfs on /sys", errno))?,
    }
    for (point, opened) in below {
        let from = PathBuf::from(format!("/proc/thread-self/fd/{}", opened.as_raw_fd()));
        if let Err(errno) = mount(Some(&from), &point, NOTHING, MsFlags::MS_BIND | MsFlags::MS_REC, NOTHING) {
            tracing::debug!("{} is not available to the command: {errno}", point.display());
        }
    }
    Ok(())
}

/// The outermost mounts strictly below `directory`, held open. What cannot be opened is left out.
fn mounts_below(directory: &Path, mounts: &[Mount]) -> Vec<(PathBuf, OwnedFd)> {
    let points = mounts.iter().map(|mount| mount.point.clone());
    outermost(directory, points)
        .into_iter()
        .filter_map(|point| {
            let opened = open(&point, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
            Some((point, opened))
        })
        .collect()
}

/// Those of `points` strictly below `directory` that lie below no other such point, each once.
fn outermost(directory: &Path, points: impl IntoIterator<Item = PathBuf>) -> Vec<PathBuf> {
    let mut below: Vec<PathBuf> =
        points.into_iter().filter(|point| point.starts_with(directory) && point != directory).collect();
    // An ancestor sorts before what is below it.
    below.sort();
    let mut kept: Vec<PathBuf> = Vec::new();
    for point in below {
        if !kept.iter().any(|outer| point.starts_with(outer)) {
            kept.push(point);
        }
    }
    kept
}

/// The restrictions of the old /sys that the new one takes over.
fn inherited(old: FsFlags) -> MsFlags {
    [
        (FsFlags::ST_RDONLY, MsFlags::MS_RDONLY),
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
    ]
    .into_iter()
    .filter(|(flag, _)| old.contains(*flag))
    .map(|(_, flag)| flag)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shell_of_the_user_is_the_default() {
        assert_eq!(default_shell(Some("/bin/zsh".into())), "/bin/zsh");
        assert_eq!(default_shell(Some("".into())), "/bin/sh");
        assert_eq!(default_shell(None), "/bin/sh");
    }

    #[test]
    fn a_missing_command_and_one_that_is_no_program_differ() {
        let missing = not_executed("nope".as_ref(), io::Error::from_raw_os_error(libc::ENOENT));
        assert_eq!((missing.status, missing.error.kind), (127, Kind::NotFound));
        let denied = not_executed("/etc/passwd".as_ref(), io::Error::from_raw_os_error(libc::EACCES));
        assert_eq!(denied.status, 126);
        assert!(denied.error.to_string().contains("/etc/passwd"));
    }

    #[test]
    fn only_the_outermost_mounts_below_sys_are_brought_back() {
        let points = ["/", "/sys", "/sys/fs/cgroup/unified", "/sys/fs/cgroup", "/sys/fs/bpf", "/sysx", "/sys/fs/bpf"];
        let kept = outermost(Path::new("/sys"), points.map(PathBuf::from));
        assert_eq!(kept, ["/sys/fs/bpf", "/sys/fs/cgroup"].map(PathBuf::from));
    }

    #[test]
    fn a_read_only_sys_stays_read_only() {
        assert_eq!(inherited(FsFlags::ST_RDONLY), MsFlags::MS_RDONLY);
        assert_eq!(inherited(FsFlags::empty()), MsFlags::empty());
    }
}
