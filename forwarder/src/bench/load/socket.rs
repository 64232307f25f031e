//! Sockets whose waits have an end, and errors that say who did not answer.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket},
    os::fd::AsFd,
    time::Duration,
};

use nix::sys::{
    socket::{
        setsockopt,
        sockopt::{ReceiveTimeout, SendTimeout},
    },
    time::{TimeVal, TimeValLike as _},
};

use crate::{Context as _, Error, Kind, Result};

/// How long a client waits for one answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// How long a server waits for one request: the client, which knows more about what went wrong, gives up first.
pub(super) const LONG_PATIENCE: Duration = Duration::from_secs(6);

/// A socket of the calling thread's namespace that waits for connections, and for none longer than [`LONG_PATIENCE`].
pub(super) fn listen(address: SocketAddrV4) -> Result<(TcpListener, SocketAddrV4)> {
    let listener = TcpListener::bind(address).doing("listen on", tcp(address))?;
    bound(&listener, LONG_PATIENCE).doing("listen on", tcp(address))?;
    let address = v4(listener.local_addr().doing("listen on", tcp(address))?)?;
    Ok((listener, address))
}

/// A connection out of the calling thread's namespace.
pub(super) fn connect(address: SocketAddrV4) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address.into(), PATIENCE);
    let stream = stream
        .map_err(|error| silent("connect to", tcp(address), &error, &format!("no answer within {PATIENCE:?}")))?;
    prepare(&stream, PATIENCE)?;
    Ok(stream)
}

/// Takes a connection, for a server.
pub(super) fn accept(listener: &TcpListener) -> Result<(TcpStream, SocketAddr)> {
    let accepted = listener.accept();
    let (stream, peer) = accepted.map_err(|error| {
        silent("accept", "a connection".into(), &error, &format!("nobody connected within {LONG_PATIENCE:?}"))
    })?;
    prepare(&stream, LONG_PATIENCE)?;
    Ok((stream, peer))
}

/// Sends at once what is written, and waits for nothing longer than `patience`.
fn prepare(stream: &TcpStream, patience: Duration) -> Result<()> {
    stream.set_nodelay(true).doing("set up", "a TCP socket")?;
    bound(stream, patience).doing("set up", "a TCP socket")
}

/// A UDP socket of the calling thread's namespace, for a server.
pub(super) fn bind(address: SocketAddrV4) -> Result<(UdpSocket, SocketAddrV4)> {
    let socket = UdpSocket::bind(address).doing("bind", udp(address))?;
    bound(&socket, LONG_PATIENCE).doing("bind", udp(address))?;
    let address = v4(socket.local_addr().doing("bind", udp(address))?)?;
    Ok((socket, address))
}

/// A UDP socket of the calling thread's namespace that talks to `peer` alone.
pub(super) fn bind_to(peer: SocketAddrV4) -> Result<UdpSocket> {
    let (socket, _) = bind(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(peer).doing("connect to", udp(peer))?;
    bound(&socket, PATIENCE).doing("connect to", udp(peer))?;
    Ok(socket)
}

/// Has it wait for nothing longer than `limit`.
pub(super) fn bound(socket: &impl AsFd, limit: Duration) -> nix::Result<()> {
    let limit = TimeVal::milliseconds(i64::try_from(limit.as_millis()).unwrap_or(i64::MAX));
    setsockopt(socket, ReceiveTimeout, &limit)?;
    setsockopt(socket, SendTimeout, &limit)
}

/// For errors.
pub(super) fn tcp(address: impl std::fmt::Display) -> String {
    format!("{address} over TCP")
}

/// For errors.
pub(super) fn udp(address: impl std::fmt::Display) -> String {
    format!("{address} over UDP")
}

/// Whether it is the patience of a socket that ended.
fn timed_out(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// An error of an exchange: `what` where its patience ended.
pub(super) fn silent(doing: &str, object: String, error: &io::Error, what: &str) -> Error {
    let why = if timed_out(error) { what.to_owned() } else { error.to_string() };
    Error::new(Kind::Failed, doing, object, why)
}

fn v4(address: SocketAddr) -> Result<SocketAddrV4> {
    match address {
        SocketAddr::V4(address) => Ok(address),
        SocketAddr::V6(_) => Err(Error::new(Kind::Unsupported, "use", address.to_string(), "it is no IPv4 address")),
    }
}
