//! Request and reply over one connection, `TCP_RR` and `UDP_RR`: a message there, one back, the next.
//!
//! Both ends take turns on one CPU at real-time priority. Between two CPUs, a wake-up of the other one is in every message: it
//! takes longer than all else, and on a virtual machine it varies with the host's mood.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpListener, UdpSocket},
    os::fd::AsRawFd as _,
    time::{Duration, Instant},
};

use nix::sys::socket::{MsgFlags, SockaddrStorage, recvfrom, sendto};

use crate::load::{
    guest::Guest,
    load_request::LoadRequest,
    secret::{KEY, Key},
    socket::{self, PATIENCE},
    time::{schedule::Schedule, times::Times, window::Window},
    workers::Tally,
};
use fwd_base::Result;

/// Replies to the guest until it closes.
pub(in crate::load) fn serve_tcp(listener: &TcpListener, guest: &Guest, size: usize, tally: &Tally) -> Result<()> {
    let mut stream = socket::admit(listener, guest, tally)?;
    tally.shut_at_end(&stream)?;
    let mut message = vec![0; size];
    loop {
        match stream.read_exact(&mut message).and_then(|()| stream.write_all(&message)) {
            Ok(()) => tally.add(1),
            // The client is done.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => {
                return Err(socket::silent(
                    "exchange messages with",
                    "a client over TCP".into(),
                    &error,
                    "no request for seconds",
                ));
            }
        }
    }
}

/// Replies to the guest until the socket is shut down.
pub(in crate::load) fn serve_udp(socket: &UdpSocket, guest: &Guest, size: usize, tally: &Tally) -> Result<()> {
    let client = socket::await_guest(socket, guest, tally)?;
    socket::greet(socket, guest, &client)?;
    // Room for the key, which comes again where the answer to it was lost.
    let mut message = vec![0; size.max(KEY) + 1];
    let failed = |error: nix::Error| {
        socket::silent("exchange datagrams with", "a client".into(), &error.into(), "no request for seconds")
    };
    while !tally.is_over() {
        // As in `await_guest`.
        let (length, peer) = recvfrom::<SockaddrStorage>(socket.as_raw_fd(), &mut message).map_err(failed)?;
        let said = message.get(..length).unwrap_or_default();
        let again = guest.has(said);
        // What is none of ours gets no answer.
        if peer == Some(client) && (length == size || again) {
            sendto(socket.as_raw_fd(), said, &client, MsgFlags::empty()).map_err(failed)?;
            tally.add(u64::from(!again));
        }
    }
    Ok(())
}

/// Asks over TCP until the end.
pub(in crate::load) fn tcp(
    request: &LoadRequest,
    server: SocketAddr,
    key: Key,
    window: &Window,
    tally: &Tally,
) -> Result<()> {
    let mut stream = socket::join(server, key)?;
    let mut message = vec![0; request.size];
    let mut exchange = || stream.write_all(&message).and_then(|()| stream.read_exact(&mut message));
    measure(window, tally, &mut exchange, |error| {
        socket::silent("exchange messages with", socket::tcp(server), error, &nothing(tally))
    })
}

/// Asks over UDP until the end. No datagram is sent again: a path that loses one fails.
pub(in crate::load) fn udp(
    request: &LoadRequest,
    server: SocketAddr,
    key: Key,
    window: &Window,
    tally: &Tally,
) -> Result<()> {
    let socket = socket::bind_to(server)?;
    socket::introduce(&socket, server, key)?;
    let mut message = vec![0; request.size];
    let mut exchange = || {
        socket.send(&message)?;
        loop {
            match socket.recv(&mut message)? {
                // The answer to a second key, sent because that to the first was late.
                length if message.get(..length).is_some_and(|said| key.is(said)) => {}
                length if length == message.len() => return Ok(()),
                length => {
                    return Err(io::Error::other(format!("the reply has {length} bytes, not {}", message.len())));
                }
            }
        }
    };
    measure(window, tally, &mut exchange, |error| {
        socket::silent("exchange datagrams with", socket::udp(server), error, &nothing(tally))
    })
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn nothing(tally: &Tally) -> String {
    format!("no reply within {PATIENCE:?} after {} round trips", tally.amount())
}

/// Repeats `exchange` until the end, and keeps how long each took that lies within the window.
pub(in crate::load) fn measure(
    window: &Window,
    tally: &Tally,
    exchange: &mut dyn FnMut() -> io::Result<()>,
    failed: impl Fn(&io::Error) -> fwd_base::Error,
) -> Result<()> {
    let mut times = Times::new()?;
    let mut schedule = window.rate.map(|rate| Schedule::new(Instant::now(), rate));
    while !tally.is_over() {
        let before = match &mut schedule {
            Some(schedule) => schedule.await_next(|| tally.is_over())?,
            None => Instant::now(),
        };
        exchange().map_err(|error| failed(&error))?;
        let now = Instant::now();
        let counts = if schedule.is_some() { window.counts_due(before) } else { window.counts(before, now) };
        if counts {
            times.record(nanos(now.saturating_duration_since(before)))?;
        }
        tally.add(1);
    }
    if let Some(schedule) = schedule {
        schedule.left_over(window).try_for_each(|waited| times.record(nanos(waited)))?;
    }
    tally.add_latency(times)
}
