//! System calls that nix does not wrap.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
};

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
