//! New UDP flows: a row of sockets, each on a port that was not used before, sends one datagram and gets it back.
//!
//! Sockets are made and closed outside of the time that counts. Both ends take turns on one CPU, as in [`ping`](super::ping); a flow costs its
//! first packet each way, which a path has to make an entry for, and two system calls at each end.

use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, UdpSocket},
    os::fd::AsRawFd as _,
    thread,
    time::{Duration, Instant},
};

use nix::sys::socket::{MsgFlags, SockaddrStorage, recvfrom, sendto};

use super::ROW;
use crate::load::{
    guest::Guest,
    secret::{KEY, Key},
    socket::{self, PATIENCE},
    time::window::Window,
    workers::Tally,
};
use fwd_base::{Context as _, Error, Kind, Result};

/// Flows of one load that count at most: each takes a port of its own, of which a client has 64,000.
const MOST: u64 = 8_000;
/// How long it waits before each further row.
const IDLE: Duration = Duration::from_millis(50);
/// Rows before those that count.
const WARM_UP: u64 = 2;
/// Ports of a client.
const PORTS: std::ops::RangeInclusive<u16> = 1_024..=u16::MAX;

/// Sends each datagram of the guest back, until the socket is shut down.
pub(in crate::load) fn serve(socket: &UdpSocket, guest: &Guest, tally: &Tally) -> Result<()> {
    let mut said = [0; KEY + 1];
    let failed = |error: nix::Error| {
        socket::silent("answer", "new flows of a client".into(), &error.into(), "no datagram for seconds")
    };
    while !tally.is_over() {
        let (length, peer) = recvfrom::<SockaddrStorage>(socket.as_raw_fd(), &mut said).map_err(failed)?;
        let said = said.get(..length).unwrap_or_default();
        if let Some(peer) = peer.filter(|peer| socket::is_of(guest, peer) && guest.has(said)) {
            sendto(socket.as_raw_fd(), said, &peer, MsgFlags::empty()).map_err(failed)?;
            tally.add(1);
        }
    }
    Ok(())
}

/// Makes flows until the end; when [`MOST`] have counted, no more than now and then.
pub(in crate::load) fn run(server: SocketAddr, key: Key, window: &Window, tally: &Tally) -> Result<()> {
    let failed = |error: &io::Error| {
        let silence = format!("a new flow got no answer within {PATIENCE:?}, after {} that did", tally.amount());
        socket::silent("ask by new flows", socket::udp(server), error, &silence)
    };
    let mut ports = Ports::from(fastrand::u16(PORTS));
    let (mut rows, mut counted) = (0, 0);
    while !tally.is_over() {
        if rows == WARM_UP {
            window.await_begin(|| tally.is_over());
        }
        if counted >= MOST {
            // The server shall know that somebody is there.
            thread::sleep(IDLE);
        }
        let row = (0..ROW).map(|_| ports.socket(server)).collect::<Result<Vec<_>>>()?;
        let begin = Instant::now();
        exchange(&row, key).map_err(|error| failed(&error))?;
        let end = Instant::now();
        if counted < MOST && window.counts(begin, end) {
            tally.add_timed(ROW as u64, end - begin);
            counted += ROW as u64;
        }
        tally.add(ROW as u64);
        rows += 1;
    }
    Ok(())
}

/// One datagram of each socket, and its answer.
fn exchange(row: &[UdpSocket], key: Key) -> io::Result<()> {
    row.iter().try_for_each(|socket| socket.send(&key.0).map(drop))?;
    let mut said = [0; KEY + 1];
    row.iter().try_for_each(|socket| match socket.recv(&mut said)? {
        length if said.get(..length).is_some_and(|said| key.is(said)) => Ok(()),
        _ => Err(io::Error::other("the answer is another datagram than was sent")),
    })
}

/// Ports that are used one after the other.
struct Ports {
    next: u16,
}

impl Ports {
    fn from(next: u16) -> Self {
        Self { next }
    }

    /// A port, and none of those before until all were taken.
    fn take(&mut self) -> u16 {
        let port = self.next;
        self.next = port.checked_add(1).unwrap_or(*PORTS.start());
        port
    }

    /// A socket on the next port that is free, for `server` alone.
    fn socket(&mut self, server: SocketAddr) -> Result<UdpSocket> {
        for _ in PORTS {
            match socket::bind_port_to(self.take(), server)? {
                Ok(socket) => return Ok(socket),
                Err(error) if error.kind() == ErrorKind::AddrInUse => {}
                Err(error) => return Err(error).doing("bind a port to ask", socket::udp(server)),
            }
        }
        Err(Error::new(Kind::Failed, "bind a port to ask", socket::udp(server), "all ports are in use"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{PORTS, Ports};

    #[test]
    fn no_port_comes_twice_before_all_have_come() {
        for first in [1_024, 40_000, u16::MAX] {
            let mut ports = Ports::from(first);
            let taken: BTreeSet<u16> = PORTS.map(|_| ports.take()).collect();
            assert_eq!((taken.len(), taken.first()), (PORTS.len(), Some(&1_024)));
            assert_eq!(ports.take(), first);
        }
    }
}
