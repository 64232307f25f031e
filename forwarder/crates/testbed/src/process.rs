//! Programs inside namespaces: started, waited for with a deadline, and ended with their owner.

use std::{
    ffi::OsStr,
    fs,
    io::{self, Read},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{fs::MetadataExt, process::CommandExt},
    },
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use nix::{
    errno::Errno,
    sched::{CloneFlags, setns},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    cleanup::{self, Cleanup},
    wait_until,
};
use fwd_base::{Context, Error, Kind, Result};
use fwd_kernel::netns::Netns;

/// How long output is waited for after a program has ended: its children may hold the pipe open. Long enough for the thread that reads
/// it to have its turn on a busy machine.
const LAST_OUTPUT: Duration = Duration::from_secs(10);

/// A command that will run inside a network namespace, with nothing on standard input.
///
/// Only the network namespace changes: /sys stays the caller's, so `/sys/class/net` shows the wrong interfaces.
pub fn command_in<S: AsRef<OsStr>>(ns: &Netns, argv: &[S]) -> Command {
    let (program, arguments) = argv.split_first().map_or((OsStr::new(""), &[][..]), |(p, rest)| (p.as_ref(), rest));
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    let fd = ns.as_fd().try_clone_to_owned();
    // SAFETY: between fork and exec the closure only calls setns(2), which is async-signal-safe, on a descriptor it owns.
    unsafe { command.pre_exec(move || enter(&fd)) };
    command
}

fn enter(fd: &io::Result<OwnedFd>) -> io::Result<()> {
    match fd {
        Ok(fd) => Ok(setns(fd, CloneFlags::CLONE_NEWNET)?),
        Err(error) => Err(io::Error::from_raw_os_error(error.raw_os_error().unwrap_or(libc::EBADF))),
    }
}

/// What a program left behind.
#[derive(Clone, Debug)]
pub struct Output {
    /// The command, for messages.
    pub command: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Output {
    /// Makes an unsuccessful end an error that shows what the program wrote.
    ///
    /// # Errors
    /// The exit status is not 0.
    pub fn success(self) -> Result<Self> {
        if self.status.success() {
            return Ok(self);
        }
        let why = format!("{}\n{}{}", self.status, self.stdout, self.stderr);
        Err(Error::new(Kind::Failed, "run", format!("`{}`", self.command), why.trim_end()))
    }
}

/// Runs a command to its end, which must come within `limit`.
///
/// # Errors
/// It cannot be started, or takes too long; it is then killed.
pub fn run(command: Command, limit: Duration) -> Result<Output> {
    Process::spawn(command)?.wait(limit)
}

/// A running program, killed when dropped.
pub struct Process {
    command: String,
    child: Arc<Mutex<Child>>,
    stdout: Capture,
    stderr: Capture,
    _cleanup: Cleanup,
}

impl Process {
    /// The command, for messages.
    #[must_use]
    pub fn command(&self) -> &str {
        &self.command
    }

    /// Starts a command and captures what it writes.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn spawn(mut command: Command) -> Result<Self> {
        let argv: Vec<_> =
            [command.get_program()].into_iter().chain(command.get_args()).map(OsStr::to_string_lossy).collect();
        let text = argv.join(" ");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().doing("start", format!("`{text}`"))?;
        let stdout = Capture::start(child.stdout.take());
        let stderr = Capture::start(child.stderr.take());
        let child = Arc::new(Mutex::new(child));
        let cleanup = cleanup::on_exit({
            let child = Arc::clone(&child);
            move || end(&mut lock(&child))
        });
        Ok(Self { command: text, child, stdout, stderr, _cleanup: cleanup })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        lock(&self.child).id()
    }

    /// What it has written to standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it has written to standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Sends it a signal. One that has ended gets none.
    ///
    /// # Errors
    /// The signal cannot be sent.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let mut child = lock(&self.child);
        // Not yet waited for, so the id is still this process's.
        match child.try_wait().doing("look after", format!("`{}`", self.command))? {
            Some(_) => Ok(()),
            None => kill(pid(child.id()), signal).doing("signal", format!("`{}`", self.command)),
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It has not ended within `limit`; it is then killed, and the error shows what it wrote.
    pub fn wait(self, limit: Duration) -> Result<Output> {
        let what = format!("`{}` ends", self.command);
        let status = wait_until(limit, &what, || lock(&self.child).try_wait().doing("wait for", self.command.clone()));
        let status = status.map_err(|error| {
            let why = format!("{}\n{}{}", error.why, self.stdout(), self.stderr());
            Error::new(error.kind, error.doing, error.object, why.trim_end())
        })?;
        let captured = || Ok((self.stdout.is_complete() && self.stderr.is_complete()).then_some(()));
        if wait_until(LAST_OUTPUT, "all output is read", captured).is_err() {
            tracing::debug!("`{}` left children that keep its output open", self.command);
        }
        Ok(Output { command: self.command.clone(), status, stdout: self.stdout(), stderr: self.stderr() })
    }
}

/// Ends the processes that have this network namespace, except the caller's.
pub(super) fn kill_inside(ns: &Netns) -> Result<()> {
    let inode = ns.inode()?;
    for entry in fs::read_dir("/proc").doing("list", "/proc")?.flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if id == std::process::id() {
            continue;
        }
        if fs::metadata(entry.path().join("ns/net")).is_ok_and(|metadata| metadata.ino() == inode) {
            match kill(pid(id), Signal::SIGKILL) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(error) => return Err(error).doing("end", format!("process {id}")),
            }
        }
    }
    Ok(())
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(id.cast_signed())
}

fn end(child: &mut Child) {
    // An error says that it has ended by itself.
    if let Ok(None) = child.try_wait()
        && let Err(error) = child.kill().and_then(|()| child.wait())
    {
        tracing::warn!("cannot end process {}: {error}", child.id());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads a pipe on a thread of its own, so that the program never waits for us.
struct Capture {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Capture {
    fn start(pipe: Option<impl Read + Send + 'static>) -> Self {
        let bytes = Arc::default();
        let reader = pipe.map(|pipe| {
            let bytes = Arc::clone(&bytes);
            thread::spawn(move || read_all(pipe, &bytes))
        });
        Self { bytes, reader }
    }

    fn is_complete(&self) -> bool {
        self.reader.as_ref().is_none_or(JoinHandle::is_finished)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&lock(&self.bytes)).into_owned()
    }
}

fn read_all(mut pipe: impl Read, bytes: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 4096];
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => lock(bytes).extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
