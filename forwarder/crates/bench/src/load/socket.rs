//! Sockets whose waits have an end, and errors that say who did not answer.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsFd, AsRawFd as _, OwnedFd},
    time::{Duration, Instant},
};

use nix::sys::{
    socket::{
        AddressFamily, MsgFlags, SockFlag, SockType, SockaddrStorage, connect as connect_to, recvfrom, sendto,
        setsockopt, socket as make,
        sockopt::{ReceiveTimeout, SendTimeout},
    },
    time::{TimeVal, TimeValLike as _},
};

use super::{
    guest::Guest,
    secret::{KEY, Key},
    workers::Tally,
};
use fwd_base::{Context as _, Error, Kind, Result};

/// How long a client waits for one answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// How long a server waits for one request: the client, which knows more about what went wrong, gives up first.
pub(super) const LONG_PATIENCE: Duration = Duration::from_secs(6);
/// How long a key may take: whoever has none keeps the server no longer from the one who has.
const KEY_PATIENCE: Duration = Duration::from_secs(1);
/// How long one datagram with a key is waited for before the next is sent.
const RESEND: Duration = Duration::from_millis(200);

/// A socket of the calling thread's namespace that waits for connections, and for none longer than [`LONG_PATIENCE`].
pub(super) fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).doing("listen on", tcp(address))?;
    bound(&listener, LONG_PATIENCE).doing("listen on", tcp(address))?;
    let address = listener.local_addr().doing("listen on", tcp(address))?;
    Ok((listener, address))
}

/// A connection out of the calling thread's namespace.
pub(super) fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE);
    let stream = stream
        .map_err(|error| silent("connect to", tcp(address), &error, &format!("no answer within {PATIENCE:?}")))?;
    prepare(&stream, PATIENCE)?;
    Ok(stream)
}

/// The same, for a load: it begins with the key.
pub(super) fn join(address: SocketAddr, key: Key) -> Result<TcpStream> {
    let mut stream = connect(address)?;
    stream.write_all(&key.0).doing("send a key to", tcp(address))?;
    Ok(stream)
}

/// Takes the connection that begins with the guest's key, for a server. All others are closed.
pub(super) fn admit(listener: &TcpListener, guest: &Guest, tally: &Tally) -> Result<TcpStream> {
    let began = Instant::now();
    while !tally.is_over() && began.elapsed() < LONG_PATIENCE {
        let (mut stream, peer) = accept(listener)?;
        let mut said = [0; KEY];
        bound(&stream, KEY_PATIENCE).doing("set up", "a TCP socket")?;
        if guest.may_come_from(peer.ip()) && stream.read_exact(&mut said).is_ok() && guest.has(&said) {
            bound(&stream, LONG_PATIENCE).doing("set up", "a TCP socket")?;
            return Ok(stream);
        }
    }
    Err(Error::new(Kind::Failed, "accept", "a connection", format!("no client of ours within {LONG_PATIENCE:?}")))
}

/// Takes a connection, for a server.
pub(super) fn accept(listener: &TcpListener) -> Result<(TcpStream, SocketAddr)> {
    let (stream, peer) = accept_bare(listener)?;
    prepare(&stream, LONG_PATIENCE)?;
    Ok((stream, peer))
}

/// The same as it comes, for loads in which each system call counts.
pub(super) fn accept_bare(listener: &TcpListener) -> Result<(TcpStream, SocketAddr)> {
    listener.accept().map_err(|error| {
        silent("accept", "a connection".into(), &error, &format!("nobody connected within {LONG_PATIENCE:?}"))
    })
}

/// A connection that is set up by few system calls, `set` among them, for loads in which each counts.
pub(super) fn connect_bare(server: SocketAddr, set: impl FnOnce(&OwnedFd) -> nix::Result<()>) -> io::Result<TcpStream> {
    let family = if server.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let new = make(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    bound(&new, PATIENCE)?;
    set(&new)?;
    match connect_to(new.as_raw_fd(), &SockaddrStorage::from(server)) {
        // So ends the patience of a socket that connects.
        Err(nix::Error::EINPROGRESS) => Err(io::ErrorKind::TimedOut.into()),
        connected => connected.map(|()| TcpStream::from(new)).map_err(Into::into),
    }
}

/// Sends at once what is written, and waits for nothing longer than `patience`.
fn prepare(stream: &TcpStream, patience: Duration) -> Result<()> {
    stream.set_nodelay(true).doing("set up", "a TCP socket")?;
    bound(stream, patience).doing("set up", "a TCP socket")
}

/// A UDP socket of the calling thread's namespace, for a server.
pub(super) fn bind(address: SocketAddr) -> Result<(UdpSocket, SocketAddr)> {
    let socket = UdpSocket::bind(address).doing("bind", udp(address))?;
    bound(&socket, LONG_PATIENCE).doing("bind", udp(address))?;
    let address = socket.local_addr().doing("bind", udp(address))?;
    Ok((socket, address))
}

/// A UDP socket of the calling thread's namespace that talks to `peer` alone.
pub(super) fn bind_to(peer: SocketAddr) -> Result<UdpSocket> {
    let (socket, _) = bind(SocketAddr::new(any(peer), 0))?;
    socket.connect(peer).doing("connect to", udp(peer))?;
    bound(&socket, PATIENCE).doing("connect to", udp(peer))?;
    Ok(socket)
}

/// The same on a port of choice; the inner error is that of the port.
pub(super) fn bind_port_to(port: u16, peer: SocketAddr) -> Result<io::Result<UdpSocket>> {
    let socket = match UdpSocket::bind(SocketAddr::new(any(peer), port)) {
        Ok(socket) => socket,
        Err(error) => return Ok(Err(error)),
    };
    socket.connect(peer).doing("connect to", udp(peer))?;
    bound(&socket, PATIENCE).doing("connect to", udp(peer))?;
    Ok(Ok(socket))
}

/// Any address of the family.
fn any(peer: SocketAddr) -> IpAddr {
    match peer {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// Has the server at the other end of a UDP socket know the client: sends the key until it comes back.
pub(super) fn introduce(socket: &UdpSocket, server: SocketAddr, key: Key) -> Result<()> {
    let (doing, object) = ("reach", || udp(server));
    bound(socket, RESEND).doing(doing, object())?;
    let began = Instant::now();
    let mut said = [0; KEY + 1];
    while began.elapsed() < PATIENCE {
        socket.send(&key.0).map_err(|error| silent(doing, object(), &error, "the path takes nothing"))?;
        match socket.recv(&mut said) {
            Ok(length) if said.get(..length).is_some_and(|said| key.is(said)) => {
                return bound(socket, PATIENCE).doing(doing, object());
            }
            Err(error) if !timed_out(&error) => return Err(silent(doing, object(), &error, "")),
            Ok(_) | Err(_) => {}
        }
    }
    Err(Error::new(Kind::Failed, doing, object(), format!("no answer within {PATIENCE:?}")))
}

/// Waits for the guest's key at a UDP socket, and says where the guest is. What others send is ignored.
pub(super) fn await_guest(socket: &UdpSocket, guest: &Guest, tally: &Tally) -> Result<SockaddrStorage> {
    let failed = |error: nix::Error| {
        silent("receive", "the key of a client".into(), &error.into(), &format!("nothing within {LONG_PATIENCE:?}"))
    };
    let mut said = [0; KEY + 1];
    while !tally.is_over() {
        // recvfrom(2) of nix, because that of std panics when the socket is shut down: there is no sender then.
        let (length, peer) = recvfrom::<SockaddrStorage>(socket.as_raw_fd(), &mut said).map_err(failed)?;
        if let Some(peer) = peer.filter(|peer| is_of(guest, peer))
            && said.get(..length).is_some_and(|said| guest.has(said))
        {
            return Ok(peer);
        }
    }
    Err(Error::new(Kind::Failed, "receive", "the key of a client", "the load was ended"))
}

/// Whether a datagram from there may be the guest's.
pub(super) fn is_of(guest: &Guest, peer: &SockaddrStorage) -> bool {
    ip(peer).is_some_and(|ip| guest.may_come_from(ip))
}

/// Sends the guest's key back: from now on all is served.
pub(super) fn greet(socket: &UdpSocket, guest: &Guest, at: &SockaddrStorage) -> Result<()> {
    let sent = sendto(socket.as_raw_fd(), &guest.key().0, at, MsgFlags::empty());
    sent.map(drop).doing("answer", udp(at))
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

/// The address of who sent a datagram.
fn ip(from: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = from.as_sockaddr_in().map(|it| it.ip().into());
    v4.or_else(|| from.as_sockaddr_in6().map(|it| it.ip().into()))
}
