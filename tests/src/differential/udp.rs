//! Datagrams: answered, one-way, refused, too large, and from many sockets.

use std::{
    collections::BTreeSet,
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
    os::fd::AsFd as _,
    thread,
    time::Duration,
};

use nix::sys::socket::{setsockopt, sockopt};

use super::{Conversation, scenario::Scenario};
use crate::{
    packet::UDP,
    peers::{ANY, PATIENCE, asked, at, echo_udp, udp},
};

pub(super) const CONVERSATIONS: &[Conversation] = &[
    ("udp echo", echo),
    ("udp without an answer", one_way),
    ("udp to a closed port", closed),
    ("udp too large for a hop", too_large),
    ("udp in fragments", fragments),
    ("udp from many sockets", many),
    ("udp from a stranger", stranger),
];

fn echo(scenario: &Scenario) -> Vec<String> {
    let server = at(scenario.outside, 7000);
    let talk = || {
        let replies = echo_udp(udp(scenario.internet(), server), 3);
        let client = udp(&scenario.one, ANY);
        for message in [&b"a"[..], &[7; 1000], &[9; 1472]] {
            client.send_to(message, server).expect("it leaves");
            let mut answer = [0; 2048];
            let (length, from) = client.recv_from(&mut answer).expect("the answer comes");
            assert!(answer[..length] == *message && from == SocketAddr::V4(server), "the answer is another");
        }
        replies.join().expect("the server");
    };
    let ((), mut seen) = scenario.seen_by(scenario.internet(), "inet0", UDP, talk);
    let ((), inside) = scenario.seen_by(&scenario.one, "eth0", UDP, talk);
    seen.extend(inside.into_iter().map(|seen| format!("inside: {seen}")));
    seen
}

fn one_way(scenario: &Scenario) -> Vec<String> {
    let server = at(scenario.outside, 7001);
    let (listener, client) = (udp(scenario.internet(), server), udp(&scenario.one, ANY));
    let mut sources = BTreeSet::new();
    for number in 0..20_u8 {
        client.send_to(&[number], server).expect("it leaves");
        let mut got = [0; 8];
        let (length, from) = listener.recv_from(&mut got).expect("it arrives");
        assert_eq!(got[..length], [number]);
        sources.insert(from);
    }
    vec![format!("20 arrived from {} socket", sources.len())]
}

/// What a connected socket is told after it has sent.
fn told(socket: &UdpSocket) -> String {
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    match socket.recv(&mut [0; 64]) {
        Ok(length) => format!("{length} bytes"),
        Err(error) => format!("{:?}", error.kind()),
    }
}

fn closed(scenario: &Scenario) -> Vec<String> {
    let client = udp(&scenario.one, ANY);
    client.connect(SocketAddr::V4(at(scenario.outside, 7002))).expect("a socket");
    client.send(b"hello").expect("it leaves");
    vec![told(&client)]
}

/// Sends without fragmenting until an error tells the MTU.
fn too_large(scenario: &Scenario) -> Vec<String> {
    let client = udp(&scenario.one, ANY);
    client.connect(SocketAddr::V4(at(scenario.far, 7003))).expect("a socket");
    setsockopt(&client.as_fd(), sockopt::Ipv4RecvErr, &true).expect("an option");
    let listener = udp(&scenario.far_ns, at(scenario.far, 7003));
    client.send(&[1; 1400]).expect("it leaves");
    let first = told(&client);
    // The error has told the kernel inside how large a packet may be: it fragments from now on, or refuses.
    let second = client.send(&[1; 1273]).map_err(|error| error.kind().to_string());
    client.send(&[2; 1272]).expect("what fits leaves");
    let mut got = [0; 2048];
    listener.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let arrived = listener.recv(&mut got).expect("it arrives");
    vec![first, format!("{second:?}"), format!("{arrived} bytes arrived")]
}

/// Echoes datagrams until one says that it is the last.
fn echo_until_last(socket: UdpSocket) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut buffer = [0; 8192];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).expect("a request comes");
            socket.send_to(&buffer[..length], from).expect("the reply leaves");
            if buffer[..length] == *b"last" {
                return;
            }
        }
    })
}

fn fragments(scenario: &Scenario) -> Vec<String> {
    let server = at(scenario.outside, 7004);
    let replies = echo_until_last(udp(scenario.internet(), server));
    let client = udp(&scenario.one, ANY);
    client.send_to(b"first, a whole one", server).expect("it leaves");
    let mut answer = [0; 8192];
    client.recv_from(&mut answer).expect("the answer comes");
    client.set_read_timeout(Some(Duration::from_secs(3))).expect("a socket");
    client.send_to(&[5; 2000], server).expect("it leaves");
    let got = match client.recv_from(&mut answer) {
        Ok((length, _)) => format!("{length} bytes echoed"),
        Err(error) if error.kind() == ErrorKind::WouldBlock => "no answer".into(),
        Err(error) => error.to_string(),
    };
    asked(&client, server, b"last");
    replies.join().expect("the server");
    vec![got]
}

fn many(scenario: &Scenario) -> Vec<String> {
    const CLIENTS: u16 = 300;
    let server = at(scenario.outside, 7005);
    let replies = echo_udp(udp(scenario.internet(), server), usize::from(CLIENTS));
    let pods = [&scenario.one, &scenario.two];
    let clients: Vec<UdpSocket> = (0..CLIENTS).map(|number| udp(pods[usize::from(number % 2)], ANY)).collect();
    // In waves that fit into the buffer of the server's socket.
    let mut own = 0;
    for wave in (0..CLIENTS).zip(&clients).collect::<Vec<_>>().chunks(50) {
        for (number, client) in wave {
            client.send_to(&number.to_be_bytes(), server).expect("it leaves");
        }
        for (number, client) in wave {
            let mut got = [0; 2];
            client.recv_from(&mut got).expect("the answer comes");
            own += usize::from(got == number.to_be_bytes());
        }
    }
    let sockets: BTreeSet<_> = replies.join().expect("the server").into_iter().collect();
    vec![format!("{own} got their own answer; the server saw {} sockets", sockets.len())]
}

/// A host that was never written to writes to the external port of a conversation.
fn stranger(scenario: &Scenario) -> Vec<String> {
    let server = at(scenario.outside, 7006);
    let (client, listener) = (udp(&scenario.one, ANY), udp(scenario.internet(), server));
    client.send_to(b"hello", server).expect("it leaves");
    let mut got = [0; 64];
    let (_, external) = listener.recv_from(&mut got).expect("it arrives");
    let stranger = udp(scenario.internet(), at(scenario.fwd.uplink(0).outside[1], 7006));
    stranger.send_to(b"from a stranger", external).expect("it leaves");
    listener.send_to(b"from the server", external).expect("it leaves");
    let (length, _) = client.recv_from(&mut got).expect("the answer comes");
    let first = String::from_utf8_lossy(&got[..length]).into_owned();
    vec![format!("the client got {first:?} first")]
}
