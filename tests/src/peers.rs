//! Sockets inside namespaces: a socket belongs to the namespace it was made in, wherever it is used.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsRawFd, OwnedFd},
    thread::{self, JoinHandle},
    time::Duration,
};

use forwarder::{
    Context, Result,
    netns::Netns,
    testbed::{patience, wait_until},
};
use nix::sys::{
    resource::{Resource, getrlimit, setrlimit},
    socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrStorage, sockopt},
};

/// How long a peer may keep us waiting.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Any free port of any address.
pub(crate) const ANY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);

pub(crate) const fn at(address: Ipv4Addr, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(address, port)
}

/// The same port of any address.
pub(crate) const fn any(port: u16) -> SocketAddrV4 {
    at(Ipv4Addr::UNSPECIFIED, port)
}

/// Binds a socket in a namespace. A former one at the same port may be open for a moment longer than the test has it: in a process that
/// another test starts, between fork and exec.
fn bound<T: Send>(ns: &Netns, local: SocketAddr, bind: impl Fn(SocketAddr) -> io::Result<T> + Sync) -> Result<T> {
    let free = || match bind(local) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => Ok(None),
        done => done.map(Some).doing("bind", local.to_string()),
    };
    ns.run(|| wait_until(PATIENCE, &format!("{local} is free"), free))
}

#[track_caller]
pub(crate) fn udp(ns: &Netns, local: impl Into<SocketAddr>) -> UdpSocket {
    let socket = bound(ns, local.into(), UdpSocket::bind).expect("a UDP socket");
    socket.set_read_timeout(Some(patience(PATIENCE))).expect("a socket");
    socket
}

#[track_caller]
pub(crate) fn listen(ns: &Netns, local: impl Into<SocketAddr>) -> TcpListener {
    bound(ns, local.into(), TcpListener::bind).expect("a listener")
}

/// A connection to `remote` from `local`, which may have been used a moment ago.
///
/// # Errors
/// It is refused, or takes too long.
pub(crate) fn connect(ns: &Netns, local: impl Into<SocketAddr>, remote: impl Into<SocketAddr>) -> Result<TcpStream> {
    let (local, remote) = (local.into(), remote.into());
    ns.run(|| connect_here(local, remote).doing("connect to", remote.to_string()))
}

/// As [`connect`], in the namespace of the calling thread.
pub(crate) fn connect_here(local: impl Into<SocketAddr>, remote: impl Into<SocketAddr>) -> std::io::Result<TcpStream> {
    let (local, remote): (SocketAddr, SocketAddr) = (local.into(), remote.into());
    let family = if remote.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd: OwnedFd = socket::socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    socket::setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    if local.port() != 0 || !local.ip().is_unspecified() {
        socket::bind(fd.as_raw_fd(), &SockaddrStorage::from(local))?;
    }
    let stream = TcpStream::from(fd);
    // connect(2) obeys the limit for sending.
    stream.set_write_timeout(Some(patience(PATIENCE)))?;
    stream.set_read_timeout(Some(patience(PATIENCE)))?;
    socket::connect(stream.as_raw_fd(), &SockaddrStorage::from(remote))?;
    Ok(stream)
}

/// Begins a connection from the calling thread's namespace, and does not wait for it.
pub(crate) fn knock(local: SocketAddrV4, remote: SocketAddrV4) -> bool {
    let begin = || -> std::io::Result<()> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd: OwnedFd = socket::socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
        socket::setsockopt(&fd, sockopt::ReuseAddr, &true)?;
        socket::bind(fd.as_raw_fd(), &SockaddrIn::from(local))?;
        Ok(socket::connect(fd.as_raw_fd(), &SockaddrIn::from(remote))?)
    };
    begin().is_err_and(|error| error.raw_os_error() == Some(nix::libc::EINPROGRESS))
}

/// Sends `message`; what comes back must be the same.
#[track_caller]
pub(crate) fn echoed(mut stream: &TcpStream, message: &[u8]) {
    stream.write_all(message).expect("the peer takes the message");
    let mut answer = vec![0; message.len()];
    stream.read_exact(&mut answer).expect("the peer answers");
    assert!(answer == message, "the answer is another");
}

/// Sends a request over UDP until its echo comes back: a first packet may be lost while a neighbour is being found.
#[track_caller]
pub(crate) fn asked(socket: &UdpSocket, server: impl Into<SocketAddr>, request: &[u8]) {
    let server = server.into();
    socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a socket");
    let mut answer = [0; 2048];
    wait_until(PATIENCE, "an answer comes", || {
        socket.send_to(request, server).doing("send to", server.to_string())?;
        let received = socket.recv_from(&mut answer).ok();
        Ok(received.filter(|(length, from)| answer[..*length] == *request && *from == server))
    })
    .unwrap_or_else(|error| panic!("{error}"));
    socket.set_read_timeout(Some(patience(PATIENCE))).expect("a socket");
}

/// A connected socket hears that nobody listens any more. Not at once: the process that another test starts may have what was closed here open for a
/// moment longer, between fork and exec.
#[track_caller]
pub(crate) fn assert_refused(socket: &UdpSocket) {
    socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a socket");
    wait_until(PATIENCE, "the port is refused", || {
        // The error of an earlier datagram may come with the next.
        let sent = socket.send(b"is anybody there?").map(|_| ());
        let heard = sent.and_then(|()| socket.recv(&mut [0; 16]).map(|_| ()));
        Ok(matches!(heard, Err(error) if error.kind() == ErrorKind::ConnectionRefused).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error}"));
}

/// Echoes `count` datagrams and returns from where they came.
pub(crate) fn echo_udp(socket: UdpSocket, count: usize) -> JoinHandle<Vec<SocketAddr>> {
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        let echo = |_| {
            let (length, from) = socket.recv_from(&mut buffer).expect("a request comes");
            socket.send_to(&buffer[..length], from).expect("the reply leaves");
            from
        };
        (0..count).map(echo).collect()
    })
}

/// Echoes what comes until `count` others have asked, and returns who they are, in the order in which they came.
pub(crate) fn echo_to_each(socket: UdpSocket, count: usize) -> JoinHandle<Vec<SocketAddr>> {
    thread::spawn(move || {
        let (mut buffer, mut seen) = ([0; 2048], Vec::new());
        while seen.len() < count {
            let (length, from) = socket.recv_from(&mut buffer).expect("a request comes");
            socket.send_to(&buffer[..length], from).expect("the reply leaves");
            if !seen.contains(&from) {
                seen.push(from);
            }
        }
        seen
    })
}

/// Accepts `count` connections one after another, echoes what comes, and returns from where they came.
pub(crate) fn echo_tcp(listener: TcpListener, count: usize) -> JoinHandle<Vec<SocketAddr>> {
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        let mut clients = Vec::with_capacity(count);
        for _ in 0..count {
            let (mut stream, from) = listener.accept().expect("a client comes");
            stream.set_read_timeout(Some(patience(PATIENCE))).expect("a socket");
            clients.push(from);
            loop {
                match stream.read(&mut buffer).expect("the client goes on or ends") {
                    0 => break,
                    length => stream.write_all(&buffer[..length]).expect("the client reads"),
                }
            }
        }
        clients
    })
}

/// As many open files as the system allows.
pub(crate) fn raise_file_limit() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("up to the hard limit");
}
