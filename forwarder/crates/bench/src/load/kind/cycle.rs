//! TCP connections set up and taken down, a row at a time: each of both has a rate of its own.
//!
//! A connection of the guest beside them keeps both ends in step: by a byte the client asks for the next step, and the server says that a
//! row is there. The server closes first, so that what waits for two minutes waits there, where it takes no port. Both ends take turns on
//! one CPU, as in [`ping`](super::ping).

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    time::Instant,
};

use super::ROW;
use crate::{
    Metric,
    load::{
        guest::Guest,
        secret::Key,
        socket::{self, PATIENCE},
        time::window::Window,
        workers::Tally,
    },
};
use fwd_base::Result;

/// Connections of one load that count at most: what a path keeps of those that are gone shall not fill it.
const MOST: u64 = 8_000;
/// Rows before those that count.
const WARM_UP: u64 = 2;

/// Takes rows of connections and closes them as the guest asks, until it is gone.
pub(in crate::load) fn serve(listener: &TcpListener, guest: &Guest, tally: &Tally) -> Result<()> {
    let mut control = socket::admit(listener, guest, tally)?;
    tally.shut_at_end(&control)?;
    let failed = |error: &io::Error| {
        socket::silent("serve", "connections of a client".into(), error, "it asked for nothing for seconds")
    };
    let mut row = Vec::with_capacity(ROW);
    while asked(&mut control).map_err(|error| failed(&error))? {
        while row.len() < ROW {
            let (stream, peer) = socket::accept_bare(listener)?;
            if guest.may_come_from(peer.ip()) {
                row.push(stream);
            }
        }
        say(&mut control).map_err(|error| failed(&error))?;
        if !asked(&mut control).map_err(|error| failed(&error))? {
            return Ok(());
        }
        row.clear();
        tally.add(ROW as u64);
    }
    Ok(())
}

/// Sets up and takes down until the end, or until there were [`MOST`]; of both, what `metric` is about counts.
pub(in crate::load) fn run(metric: Metric, server: SocketAddr, key: Key, window: &Window, tally: &Tally) -> Result<()> {
    let failed = |error: &io::Error| {
        let silence = format!("no answer within {PATIENCE:?} after {} connections", tally.amount());
        socket::silent("set up and take down connections to", socket::tcp(server), error, &silence)
    };
    let mut control = socket::join(server, key)?;
    let (mut rows, mut counted) = (0, 0);
    while !tally.is_over() && counted < MOST {
        if rows == WARM_UP {
            window.await_begin(|| tally.is_over());
        }
        let [begin, up, gone] = cycle(&mut control, server).map_err(|error| failed(&error))?;
        let (from, to) = if metric == Metric::TcpTeardown { (up, gone) } else { (begin, up) };
        if window.counts(from, to) {
            tally.add_timed(ROW as u64, to - from);
            counted += ROW as u64;
        }
        tally.add(ROW as u64);
        rows += 1;
    }
    Ok(())
}

/// When a row was begun, was there at both ends, and was gone at this one.
fn cycle(control: &mut TcpStream, server: SocketAddr) -> io::Result<[Instant; 3]> {
    say(control)?;
    let begin = Instant::now();
    let mut row = (0..ROW).map(|_| socket::connect_bare(server, |_| Ok(()))).collect::<io::Result<Vec<_>>>()?;
    if !asked(control)? {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    let up = Instant::now();
    say(control)?;
    for mut stream in row.drain(..) {
        if stream.read(&mut [0])? > 0 {
            return Err(io::Error::other("somebody sends over a connection that is to be taken down"));
        }
    }
    Ok([begin, up, Instant::now()])
}

/// Has the other end go on.
fn say(control: &mut TcpStream) -> io::Result<()> {
    control.write_all(&[1])
}

/// Waits until the other end says so; not if it is gone.
fn asked(control: &mut TcpStream) -> io::Result<bool> {
    match control.read_exact(&mut [0]) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => Ok(false),
        Err(error) => Err(error),
    }
}
