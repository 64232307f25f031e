//! Segments that a stranger outside forges in the name of a server: they end no connection.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, SocketAddrV4, TcpStream},
};

use forwarder::testbed::wait_until;
use forwarder_common::wire::emit::Packet;

use crate::{
    fwd::{Fwd, LIMIT, number},
    peers::{ANY, PATIENCE, at, connect, listen},
    raw,
};

const FIN_ACK: u8 = 0x11;
const RST: u8 = 0x04;
/// Far from any number of a connection that has sent some bytes: but for once in 30,000 times, because a receiver takes what lies in its
/// window.
const ELSEWHERE: u32 = 0x5eed_0000;

/// A segment without data, whose numbers are made up.
fn segment(from: SocketAddrV4, to: SocketAddrV4, flags: u8) -> Packet {
    Packet::tcp(from, to).tcp_flags(flags).numbers(ELSEWHERE, ELSEWHERE)
}

/// What `from` says arrives at `to`.
#[track_caller]
fn says(mut from: &TcpStream, mut to: &TcpStream, words: &[u8]) {
    from.write_all(words).expect("it is taken");
    let mut heard = vec![0; words.len()];
    to.read_exact(&mut heard).expect("it arrives");
    assert_eq!(heard, words);
}

#[test]
fn forged_ends_are_forgotten_when_the_server_speaks_next() {
    for flags in [FIN_ACK, RST] {
        for datapath in ["tc", "xdp"] {
            let fwd = Fwd::new();
            let pod = fwd
                .up("c1", &["--datapath", datapath, "--timeout", "tcp-half-closed=1s", "--timeout", "tcp-closing=1s"]);
            let server = at(fwd.uplink(0).outside[0], 9000);
            let listener = listen(fwd.internet(0), server);
            let connection = || {
                let client = connect(&pod, ANY, server).expect("a connection");
                let (peer, external) = listener.accept().expect("the server accepts");
                peer.set_read_timeout(Some(PATIENCE)).expect("a socket");
                (client, peer, external)
            };
            let (client, peer, external) = connection();
            says(&client, &peer, b"hello");
            says(&peer, &client, b"hello yourself");
            let SocketAddr::V4(external) = external else { panic!("{external} is no IPv4 address") };
            let host_mac = raw::mac_of(fwd.host(), "eth0");
            let forged = raw::frame(host_mac, raw::mac_of(fwd.internet(0), "inet0"), &segment(server, external, flags));
            let received = || number(&fwd.list(&["flows", &pod.name])[0]["rx_packets"]);
            let before = received();
            raw::send(fwd.internet(0), "inet0", &[forged]);
            wait_until(LIMIT, "the forged segment comes in", || Ok((received() > before).then_some(()))).unwrap();
            says(&peer, &client, b"still there?");
            // Longer than the limits: until another connection that is really over has been forgotten.
            let (second, second_peer, _) = connection();
            says(&second, &second_peer, b"hello");
            drop((second, second_peer));
            wait_until(LIMIT, "a connection that is over is forgotten", || {
                Ok((fwd.list(&["flows", &pod.name]).len() == 1).then_some(()))
            })
            .unwrap();
            says(&peer, &client, b"and now?");
            says(&client, &peer, b"always");
        }
    }
}
