//! Ends a program in the middle of what it does, by SIGKILL, before one of the system calls by which it changes something.
//!
//! Of calls of a kind that follow one another, such as the pins of thirty programs, it may be ended before the first and before the second:
//! where nothing of it is done, and where a part is.

use std::{
    env,
    ffi::OsString,
    io::{Error, Result},
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

use nix::{
    errno::Errno,
    libc::{self, c_long},
    sys::{
        ptrace::{self, Options},
        signal::{Signal, kill, raise},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

/// How the helper ends where the program was ended.
const ENDED: u8 = 99;
/// Of bpf(2) (`enum bpf_cmd`): BPF_MAP_UPDATE_ELEM, BPF_OBJ_PIN, BPF_PROG_TEST_RUN, BPF_MAP_UPDATE_BATCH, BPF_LINK_CREATE, BPF_LINK_UPDATE, BPF_LINK_DETACH.
const OF_BPF: [u64; 7] = [2, 6, 10, 26, 28, 29, 34];
/// Calls that change a file system.
#[cfg(target_arch = "x86_64")]
const OF_FILES: &[c_long] = &[
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_mkdir,
    libc::SYS_mkdirat,
    libc::SYS_unlink,
    libc::SYS_unlinkat,
    libc::SYS_rmdir,
];
/// The same: this processor has no others.
#[cfg(not(target_arch = "x86_64"))]
const OF_FILES: &[c_long] = &[libc::SYS_renameat2, libc::SYS_mkdirat, libc::SYS_unlinkat];

/// A system call that changes something: its number, and the command where it is bpf(2).
#[derive(Clone, Copy, PartialEq, Eq)]
struct Change(u64, u64);

/// Runs a program and ends it at its `place`, from 0. Its own status if it comes to its end before.
pub(crate) fn die_at(place: usize, argv: &[OsString]) -> Result<ExitCode> {
    let own = env::current_exe()?;
    let child = Command::new(own).arg("traced").args(argv).spawn()?;
    let child = Pid::from_raw(child.id().try_into().map_err(Error::other)?);
    // It stops itself once before it becomes the program.
    waitpid(child, None)?;
    ptrace::setoptions(
        child,
        Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACECLONE | Options::PTRACE_O_EXITKILL,
    )?;
    ptrace::syscall(child, None)?;
    let (mut last, mut repeated, mut places) = (None, false, 0);
    loop {
        let (stopped, signal) = match waitpid(None, Some(WaitPidFlag::__WALL))? {
            WaitStatus::Exited(pid, status) if pid == child => return Ok(u8::try_from(status).unwrap_or(1).into()),
            WaitStatus::Signaled(pid, signal, _) if pid == child => {
                return Err(Error::other(format!("ended by {signal}")));
            }
            WaitStatus::PtraceSyscall(pid) => {
                if let Some(change) = change(pid)? {
                    let is_first = last != Some(change);
                    let is_place = is_first || !repeated;
                    repeated = !is_first;
                    last = Some(change);
                    if is_place && places == place {
                        kill(child, Signal::SIGKILL)?;
                        await_end(child)?;
                        eprintln!("ended before system call {} {}", change.0, change.1);
                        return Ok(ENDED.into());
                    }
                    places += usize::from(is_place);
                }
                (pid, None)
            }
            WaitStatus::PtraceEvent(pid, ..) | WaitStatus::Stopped(pid, Signal::SIGSTOP | Signal::SIGTRAP) => {
                (pid, None)
            }
            WaitStatus::Stopped(pid, signal) => (pid, Some(signal)),
            // Threads, and processes that it has started, come and go.
            _ => continue,
        };
        match ptrace::syscall(stopped, signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits until a process that was killed has ended: its other threads have to be waited for, too.
fn await_end(child: Pid) -> Result<()> {
    loop {
        match waitpid(None, Some(WaitPidFlag::__WALL))? {
            WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..) if pid == child => return Ok(()),
            _ => {}
        }
    }
}

/// Becomes a program that its parent traces.
pub(crate) fn be_traced(argv: &[OsString]) -> Error {
    let stopped = ptrace::traceme().and_then(|()| raise(Signal::SIGSTOP));
    let (Ok(()), [program, rest @ ..]) = (stopped, argv) else { return Error::last_os_error() };
    Command::new(program).args(rest).exec()
}

/// What a thread that has been stopped at a system call is about to change; none where it changes nothing, or comes back from it.
fn change(pid: Pid) -> Result<Option<Change>> {
    let info = match ptrace::syscall_info(pid) {
        Err(Errno::ESRCH) => return Ok(None),
        info => info?,
    };
    if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
        return Ok(None);
    }
    // SAFETY: the kernel says in `op` that this is the part that it has written.
    let entry = unsafe { info.u.entry };
    let is = |number: c_long| u64::try_from(number).is_ok_and(|number| number == entry.nr);
    let command = entry.args[0];
    if is(libc::SYS_bpf) && OF_BPF.contains(&command) {
        return Ok(Some(Change(entry.nr, command)));
    }
    Ok(OF_FILES.iter().any(|number| is(*number)).then_some(Change(entry.nr, 0)))
}
