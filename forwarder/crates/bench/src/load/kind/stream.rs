//! One-way TCP, `TCP_STREAM`: as much as goes, counted where it arrives.
//!
//! All senders are on one CPU and all receivers on another, if there is one, as on a real path; each connection has a thread at
//! each end. None is real-time: both CPUs are busy all the time.

use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
};

use nix::sys::socket::{setsockopt, sockopt::TcpCongestion};

use crate::load::{
    socket,
    workers::{LoadCpus, Tally},
};
use fwd_base::{Context as _, Result};

/// Bytes that are written and read at once.
const CHUNK: usize = 128 * 1024;

/// What decides how much may be under way in a sandbox, whatever the machine's default. There is no network between two namespaces
/// whose rate one would have to find; BBR, which tries to, is slower there and less even. On one CPU cubic is not even either: by
/// chance it ends its start early, and does half.
const CONGESTION: [&str; 2] = ["cubic", "reno"];
const AVAILABLE: &str = "/proc/sys/net/ipv4/tcp_available_congestion_control";

/// The congestion control that a stream is told to use; none for the machine's default.
pub(in crate::load) fn congestion(cpus: LoadCpus) -> Option<&'static str> {
    let name = CONGESTION[usize::from(cpus.sender().cpu == cpus.receiver().cpu)];
    let is_there = || fs::read_to_string(AVAILABLE).is_ok_and(|names| names.split_whitespace().any(|it| it == name));
    (cpus.has_both() && is_there()).then_some(name)
}

/// Has a connection carry a stream: full segments rather than early ones.
pub(in crate::load) fn prepare(stream: &TcpStream, cpus: LoadCpus) -> Result<()> {
    stream.set_nodelay(false).doing("set up", "a TCP socket")?;
    congestion(cpus).map_or(Ok(()), |name| {
        setsockopt(stream, TcpCongestion, &name.into()).doing("choose a congestion control for", "a TCP socket")
    })
}

/// Sends until the end, or until the other side is gone.
pub(in crate::load) fn send(mut stream: &TcpStream, tally: &Tally) -> Result<()> {
    let chunk = vec![0x66; CHUNK];
    tally.shut_at_end(stream)?;
    while !tally.is_over() {
        match stream.write(&chunk) {
            Ok(length) => tally.add(length as u64),
            Err(error) if is_end(error.kind()) => break,
            Err(error) => return Err(failed("send to", stream, &error, tally)),
        }
    }
    Ok(())
}

/// Receives until the end, or until the other side is gone.
pub(in crate::load) fn receive(mut stream: &TcpStream, tally: &Tally) -> Result<()> {
    let mut chunk = vec![0; CHUNK];
    tally.shut_at_end(stream)?;
    while !tally.is_over() {
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(length) => tally.add(length as u64),
            Err(error) if is_end(error.kind()) => break,
            Err(error) => return Err(failed("receive from", stream, &error, tally)),
        }
    }
    Ok(())
}

fn is_end(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::NotConnected)
}

fn failed(doing: &str, stream: &TcpStream, error: &std::io::Error, tally: &Tally) -> fwd_base::Error {
    let peer = match stream.peer_addr().doing("name", "the peer of a stream") {
        Ok(peer) => socket::tcp(peer),
        Err(_) => "a peer".to_owned(),
    };
    socket::silent(doing, peer, error, &format!("nothing moved for seconds after {} bytes", tally.amount()))
}
