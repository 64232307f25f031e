//! Connect, request, reply, reset, `TCP_CRR`: the next connection when the one before is gone.
//!
//! The reset (`SO_LINGER` of 0) leaves no socket waiting for two minutes, of which the ports would run out. Both ends take turns
//! on one CPU, as in [`ping`](super::ping).

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpListener},
};

use nix::sys::socket::{setsockopt, sockopt::Linger};

use super::ping;
use crate::load::{
    guest::Guest,
    load_request::LoadRequest,
    secret::{KEY, Key},
    socket::{self, PATIENCE},
    time::window::Window,
    workers::Tally,
};
use fwd_base::Result;

/// Replies once to each connection of the guest, until the listening socket is shut down.
pub(in crate::load) fn serve(listener: &TcpListener, guest: &Guest, size: usize, tally: &Tally) -> Result<()> {
    // The key, and the request behind it.
    let mut message = vec![0; KEY + size];
    while !tally.is_over() {
        let (mut stream, peer) = socket::accept(listener)?;
        if !guest.may_come_from(peer.ip()) {
            continue;
        }
        let request = stream.read_exact(&mut message);
        let (key, reply) = message.split_at(KEY);
        if guest.is_among_others() && (request.is_err() || !guest.has(key)) {
            continue;
        }
        let served = request.and_then(|()| stream.write_all(reply));
        // The client's reset is the end of it, before or after the reply was read.
        match served.and_then(|()| stream.read(&mut message)) {
            Ok(_) => tally.add(1),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => tally.add(1),
            Err(error) => return Err(socket::silent("serve", socket::tcp(peer), &error, "no request and reset")),
        }
    }
    Ok(())
}

/// Connects and asks until the end.
pub(in crate::load) fn run(
    request: &LoadRequest,
    server: SocketAddr,
    key: Key,
    window: &Window,
    tally: &Tally,
) -> Result<()> {
    let mut message = vec![0; KEY + request.size];
    ping::measure(window, tally, &mut || exchange(server, key, &mut message), |error| {
        let silence = format!("no answer within {PATIENCE:?} after {} connections", tally.amount());
        socket::silent("connect to and ask", socket::tcp(server), error, &silence)
    })
}

/// A connection from its beginning to its reset.
fn exchange(server: SocketAddr, key: Key, message: &mut [u8]) -> io::Result<()> {
    let resets = libc::linger { l_onoff: 1, l_linger: 0 };
    let mut stream = socket::connect_bare(server, |new| setsockopt(new, Linger, &resets))?;
    message[..KEY].copy_from_slice(&key.0);
    stream.write_all(message)?;
    stream.read_exact(&mut message[KEY..])
}
