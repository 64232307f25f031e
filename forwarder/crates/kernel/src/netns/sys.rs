//! System calls that nix does not wrap.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
};

use nix::unistd::ForkResult;

/// `_IO(NSIO, 3)` of include/uapi/linux/nsfs.h: the kind of a namespace, as its `CLONE_NEW…` flag.
const NS_GET_NSTYPE: libc::Ioctl = 0xb703;

/// The `CLONE_NEW…` flag that tells of which kind the namespace behind `fd` is.
///
/// # Errors
/// `ENOTTY` if `fd` is no namespace.
pub(super) fn namespace_type(fd: impl AsFd) -> io::Result<libc::c_int> {
    // SAFETY: NS_GET_NSTYPE takes no argument and writes no memory; the caller's borrow keeps the descriptor open.
    let kind = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), NS_GET_NSTYPE) };
    if kind < 0 { Err(io::Error::last_os_error()) } else { Ok(kind) }
}

/// The cookie of the network namespace in which `socket` was made: never reused until reboot (Linux 5.14).
///
/// # Errors
/// `ENOPROTOOPT` before Linux 5.14.
pub(super) fn socket_netns_cookie(socket: impl AsFd) -> io::Result<u64> {
    let mut cookie = 0_u64;
    let mut length: libc::socklen_t = 8;
    // SAFETY: the kernel writes at most `length` bytes to `cookie`, which has 8, and the written length to `length`;
    // both live on this stack frame until the call returns.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(cookie) }
}

/// Makes a copy of the calling process, which must have no other thread.
///
/// # Errors
/// The kernel has no room for another process.
pub(super) fn fork() -> io::Result<ForkResult> {
    // SAFETY: a copy of a process with one thread may do whatever the process may: no lock is held by a thread that is not there.
    // Namespaces are entered on threads that are joined, and the command line starts no other before it runs a command.
    unsafe { nix::unistd::fork() }.map_err(io::Error::from)
}

/// Ends the calling process without what it registered for its end, which belongs to the process that it is a copy of.
pub(super) fn exit_now() -> ! {
    // SAFETY: it touches no memory, and does not return.
    unsafe { libc::_exit(0) }
}

/// Closes every descriptor above the standard streams but these.
///
/// # Errors
/// The kernel is older than Linux 5.9.
pub(super) fn close_all_but(kept: &[impl AsFd]) -> io::Result<()> {
    let mut kept: Vec<libc::c_uint> =
        kept.iter().filter_map(|fd| libc::c_uint::try_from(fd.as_fd().as_raw_fd()).ok()).collect();
    kept.sort_unstable();
    let mut first = 3;
    for last in kept.into_iter().filter_map(|fd| fd.checked_sub(1)).chain([libc::c_uint::MAX]) {
        if first <= last {
            // SAFETY: the call takes three integers. Whoever owns one of these descriptors lives in the process that this one is a
            // copy of; here their owners are never used again, nor dropped, because the process ends by `exit_now`.
            let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
            if result < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        first = last.saturating_add(2);
    }
    Ok(())
}

/// A descriptor that stays with this very process, even when its number is given to another one.
///
/// # Errors
/// `ESRCH` if there is no such process; `EINVAL` or `ENOENT` for a thread that is no process.
pub(super) fn pidfd_open(pid: u32) -> io::Result<OwnedFd> {
    let pid = libc::pid_t::try_from(pid).ok().filter(|pid| *pid > 0);
    let pid = pid.ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
    // SAFETY: the call takes two integers and touches no memory of ours.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just returned this descriptor, so it is open and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
