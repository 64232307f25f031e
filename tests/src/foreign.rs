//! What other interfaces of the host, and its other networks, can do to a namespace and in its name: nothing. The host routes for
//! everybody here, without a reverse-path filter.

use std::net::Ipv4Addr;

use forwarder::lab::LabSpec;

use crate::{
    capture::Recording,
    fwd::Fwd,
    peers::{asked, at, echo_udp, udp},
    raw,
};

/// The hardware addresses of the LAN on `eth1`: the host's, and that of who is there.
const TO_HOST: [u8; 6] = [0x02, 0x66, 0x77, 0x64, 1, 2];
const FROM_LAN: [u8; 6] = [0x02, 0x66, 0x77, 0x64, 1, 1];
/// What is sent in another's name says so.
const FORGED: &[u8] = b"forged";

/// A host that routes for a LAN on its second interface, and knows of no bad source.
fn host() -> Fwd {
    let fwd = Fwd::with(&LabSpec { uplinks: 2, ..LabSpec::default() });
    let routes = "net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth1.rp_filter=0";
    fwd.on_host(&["sh", "-c", &format!("sysctl -qw {routes}")]);
    fwd
}

/// What can be told from a whole datagram, a fragment, a protocol without ports, and an ICMP error about `answer`.
fn kinds(from: Ipv4Addr, to: Ipv4Addr, answer: &[u8]) -> [Vec<u8>; 4] {
    let datagram = raw::udp(at(from, 5000), at(to, 7777), FORGED);
    let mut fragment = datagram.clone();
    fragment[6] = 0x20;
    raw::finish(&mut fragment);
    let mut error = [&[3, 3, 0, 0, 0, 0, 0, 0], answer].concat();
    let sum = forwarder_common::checksum::full(&error);
    error[2..4].copy_from_slice(&sum);
    [datagram, fragment, raw::ipv4(from, to, 47, FORGED), raw::ipv4(from, to, 1, &error)]
}

#[test]
fn nobody_on_another_interface_speaks_for_a_namespace() {
    let fwd = host();
    let pod = fwd.up("c1", &["--uplink", "eth0"]);
    let server = at(fwd.uplink(0).outside[0], 7777);
    let client = udp(&pod, at(pod.address, 5000));
    let replies = echo_udp(udp(fwd.internet(0), server), 1);
    asked(&client, server, b"my own");
    replies.join().expect("the server");
    let answer = raw::udp(server, at(pod.address, 5000), b"my own");
    let recording = Recording::start(&fwd, fwd.internet(0), "inet0");
    let packets = kinds(pod.address, *server.ip(), &answer);
    let frames: Vec<_> = packets.iter().map(|packet| raw::frame(TO_HOST, FROM_LAN, packet)).collect();
    raw::send(fwd.internet(1), "inet0", &frames);
    assert_eq!(fwd.counted("to_uplink", "dropped", Some("NotFromNetwork")), 4);
    // A program on the host is not the namespace either, whatever address it takes.
    let script = "import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_IP, 19, 1)  # IP_TRANSPARENT
s.bind((sys.argv[1], 5000))
s.sendto(b'forged', (sys.argv[2], 7777))";
    fwd.on_host(&["python3", "-c", script, &pod.address.to_string(), &server.ip().to_string()]);
    assert_eq!(fwd.counted("to_uplink", "dropped", Some("NotFromNetwork")), 5);
    let seen = recording.all();
    let forged = |bytes: &[u8]| bytes.windows(FORGED.len()).any(|window| window == FORGED);
    assert!(!seen.iter().any(|packet| forged(&packet.bytes) || packet.proto() == 1), "{seen:#?}");
    // The namespace goes on.
    let replies = echo_udp(udp(fwd.internet(0), server), 1);
    asked(&client, server, b"still my own");
    replies.join().expect("the server");
}
