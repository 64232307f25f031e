//! Connections: opened, refused, reset, closed by halves, and many at once.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddrV4, TcpStream},
    os::fd::AsFd as _,
    thread,
};

use forwarder::{Error, netns::Netns};
use nix::{
    libc::linger,
    sys::socket::{setsockopt, sockopt},
};

use super::{Conversation, scenario::Scenario};
use crate::{
    packet::TCP,
    peers::{ANY, PATIENCE, at, connect, echo_tcp, listen},
};

pub(super) const CONVERSATIONS: &[Conversation] = &[
    ("tcp echo", echo),
    ("tcp through a narrow hop", narrow),
    ("tcp refused", refused),
    ("tcp reset by the server", reset_by_server),
    ("tcp reset by the client", reset_by_client),
    ("tcp closed by halves", halves),
    ("tcp from many sockets", many),
];

/// A connection from the first namespace, and its other end.
fn pair(scenario: &Scenario, server_ns: &Netns, server: SocketAddrV4) -> (TcpStream, TcpStream) {
    let listener = listen(server_ns, server);
    let client = connect(&scenario.one, ANY, server).expect("it connects");
    let (accepted, _) = listener.accept().expect("a client comes");
    accepted.set_read_timeout(Some(PATIENCE)).expect("a socket");
    (client, accepted)
}

/// What reading gives: bytes until the end, or an error.
fn read_all(mut stream: &TcpStream) -> String {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(length) => format!("{length} bytes, then the end"),
        Err(error) => format!("{} bytes, then {:?}", bytes.len(), error.kind()),
    }
}

fn echo_of(scenario: &Scenario, server_ns: &Netns, server: SocketAddrV4) -> Vec<String> {
    const LENGTH: usize = 300_000;
    let clients = echo_tcp(listen(server_ns, server), 1);
    let stream = connect(&scenario.one, ANY, server).expect("it connects");
    let message: Vec<u8> = (0..LENGTH).map(|n| u8::try_from(n % 251).expect("it is small")).collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            (&stream).write_all(&message).expect("it leaves");
            stream.shutdown(Shutdown::Write).expect("a socket");
        });
        let mut answer = Vec::new();
        (&stream).read_to_end(&mut answer).expect("the echo comes");
        assert!(answer == message, "the answer is another");
    });
    let seen = clients.join().expect("the server");
    seen.iter().map(|from| format!("{LENGTH} bytes echoed; the server saw {}", role_of(scenario, from))).collect()
}

fn role_of(scenario: &Scenario, address: &std::net::SocketAddr) -> String {
    match address.ip() {
        std::net::IpAddr::V4(v4) => scenario.role(v4),
        other => other.to_string(),
    }
}

fn echo(scenario: &Scenario) -> Vec<String> {
    let server = at(scenario.outside, 9000);
    let (mut done, seen) =
        scenario.seen_by(scenario.internet(), "inet0", TCP, || echo_of(scenario, scenario.internet(), server));
    let (_, at_client) =
        scenario.seen_by(&scenario.one, "eth0", TCP, || echo_of(scenario, scenario.internet(), server));
    done.extend(seen.into_iter().map(|seen| format!("outside: {seen}")));
    done.extend(at_client.into_iter().map(|seen| format!("inside: {seen}")));
    done
}

fn narrow(scenario: &Scenario) -> Vec<String> {
    echo_of(scenario, &scenario.far_ns, at(scenario.far, 9000))
}

fn kind(error: &Error) -> String {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    source.map_or_else(|| error.to_string(), |source| format!("{:?}", source.kind()))
}

fn refused(scenario: &Scenario) -> Vec<String> {
    let ports = [at(scenario.outside, 9001), at(scenario.far, 9001)];
    let told = |server| match connect(&scenario.one, ANY, server) {
        Ok(_) => "it connects".into(),
        Err(error) => kind(&error),
    };
    ports.into_iter().map(told).collect()
}

/// Closes with a RST.
fn reset(stream: TcpStream) {
    setsockopt(&stream.as_fd(), sockopt::Linger, &linger { l_onoff: 1, l_linger: 0 }).expect("an option");
    drop(stream);
}

fn reset_by_server(scenario: &Scenario) -> Vec<String> {
    let (client, server) = pair(scenario, scenario.internet(), at(scenario.outside, 9002));
    (&server).write_all(b"half a").expect("it leaves");
    (&client).read_exact(&mut [0; 6]).expect("it arrives");
    reset(server);
    vec![read_all(&client)]
}

fn reset_by_client(scenario: &Scenario) -> Vec<String> {
    let (client, server) = pair(scenario, scenario.internet(), at(scenario.outside, 9003));
    (&client).write_all(b"half a").expect("it leaves");
    (&server).read_exact(&mut [0; 6]).expect("it arrives");
    reset(client);
    vec![read_all(&server)]
}

fn halves(scenario: &Scenario) -> Vec<String> {
    let (client, server) = pair(scenario, scenario.internet(), at(scenario.outside, 9004));
    (&client).write_all(b"question").expect("it leaves");
    client.shutdown(Shutdown::Write).expect("a socket");
    let at_server = read_all(&server);
    (&server).write_all(&[7; 10_000]).expect("it leaves");
    drop(server);
    let at_client = read_all(&client);
    let late = (&client).write_all(b"late").map_err(|error| error.kind());
    assert_eq!(late, Err(ErrorKind::BrokenPipe), "the client has closed its half");
    vec![format!("server: {at_server}"), format!("client: {at_client}")]
}

fn many(scenario: &Scenario) -> Vec<String> {
    const CLIENTS: usize = 100;
    let server = at(scenario.outside, 9005);
    let listener = listen(scenario.internet(), server);
    let pods = [&scenario.one, &scenario.two];
    let mut open = Vec::new();
    for number in 0..CLIENTS {
        let client = connect(pods[number % 2], ANY, server).expect("it connects");
        let (accepted, from) = listener.accept().expect("a client comes");
        open.push((client, accepted, from));
    }
    let mut own = 0;
    for (number, (client, accepted, _)) in open.iter().enumerate() {
        let message = number.to_be_bytes();
        let mut got = message;
        (&*client).write_all(&message).expect("it leaves");
        (&*accepted).read_exact(&mut got).expect("it arrives");
        (&*accepted).write_all(&got).expect("it leaves");
        (&*client).read_exact(&mut got).expect("it arrives");
        own += usize::from(got == message);
    }
    let sources: std::collections::BTreeSet<_> = open.iter().map(|(_, _, from)| role_of(scenario, from)).collect();
    let sockets: std::collections::BTreeSet<_> = open.iter().map(|(_, _, from)| *from).collect();
    vec![format!("{own} got their own answer; the server saw {} sockets of {sources:?}", sockets.len())]
}
