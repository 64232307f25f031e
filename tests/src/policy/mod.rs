//! What networks and endpoints may do less than others.

mod icc;
mod internal;
mod rates;

use std::net::SocketAddrV4;

use forwarder::netns::Netns;

use crate::fwd::try_inside;

/// Whether a TCP connection comes about within a second.
#[track_caller]
fn connects(ns: &Netns, to: SocketAddrV4) -> bool {
    const PROGRAM: &str = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 1)";
    let (address, port) = (to.ip().to_string(), to.port().to_string());
    try_inside(ns, &["python3", "-c", PROGRAM, &address, &port]).status.success()
}

/// Sends a datagram, wherever it gets.
#[track_caller]
fn sends(ns: &Netns, to: SocketAddrV4) {
    const PROGRAM: &str = "import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
try: s.sendto(b'hello', (sys.argv[1], int(sys.argv[2])))
except OSError: pass";
    let (address, port) = (to.ip().to_string(), to.port().to_string());
    assert!(try_inside(ns, &["python3", "-c", PROGRAM, &address, &port]).status.success());
}
