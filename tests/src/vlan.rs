//! Frames with a VLAN tag that the kernel has taken out of the data, where they look like any other.

use std::{
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

use forwarder::testbed::wait_until;
use forwarder_common::wire::{
    emit::{Ethernet, Packet},
    ethernet::ethertype,
};

use crate::{
    fwd::Fwd,
    peers::{ANY, PATIENCE, asked, at, echo_udp, udp},
    raw,
};

/// A frame with a tag of this number.
fn tagged(to: [u8; 6], from: [u8; 6], vlan: u16, packet: &Packet) -> Vec<u8> {
    packet.in_frame(&Ethernet::new(to, from).tagged(ethertype::VLAN, vlan))
}

/// What the socket gets next.
fn received(socket: &UdpSocket) -> Vec<u8> {
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer).expect("a datagram comes");
    buffer[..length].to_vec()
}

#[test]
fn tagged_frames_of_a_namespace_go_nowhere() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let server = at(fwd.uplink(0).outside[0], 9000);
    let socket = udp(fwd.internet(0), server);
    let packet = |text: &[u8]| raw::udp(at(pod.address, 4000), server, text);
    let (to, from) = (raw::mac_of(fwd.host(), &pod.host_if), raw::mac_of(&pod, "eth0"));
    raw::send(&pod, "eth0", &[tagged(to, from, 5, &packet(b"tagged")), raw::frame(to, from, &packet(b"plain"))]);
    assert_eq!(received(&socket), b"plain");
    let dropped = || Ok((fwd.counted("from_ns", "dropped", Some("Vlan")) == 1).then_some(()));
    wait_until(PATIENCE, "the tagged one is counted", dropped).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn tagged_replies_belong_to_a_vlan_and_not_to_a_namespace() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let server = at(fwd.uplink(0).outside[0], 9000);
    let socket = udp(&pod, ANY);
    let seen = echo_udp(udp(fwd.internet(0), server), 1);
    asked(&socket, server, b"hello");
    let SocketAddr::V4(external) = seen.join().expect("the server")[0] else { panic!("IPv4") };
    let before = fwd.counted("from_uplink", "forwarded", None);
    let packet = |text: &[u8]| raw::udp(server, external, text);
    let (to, from) = (raw::mac_of(fwd.host(), "eth0"), raw::mac_of(fwd.internet(0), "inet0"));
    let frames = [
        tagged(to, from, 5, &packet(b"of a VLAN")),
        // Number 0 is no VLAN, only a priority.
        tagged(to, from, 0, &packet(b"with priority")),
        raw::frame(to, from, &packet(b"plain")),
    ];
    raw::send(fwd.internet(0), "inet0", &frames);
    assert_eq!((received(&socket), received(&socket)), (b"with priority".to_vec(), b"plain".to_vec()));
    socket.set_read_timeout(Some(Duration::from_millis(10))).expect("a socket");
    assert!(socket.recv(&mut [0; 64]).is_err(), "nothing else came");
    assert_eq!(fwd.counted("from_uplink", "forwarded", None), before + 2);
}

#[test]
fn priority_tags_bring_nobody_past_the_programs() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let host = at(fwd.uplink(0).address, 9000);
    let socket = udp(fwd.host(), host);
    let (to, from) = (raw::mac_of(fwd.host(), "eth0"), raw::mac_of(fwd.internet(0), "inet0"));
    let twice =
        |kind, packet: &Packet| packet.in_frame(&Ethernet::new(to, from).tagged(kind, 0).tagged(ethertype::VLAN, 0));
    let in_the_name_of = at(pod.address, 4000);
    let frames = [
        twice(ethertype::VLAN, &raw::udp(in_the_name_of, host, b"in its name")),
        twice(ethertype::SERVICE_VLAN, &raw::udp(in_the_name_of, host, b"in its name")),
        twice(ethertype::VLAN, &raw::udp(at(fwd.uplink(0).outside[0], 4000), at(pod.address, 9000), b"to it")),
        raw::frame(to, from, &raw::udp(at(fwd.uplink(0).outside[0], 4000), host, b"plain")),
    ];
    raw::send(fwd.internet(0), "inet0", &frames);
    assert_eq!(received(&socket), b"plain");
    let dropped = |reason| fwd.counted("from_uplink", "dropped", Some(reason));
    assert_eq!((dropped("Martian"), dropped("DirectToEndpoint")), (2, 1));
}
