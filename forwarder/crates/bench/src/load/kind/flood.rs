//! UDP as fast as one sender can, counted where it arrives. Each datagram is a packet of its own: neither segmentation offload
//! (`UDP_SEGMENT`) nor fragments.
//!
//! Sender and receiver take turns on one CPU: the sender gives way after each burst, and the receiver takes all of it. So the rate
//! is the inverse of what a datagram costs from `sendmmsg` to `recvmmsg`, nothing is lost because a receiver was late, and no
//! wake-up of another CPU is in it.

use std::{
    hint,
    io::{self, ErrorKind},
    net::{SocketAddr, UdpSocket},
    os::fd::AsRawFd as _,
    sync::mpsc::{Receiver, Sender},
    time::{Duration, Instant},
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

/// Datagrams to be sent.
#[derive(Clone, Copy, Debug)]
pub(in crate::load) struct Trial {
    /// Per second; none for as many as go.
    pub(in crate::load) rate: Option<f64>,
    /// For how long.
    pub(in crate::load) lasts: Duration,
}

/// Sends as many as each trial asks for, at even times, until there are no more trials; tells how many, and how long that took.
pub(in crate::load) fn offer(
    size: usize,
    server: SocketAddr,
    key: Key,
    trials: &Receiver<Trial>,
    sent: &Sender<(u64, Duration)>,
    tally: &Tally,
) -> Result<()> {
    let socket = socket::bind_to(server)?;
    socket::introduce(&socket, server, key)?;
    forbid_fragments(&socket, server).doing("forbid fragments to", socket::udp(server))?;
    let mut batch = Batch::new(BURST, size);
    while let Ok(trial) = trials.recv() {
        let (begin, mut count) = (Instant::now(), 0_u64);
        while begin.elapsed() < trial.lasts && !tally.is_over() {
            let due = trial.rate.map_or(BURST, |rate| due(rate, begin.elapsed(), count));
            let sent_now = if due > 0 { batch.send_first(&socket, due) } else { Ok(0) };
            match sent_now {
                Ok(0) => hint::spin_loop(),
                Ok(some) => count += some as u64,
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => {
                    let why = format!("datagrams of {size} bytes are too long for the path: ask for a smaller --size");
                    return Err(Error::new(Kind::Failed, "send to", socket::udp(server), why));
                }
                Err(error) => return Err(refused(server, &error, tally)),
            }
        }
        tally.add(count);
        if sent.send((count, begin.elapsed())).is_err() {
            break;
        }
    }
    Ok(())
}

/// Datagrams that are due after so long, less those that were `sent`; at most a burst.
fn due(rate: f64, elapsed: Duration, sent: u64) -> usize {
    let all = (rate * elapsed.as_secs_f64()) as u64;
    usize::try_from(all.saturating_sub(sent)).unwrap_or(BURST).min(BURST)
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{BURST, due};

    #[test]
    fn datagrams_are_due_at_even_times_and_late_ones_in_bursts() {
        let after = |micros, sent| due(10_000.0, Duration::from_micros(micros), sent);
        assert_eq!((after(0, 0), after(99, 0), after(101, 0), after(101, 1), after(1_001, 4)), (0, 0, 1, 0, 6));
        assert_eq!(after(1_000_000, 0), BURST);
        assert_eq!(after(0, 5), 0, "more than were due");
    }
}
