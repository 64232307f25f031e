//! A host that was no router before `fwd` came is none for strangers afterwards, although it forwards for namespaces by the same interfaces.

use std::{
    net::{Ipv4Addr, UdpSocket},
    time::Duration,
};

use forwarder::testbed::{Process, command_in, wait_until};
use forwarder_common::wire::{
    emit::{Ethernet, Packet},
    ethernet::ethertype,
};

use super::{host, remote};
use crate::{
    capture::Recording,
    fwd::{Fwd, LIMIT, inside, pings},
    peers::{any, asked, at, echo_udp, udp},
    raw,
    uplinks::ip,
};

/// Where a stranger behind `eth0` would get to: the link of `eth1`.
const PORT: u16 = 53;

/// Leads a stranger behind `eth0` to the link of `eth1` by way of the host, and back.
fn routes_through(fwd: &Fwd) {
    for (from, to) in [(0, 1), (1, 0)] {
        let (host, destination) = (fwd.uplink(from).address.to_string(), fwd.uplink(to).gateway.to_string());
        inside(fwd.internet(from), &["ip", "route", "add", &destination, "via", &host, "dev", "inet0"]);
    }
}

fn refused(fwd: &Fwd) -> u64 {
    fwd.counted("from_uplink", "dropped", Some("Transit"))
}

/// Whether the host forwards what `stranger`, behind `eth0`, sends to `server`, behind `eth1`: either it arrives, or it is counted.
#[track_caller]
fn forwards(fwd: &Fwd, stranger: &UdpSocket, server: &UdpSocket) -> bool {
    server.set_read_timeout(Some(Duration::from_millis(50))).expect("a socket");
    let before = refused(fwd);
    let seen = || {
        stranger.send_to(b"let me through", at(fwd.uplink(1).gateway, PORT)).expect("it leaves");
        let arrived = server.recv_from(&mut [0; 32]).is_ok();
        Ok((arrived || refused(fwd) > before).then_some(arrived))
    };
    wait_until(LIMIT, "it arrives, or is counted", seen).unwrap_or_else(|error| panic!("{error}"))
}

/// What the fast path passes, what it does not, what has no ports, an error, a fragment, and a connection.
fn kinds(from: Ipv4Addr, to: Ipv4Addr) -> Vec<Packet> {
    let datagram = |port| raw::udp(at(from, 5000), at(to, port), b"strange");
    vec![
        datagram(PORT),
        datagram(2000),
        datagram(50_000),
        datagram(PORT).fragmentation(0x2000),
        datagram(PORT).fragmentation(0x0003),
        Packet::other(from, to, 47).payload(b"strange"),
        Packet::icmp_error(from, to, 3, 3, &datagram(PORT).emit()),
        datagram(PORT).ttl(1),
    ]
}

#[test]
fn host_that_was_no_router_forwards_nothing_for_strangers_between_its_uplinks() {
    let fwd = host();
    routes_through(&fwd);
    let pod = fwd.up("c1", &[]);
    let (stranger, target) = (fwd.uplink(0).gateway, fwd.uplink(1).gateway);
    let recording = Recording::start(&fwd, fwd.internet(1), "inet0");
    let (to, from) = (raw::mac_of(fwd.host(), "eth0"), raw::mac_of(fwd.internet(0), "inet0"));
    // Back by the uplink where it came in, and to where the host routes by default.
    let elsewhere = [target, remote(&fwd), Ipv4Addr::new(198, 18, 200, 1)];
    let packets: Vec<Packet> = elsewhere.iter().flat_map(|to| kinds(stranger, *to)).collect();
    let mut frames: Vec<Vec<u8>> = packets.iter().map(|packet| raw::frame(to, from, packet)).collect();
    // Behind tags that are only priorities, which the kernel strips.
    for tags in 1..4 {
        let header = (0..tags).fold(Ethernet::new(to, from), |header, _| header.tagged(ethertype::VLAN, 0));
        frames.push(kinds(stranger, target)[0].in_frame(&header));
    }
    let all = u64::try_from(frames.len()).expect("a number");
    raw::send(fwd.internet(0), "inet0", &frames);
    let counted = || Ok((refused(&fwd) == all).then_some(()));
    wait_until(LIMIT, "each is counted", counted).unwrap_or_else(|error| panic!("{error}: {} of {all}", refused(&fwd)));
    assert!(!forwards(&fwd, &udp(fwd.internet(0), any(5001)), &udp(fwd.internet(1), at(target, PORT))));
    let strange = recording.all().into_iter().filter(|packet| packet.source() == stranger).count();
    assert_eq!(strange, 0, "a stranger got through");
    // What is for the host is the host's, at every address of it, and so is what a namespace asked for.
    let other = Ipv4Addr::from_bits(fwd.uplink(0).address.to_bits() + 5);
    ip(&fwd, &format!("addr add {other}/24 dev eth0"));
    let before = refused(&fwd);
    for address in [fwd.uplink(0).address, fwd.uplink(1).address, other] {
        let server = echo_udp(udp(fwd.host(), at(address, PORT)), 1);
        inside(
            fwd.internet(0),
            &[
                "ip",
                "route",
                "replace",
                &address.to_string(),
                "via",
                &fwd.uplink(0).address.to_string(),
                "dev",
                "inet0",
                "onlink",
            ],
        );
        asked(&udp(fwd.internet(0), at(stranger, 5002)), at(address, PORT), b"is this the host?");
        server.join().expect("the server");
    }
    assert!(pings(&pod, remote(&fwd)) && pings(&pod, target) && pings(fwd.internet(0), other));
    assert_eq!(refused(&fwd), before);
}

/// An answer of DHCP is sent to an address that the host does not have yet; its client reads it from the interface.
#[test]
fn what_is_refused_reaches_who_listens_to_the_interface_itself() {
    const PROGRAM: &str = "import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
s.bind(('eth0', 0x0800))
s.settimeout(20)
print('ready', flush=True)
while b'strange' not in s.recv(2048): pass
print('heard', flush=True)";
    let fwd = host();
    fwd.up("c1", &[]);
    let client = Process::spawn(command_in(fwd.host(), &["python3", "-c", PROGRAM])).expect("it starts");
    let says = |word: &str| {
        let said = || Ok(client.stdout().contains(word).then_some(()));
        wait_until(LIMIT, word, said).unwrap_or_else(|error| panic!("{error}: {}", client.stderr()));
    };
    says("ready");
    let packet = kinds(fwd.uplink(0).gateway, fwd.uplink(1).gateway).remove(0);
    let (to, from) = (raw::mac_of(fwd.host(), "eth0"), raw::mac_of(fwd.internet(0), "inet0"));
    raw::send(fwd.internet(0), "inet0", &[raw::frame(to, from, &packet)]);
    says("heard");
    assert_eq!(refused(&fwd), 1);
}

#[test]
fn host_that_is_a_router_stays_one_and_who_becomes_one_is_heeded_by_the_next_command() {
    let fwd = host();
    routes_through(&fwd);
    let (stranger, server) = (udp(fwd.internet(0), any(5001)), udp(fwd.internet(1), at(fwd.uplink(1).gateway, PORT)));
    let switch = |value: &str| fwd.on_host(&["sysctl", "-qw", &format!("net.ipv4.ip_forward={value}")]);
    fwd.up("c1", &[]);
    assert!(!forwards(&fwd, &stranger, &server));
    switch("1");
    assert!(!forwards(&fwd, &stranger, &server), "nobody has told the programs");
    fwd.up("c2", &[]);
    assert!(forwards(&fwd, &stranger, &server));
    // It was a router before: so it is meanwhile, and afterwards.
    fwd.ok(&["down", "--all"]);
    fwd.up("c1", &[]);
    assert!(forwards(&fwd, &stranger, &server));
    assert!(pings(&fwd.up("c2", &[]), remote(&fwd)));
}
