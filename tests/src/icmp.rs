//! ICMP errors as sockets hear of them, and as a wire carries them; ARP that lies.

use std::net::UdpSocket;

use forwarder::{
    Context,
    testbed::{Process, command_in, wait_until},
};

use forwarder_common::wire::emit;

use super::fwd::{Fwd, inside, pings, try_inside};
use crate::{
    capture::{Recording, finish_all_checksums},
    packet::Packet,
    peers::{ANY, PATIENCE, assert_refused, at, udp},
    raw,
};

/// Answers what the kernel answers no more: requests of information and of address masks.
const ANSWER: &str = "import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)
s.bind((sys.argv[1], 0))
print('ready', flush=True)
while True:
    data, peer = s.recvfrom(2048)
    message = bytearray(data[20:])
    if message[0] in (15, 17):
        message[0] += 1
        # The type is the high byte of its word: one more, one less in the sum.
        check = int.from_bytes(message[2:4]) - 0x100
        message[2:4] = (check if check > 0 else check + 0xffff).to_bytes(2)
        s.sendto(message, peer)";

/// Sends a query of each kind with the same identifier, and waits for the answers.
const ASK: &str = "import socket, struct, sys, time
def checksum(data):
    total = sum(struct.unpack(f'!{len(data) // 2}H', data))
    total = (total & 0xffff) + (total >> 16)
    return ~(total + (total >> 16)) & 0xffff
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)
s.settimeout(0.5)
wanted = {14, 0, 16, 18}
until = time.monotonic() + 10
while wanted and time.monotonic() < until:
    for kind in (8, 13, 15, 17):
        rest = struct.pack('!HH', 5000, 1) + bytes(12)
        s.sendto(struct.pack('!BBH', kind, 0, checksum(bytes([kind, 0, 0, 0]) + rest)) + rest, (sys.argv[1], 0))
    try:
        while wanted:
            data, peer = s.recvfrom(2048)
            if peer[0] == sys.argv[1]:
                assert struct.unpack('!H', data[24:26]) == (5000,), data
                assert checksum(data[20:]) == 0, data
                wanted.discard(data[20])
    except TimeoutError:
        pass
print(sorted(wanted))";

#[test]
fn queries_with_an_identifier_come_back_to_who_asked() {
    let fwd = Fwd::new();
    let outside = fwd.uplink(0).outside[0].to_string();
    let server = Process::spawn(command_in(fwd.internet(0), &["python3", "-c", ANSWER, &outside])).expect("it starts");
    let ready = || Ok(server.stdout().contains("ready").then_some(()));
    wait_until(PATIENCE, "the server is ready", ready).unwrap_or_else(|error| panic!("{error}: {}", server.stderr()));
    let pods = ["c1", "c2"].map(|role| fwd.up(role, &[]));
    finish_all_checksums(&fwd, &[&pods[0], &pods[1]]);
    let recording = Recording::on_uplink(&fwd);
    for pod in &pods {
        let missing = inside(pod, &["python3", "-c", ASK, &outside]);
        assert_eq!(missing.trim(), "[]", "types of answers that did not come");
    }
    // The host asks with the same identifier, and gets its own answers.
    assert_eq!(fwd.on_host(&["python3", "-c", ASK, &outside]).trim(), "[]");
    let seen = recording.assert_clean();
    for kind in [8, 13, 15, 17] {
        assert!(seen.iter().any(|packet| packet.icmp_type() == Some((kind, 0))), "type {kind}: {seen:#?}");
    }
    assert_eq!(fwd.counted("from_ns", "dropped", Some("IcmpType")), 0);
}

#[test]
fn closed_udp_ports_refuse_connected_sockets_both_ways() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    finish_all_checksums(&fwd, &[&pod]);
    let recording = Recording::on_uplink(&fwd);
    let remote = at(fwd.uplink(0).outside[0], 7000);
    // From inside to a port outside where nobody listens.
    let client = udp(&pod, ANY);
    client.connect(remote).expect("a socket");
    assert_refused(&client);
    // From outside to a socket inside that has gone.
    let server = udp(fwd.internet(0), remote);
    client.send(b"hello").doing("send", "a datagram").expect("it leaves");
    let (_, from) = server.recv_from(&mut [0; 16]).expect("it arrives");
    server.connect(from).expect("a socket");
    drop(client);
    assert_refused(&server);
    let seen = recording.assert_clean();
    let unreachable = |from: std::net::Ipv4Addr| {
        seen.iter().any(|packet: &Packet| packet.icmp_type() == Some((3, 3)) && packet.source() == from)
    };
    assert!(unreachable(*remote.ip()) && unreachable(fwd.uplink(0).address), "{seen:#?}");
}

#[test]
fn namespace_cannot_take_over_the_arp_entry_of_another_or_of_the_gateway() {
    let fwd = Fwd::new();
    let (one, two) = (fwd.up("c1", &[]), fwd.up("c2", &[]));
    let outside = fwd.uplink(0).outside[0];
    assert!(pings(&one, two.address) && pings(&two, outside));
    let before = fwd.counted("from_ns", "dropped", Some("ArpSpoof"));
    for stolen in [two.address, one.gateway] {
        let stolen = stolen.to_string();
        inside(&one, &["ip", "address", "add", &format!("{stolen}/32"), "dev", "lo"]);
        // Unasked for, as a request and as an answer; nobody answers it.
        for how in ["-U", "-A"] {
            try_inside(&one, &["arping", how, "-c", "2", "-I", "eth0", "-s", &stolen, &stolen]);
        }
        inside(&one, &["ip", "address", "del", &format!("{stolen}/32"), "dev", "lo"]);
    }
    assert!(fwd.counted("from_ns", "dropped", Some("ArpSpoof")) >= before + 8);
    assert!(pings(&two, outside) && pings(&two, two.gateway) && pings(&one, two.address));
}

/// A socket of the host, the one of a server that it is connected to, and what it has sent there.
fn spoken_by_the_host(fwd: &Fwd, server: std::net::SocketAddrV4) -> (UdpSocket, UdpSocket, Vec<u8>) {
    let own = at(fwd.uplink(0).address, 40_000);
    let (socket, at_server) = (udp(fwd.host(), own), udp(fwd.internet(0), server));
    socket.connect(server).expect("a socket");
    socket.send(b"hello").expect("it leaves");
    at_server.recv(&mut [0; 16]).expect("it arrives");
    (socket, at_server, raw::udp(own, server, b"hello").emit())
}

/// "Too big" about a packet, for who sent it.
fn too_big(from: std::net::Ipv4Addr, to: std::net::Ipv4Addr, about: &[u8]) -> emit::Packet {
    emit::Packet::icmp_error(from, to, 3, 4, about).icmp_rest([0, 0, 2, 88])
}

#[test]
fn namespace_cannot_speak_as_a_router_about_what_the_host_has_sent() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let (own, server) = (fwd.uplink(0).address, at(fwd.uplink(0).outside[0], 7000));
    let (socket, _at_server, about) = spoken_by_the_host(&fwd, server);
    let (to, from) = (raw::mac_of(fwd.host(), &pod.host_if), raw::mac_of(&pod, "eth0"));
    for told in [own, pod.gateway] {
        let refused = emit::Packet::icmp_error(pod.address, told, 3, 3, &about);
        let frames = [too_big(pod.address, told, &about), refused].map(|packet| raw::frame(to, from, &packet));
        raw::send(&pod, "eth0", &frames);
    }
    let dropped = || Ok((fwd.counted("from_ns", "dropped", Some("IcmpType")) == 4).then_some(()));
    wait_until(PATIENCE, "all are dropped", dropped).unwrap_or_else(|error| panic!("{error}"));
    socket.send(&[0; 1200]).expect("nothing was heard");
    let route = fwd.on_host(&["ip", "-4", "route", "get", &server.ip().to_string()]);
    assert!(!route.contains("mtu"), "{route}");
}

#[test]
fn what_the_host_is_told_about_its_own_packets_does_not_bind_namespaces() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let (own, server) = (fwd.uplink(0).address, at(fwd.uplink(0).outside[0], 7000));
    let (_socket, at_server, about) = spoken_by_the_host(&fwd, server);
    let (to, from) = (raw::mac_of(fwd.host(), "eth0"), raw::mac_of(fwd.internet(0), "inet0"));
    raw::send(fwd.internet(0), "inet0", &[raw::frame(to, from, &too_big(*server.ip(), own, &about))]);
    let learnt = || {
        let route = fwd.on_host(&["ip", "-4", "route", "get", &server.ip().to_string()]);
        Ok(route.contains("mtu 600").then_some(()))
    };
    wait_until(PATIENCE, "the host has learnt an MTU", learnt).unwrap_or_else(|error| panic!("{error}"));
    let client = udp(&pod, ANY);
    client.connect(server).expect("a socket");
    client.send(&[7; 1200]).expect("it leaves");
    let mut buffer = [0; 2048];
    assert_eq!(at_server.recv(&mut buffer).expect("the large one arrives"), 1200);
    assert_eq!(fwd.counted("from_ns", "punted", Some("TooBig")), 0);
}
