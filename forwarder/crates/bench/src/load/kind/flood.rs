//! UDP as fast as one sender can, counted where it arrives. Each datagram is a packet of its own: neither segmentation offload
//! (`UDP_SEGMENT`) nor fragments.
//!
//! Sender and receiver take turns on one CPU: the sender gives way after each burst, and the receiver takes all of it. So the rate
//! is the inverse of what a datagram costs from `sendmmsg` to `recvmmsg`, nothing is lost because a receiver was late, and no
//! wake-up of another CPU is in it.

use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, UdpSocket},
    os::fd::AsRawFd as _,
};

use nix::{
    sched::sched_yield,
    sys::socket::{
        connect, setsockopt,
        sockopt::{RcvBuf, RcvBufForce},
    },
};

use crate::Metric;
use crate::load::{
    guest::Guest,
    secret::Key,
    socket,
    sys::{Batch, forbid_fragments, path_mtu},
    workers::Tally,
};
use fwd_base::{Context as _, Error, Kind, Result};

/// Datagrams that are sent and received in one system call.
const BURST: usize = 64;
/// Bytes of a small one.
const SMALL: usize = 64;
/// Bytes of the headers before the payload: of IPv4 or IPv6, and of UDP.
const HEADERS: [usize; 2] = [20 + 8, 40 + 8];
/// Bytes that a receiver has room for: the largest datagram.
const ROOM: usize = 65_507;
/// Bytes of the receiver's buffer in the kernel: many bursts.
const BUFFER: usize = 8 << 20;

/// Counts what arrives from the guest until the socket is shut down.
pub(in crate::load) fn receive(socket: &UdpSocket, guest: &Guest, tally: &Tally) -> Result<()> {
    let client = socket::await_guest(socket, guest, tally)?;
    if guest.is_among_others() {
        // Nothing of theirs from now on.
        connect(socket.as_raw_fd(), &client).doing("listen to", socket::udp(client))?;
    }
    socket::greet(socket, guest, &client)?;
    // More than the limit for everybody (net.core.rmem_max) needs CAP_NET_ADMIN.
    setsockopt(socket, RcvBufForce, &BUFFER)
        .or_else(|_| setsockopt(socket, RcvBuf, &BUFFER))
        .doing("set the buffer of", "a UDP socket")?;
    let mut batch = Batch::new(BURST, ROOM);
    while !tally.is_over() {
        let received = batch.receive(socket);
        let silence = format!("nothing for seconds after {} datagrams", tally.amount());
        let count = received.map_err(|error| socket::silent("receive", "datagrams".into(), &error, &silence))?;
        tally.add(count as u64);
        tally.add_bytes(batch.bytes_of(count));
    }
    Ok(())
}

/// Sends until the end.
pub(in crate::load) fn send(metric: Metric, server: SocketAddr, key: Key, tally: &Tally) -> Result<()> {
    let socket = socket::bind_to(server)?;
    socket::introduce(&socket, server, key)?;
    let object = || socket::udp(server);
    forbid_fragments(&socket, server).doing("forbid fragments to", object())?;
    let size = || if metric == Metric::UdpMtu { whole_packet(&socket, server) } else { Ok(SMALL) };
    let mut batch = Batch::new(BURST, size()?);
    while !tally.is_over() {
        match batch.send(&socket) {
            Ok(count) => tally.add(count as u64),
            // The way became narrower than the interface.
            Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => batch = smaller(&batch, size()?, server)?,
            // Some queue on the way out is full.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
            Err(error) => return Err(refused(server, &error, tally)),
        }
        sched_yield().doing("give way to", "the receiver")?;
    }
    Ok(())
}

/// Bytes that make a packet as long as the MTU of the way to the peer allows.
fn whole_packet(socket: &UdpSocket, server: SocketAddr) -> Result<usize> {
    let mtu = path_mtu(socket, server).doing("read", "the MTU of the path")?;
    Ok(mtu.saturating_sub(HEADERS[usize::from(server.is_ipv6())]).clamp(1, ROOM))
}

fn smaller(batch: &Batch, size: usize, server: SocketAddr) -> Result<Batch> {
    if size < batch.size() {
        return Ok(Batch::new(BURST, size));
    }
    let why = format!("datagrams of {} bytes are too long for the path", batch.size());
    Err(Error::new(Kind::Failed, "send to", socket::udp(server), why))
}

fn refused(server: SocketAddr, error: &io::Error, tally: &Tally) -> Error {
    let error = match error.kind() {
        ErrorKind::ConnectionRefused => &io::Error::other("nobody listens there (ICMP port unreachable)"),
        _ => error,
    };
    let silence = format!("the path takes no more after {} datagrams", tally.amount());
    socket::silent("send to", socket::udp(server), error, &silence)
}
