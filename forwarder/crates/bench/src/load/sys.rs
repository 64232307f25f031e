//! System calls that no crate of ours wraps.

use std::{
    io, mem,
    net::{SocketAddr, UdpSocket},
    os::{
        fd::{AsFd, AsRawFd as _},
        unix::process::CommandExt as _,
    },
    process::Command,
    ptr,
};

use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};

/// Gives the calling thread a real-time priority: nothing of ordinary priority takes its CPU away.
///
/// # Errors
/// The user may not (CAP_SYS_NICE, RLIMIT_RTPRIO), or its control group has no real-time budget.
pub(super) fn become_realtime(priority: i32) -> io::Result<()> {
    // The kernel's `struct sched_param` is this one integer. Not by the C library: musl's knows of no other policy than the usual one.
    let wish: libc::c_int = priority;
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: the pointer is to a live sched_param, which the kernel copies; 0 is the calling thread.
    match unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, policy, &raw const wish) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Has the program that `command` starts stay on `cpu`, at a real-time priority if one is given and permitted.
///
/// # Errors
/// There is no such CPU. If the program may not use it, it does not start.
pub(super) fn keep_in_place(command: &mut Command, cpu: usize, priority: Option<i32>) -> nix::Result<()> {
    let mut cpus = CpuSet::new();
    cpus.set(cpu)?;
    let place = move || {
        sched_setaffinity(Pid::from_raw(0), &cpus)?;
        // Not permitted: it is measured at ordinary priority, only less evenly, as a thread of ours would be.
        drop(priority.map(become_realtime));
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes two system calls on values that it owns, which is async-signal-safe; neither
    // they nor their errors allocate.
    unsafe { command.pre_exec(place) };
    Ok(())
}

/// Has a socket that talks to `peer` never split a packet into fragments (`IP_PMTUDISC_DO`): what is too large is refused with EMSGSIZE.
pub(super) fn forbid_fragments(socket: &impl AsFd, peer: SocketAddr) -> io::Result<()> {
    let (level, option, value) = match peer {
        SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DO),
        SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DO),
    };
    let length = libc::socklen_t::try_from(size_of_val(&value)).map_err(io::Error::other)?;
    // SAFETY: the pointer is to a live int, which the kernel copies, and `length` is its size.
    done(unsafe { libc::setsockopt(socket.as_fd().as_raw_fd(), level, option, (&raw const value).cast(), length) })
}

/// The MTU of the way from a connected socket to its `peer`, bytes of the IP packet.
pub(super) fn path_mtu(socket: &impl AsFd, peer: SocketAddr) -> io::Result<usize> {
    let (level, option) = match peer {
        SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_MTU),
        SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_MTU),
    };
    let mut mtu: libc::c_int = 0;
    let mut length = libc::socklen_t::try_from(size_of_val(&mtu)).map_err(io::Error::other)?;
    // SAFETY: the pointers are to a live int and to its size, and the kernel writes no more than that.
    done(unsafe {
        libc::getsockopt(socket.as_fd().as_raw_fd(), level, option, (&raw mut mtu).cast(), &raw mut length)
    })?;
    usize::try_from(mtu).map_err(io::Error::other)
}

fn done(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Buffers for datagrams that are sent or received in one system call.
pub(super) struct Batch {
    bytes: Vec<u8>,
    size: usize,
    /// Of which each `msg_iov` points to the element of `slices` with the same index.
    messages: Vec<libc::mmsghdr>,
    /// Of which each points to its own `size` bytes of `bytes`.
    slices: Vec<libc::iovec>,
}

impl Batch {
    /// `count` datagrams of at most `size` bytes.
    pub(super) fn new(count: usize, size: usize) -> Self {
        let mut bytes = vec![0; count.saturating_mul(size)];
        let slice = |part: &mut [u8]| libc::iovec { iov_base: part.as_mut_ptr().cast(), iov_len: part.len() };
        let mut slices: Vec<_> = bytes.chunks_exact_mut(size).map(slice).collect();
        let message = |slice: &mut libc::iovec| {
            // SAFETY: all zero is a valid `mmsghdr`, one without name, parts and control data: pointers and integers, and paddings that
            // some C libraries have.
            let mut message: libc::mmsghdr = unsafe { mem::zeroed() };
            message.msg_hdr.msg_iov = slice;
            message.msg_hdr.msg_iovlen = 1;
            message
        };
        let messages = slices.iter_mut().map(message).collect();
        Self { bytes, size, messages, slices }
    }

    /// Bytes of each datagram.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Sends all of them over a connected socket, each as a datagram of its own. How many were sent.
    ///
    /// # Errors
    /// That of the first, if none was sent.
    pub(super) fn send(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        self.send_first(socket, self.messages.len())
    }

    /// The same of the first `count` of them.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub(super) fn send_first(&mut self, socket: &UdpSocket, count: usize) -> io::Result<usize> {
        let count = self.count().min(libc::c_uint::try_from(count).unwrap_or(libc::c_uint::MAX));
        // SAFETY: `messages` has at least `count` elements, whose pointers into `slices` and on into `bytes` stay valid as long as this
        // batch, because none of the three vectors ever changes its length; the exclusive borrow keeps others away.
        number(unsafe { libc::sendmmsg(socket.as_raw_fd(), self.messages.as_mut_ptr(), count, 0) })
    }

    /// Waits for one datagram and takes with it all that are there already. How many.
    ///
    /// # Errors
    /// The socket's patience ends.
    pub(super) fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        let (count, flags) = (self.count(), libc::MSG_WAITFORONE);
        let messages = self.messages.as_mut_ptr();
        // SAFETY: as in `send`; the kernel writes at most `size` bytes to each part of `bytes`, and `msg_len` and `msg_flags`.
        // The flags are signed or not, as the C library likes.
        number(unsafe { libc::recvmmsg(socket.as_raw_fd(), messages, count, flags as _, ptr::null_mut()) })
    }

    /// Bytes of the first `count` that were received.
    pub(super) fn bytes_of(&self, count: usize) -> u64 {
        self.messages.iter().take(count).map(|message| u64::from(message.msg_len)).sum()
    }

    fn count(&self) -> libc::c_uint {
        debug_assert_eq!(self.bytes.len(), self.slices.len() * self.size);
        libc::c_uint::try_from(self.messages.len()).unwrap_or(libc::c_uint::MAX)
    }
}

fn number(result: libc::c_int) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_as_many_datagrams() {
        let bind = || UdpSocket::bind("127.0.0.1:0").expect("loopback");
        let (from, to) = (bind(), bind());
        from.connect(to.local_addr().expect("bound")).expect("loopback");
        let mut batch = Batch::new(8, 64);
        assert_eq!(batch.send_first(&from, 3).expect("loopback") + batch.send(&from).expect("loopback"), 11);
        let mut received = 0;
        to.set_read_timeout(Some(std::time::Duration::from_secs(5))).expect("a socket");
        while received < 11 {
            received += Batch::new(3, 100).receive(&to).expect("a datagram");
        }
        assert_eq!(received, 11);
    }
}
