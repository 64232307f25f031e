//! What networks and endpoints may do less than others.

mod east_west;
mod forged;
mod icc;
mod internal;
mod ipv6;
mod kernel;
mod live;
mod multicast;
mod rates;
mod rules;

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddrV4, TcpStream},
    time::Duration,
};

use forwarder::{netns::Netns, testbed::wait_until};

use crate::{
    fwd::{Fwd, LIMIT, Pod, number, try_inside},
    peers::at,
};

/// The rules of a namespace as they are shown, each with what it has refused.
#[track_caller]
pub(crate) fn rules(fwd: &Fwd, pod: &Pod) -> Vec<(String, u64)> {
    let shown = fwd.json(&["inspect", &pod.name]);
    let rules = shown["rules"].as_array().expect("rules").iter();
    rules.map(|it| (it["rule"].as_str().expect("a rule").to_owned(), number(&it["refused"]))).collect()
}

/// Two servers outside, one at each address.
fn servers(fwd: &Fwd, port: u16) -> [SocketAddrV4; 2] {
    let [first, second, ..] = fwd.uplink(0).outside[..] else { panic!("two addresses") };
    [at(first, port), at(second, port)]
}

/// Waits until a connection to an echo is answered no more.
#[track_caller]
pub(crate) fn ends(mut stream: &TcpStream) {
    stream.set_read_timeout(Some(Duration::from_millis(300))).expect("a socket");
    let ended = || {
        let answered = stream.write_all(b"still").and_then(|()| stream.read(&mut [0; 5])).is_ok_and(|read| read > 0);
        Ok((!answered).then_some(()))
    };
    wait_until(LIMIT, "the conversation ends", ended).unwrap_or_else(|error| panic!("{error}"));
}

/// Whether a TCP connection comes about within a second.
#[track_caller]
pub(crate) fn connects(ns: &Netns, to: SocketAddrV4) -> bool {
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
