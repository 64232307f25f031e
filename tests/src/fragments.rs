//! Packets larger than an MTU, as real programs send them: in fragments, both ways.

use std::{
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket},
    thread::{self, JoinHandle},
    time::Duration,
};

use forwarder::{Context, netns::Netns, testbed::wait_until};
use forwarder_common::wire::{
    emit::{Ethernet, finish_header},
    ethernet::ethertype,
};

use super::fwd::{Fwd, Pod, inside, pings};
use crate::{
    capture::{Recording, assert_clean, finish_all_checksums},
    packet::{ICMP, Packet, UDP},
    peers::{ANY, PATIENCE, any, at, udp},
    raw,
};

const PORT: u16 = 7000;

/// Echoes datagrams of any size until it has waited in vain.
fn echo(socket: UdpSocket) -> JoinHandle<usize> {
    thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        let mut count = 0;
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            if length == 0 {
                break;
            }
            socket.send_to(&buffer[..length], from).expect("the reply leaves");
            count += 1;
        }
        count
    })
}

/// Sends `length` bytes until they come back: the first may be lost while a neighbour is being found.
#[track_caller]
fn asked(socket: &UdpSocket, server: SocketAddrV4, length: usize) {
    let request: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
    let mut answer = vec![0; 65_536];
    socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a socket");
    wait_until(PATIENCE, &format!("{length} bytes come back"), || {
        socket.send_to(&request, server).doing("send to", server.to_string())?;
        let received = socket.recv_from(&mut answer).ok();
        Ok(received.filter(|(length, from)| answer[..*length] == *request && *from == SocketAddr::V4(server)))
    })
    .unwrap_or_else(|error| panic!("{error}"));
}

/// Lets routers fragment what sockets of the namespace send that are made from now on.
#[track_caller]
fn let_fragment(ns: &Netns) {
    inside(ns, &["sysctl", "-qw", "net.ipv4.ip_no_pmtu_disc=1"]);
}

/// Puts the fragments of each packet together, and looks at the checksums of the whole.
#[track_caller]
fn assert_whole(packets: &[Packet], proto: u8, source: Ipv4Addr) {
    let of = |packet: &&Packet| packet.proto() == proto && packet.source() == source;
    let firsts = packets.iter().filter(of).filter(|packet| packet.fragment() == (0, true));
    let mut whole = 0;
    for first in firsts {
        let mut bytes = first.bytes.clone();
        loop {
            let next = u16::try_from(bytes.len() - 20).expect("no packet is larger");
            let part = packets.iter().filter(of).find(|part| (part.id(), part.fragment().0) == (first.id(), next));
            let Some(part) = part else { panic!("{first:?} has no part at {next}") };
            bytes.extend(part.payload());
            if !part.fragment().1 {
                break;
            }
        }
        let length = u16::try_from(bytes.len()).expect("no packet is larger").to_be_bytes();
        bytes[2..4].copy_from_slice(&length);
        bytes[6..8].fill(0);
        finish_header(&mut bytes);
        assert_clean(&[Packet::parse(&bytes).expect("a packet")]);
        whole += 1;
    }
    assert!(whole > 0, "nothing from {source} came in fragments: {packets:#?}");
}

#[test]
fn large_pings_are_answered() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let outside = fwd.uplink(0).outside[0];
    assert!(pings(&pod, outside) && pings(fwd.host(), outside));
    let recording = Recording::on_uplink(&fwd);
    let ping = ["ping", "-n", "-c", "3", "-i", "0.1", "-s", "4000", &outside.to_string()];
    inside(&pod, &ping);
    // The host's own go on beside them: an echo request of the host claims its identifier.
    inside(fwd.host(), &ping);
    inside(&pod, &ping);
    let packets = recording.assert_clean();
    assert_whole(&packets, ICMP, fwd.uplink(0).address);
    assert_whole(&packets, ICMP, outside);
    let flows = fwd.list(&["flows", "--ns", &pod.name]);
    let large = flows.iter().filter(|flow| [&flow["tx_packets"], &flow["rx_packets"]].into_iter().all(|n| n == 9));
    assert_eq!(large.count(), 2, "each fragment is counted: {flows:#?}");
}

#[test]
fn large_datagrams_pass_both_ways() {
    let fwd = Fwd::new();
    let (pod, other) = (fwd.up("c1", &[]), fwd.up("c2", &[]));
    finish_all_checksums(&fwd, &[&pod, &other]);
    let server = at(fwd.uplink(0).outside[0], PORT);
    let (serving, beside) = (echo(udp(fwd.internet(0), server)), echo(udp(&other, any(PORT))));
    let recording = Recording::on_uplink(&fwd);
    let client = udp(&pod, ANY);
    for length in [1_473, 8_000, 20_000, 60_000, 65_507] {
        asked(&client, server, length);
        asked(&client, at(other.address, PORT), length);
    }
    let packets = recording.assert_clean();
    assert_whole(&packets, UDP, fwd.uplink(0).address);
    assert_whole(&packets, UDP, *server.ip());
    for server in [server, at(other.address, PORT)] {
        client.send_to(&[], server).expect("it leaves");
    }
    assert!(serving.join().expect("the server") >= 5 && beside.join().expect("the neighbour") >= 5);
}

#[test]
fn host_socket_whose_port_is_taken_sends_large_datagrams() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let server = at(fwd.uplink(0).outside[0], PORT);
    let serving = echo(udp(fwd.internet(0), server));
    let (client, host) = (udp(&pod, any(20_000)), udp(fwd.host(), any(20_000)));
    // The namespace's flow was made while the host had no such socket towards the server.
    drop(host);
    asked(&client, server, 5_000);
    let host = udp(fwd.host(), any(20_000));
    for _ in 0..3 {
        asked(&host, server, 8_000);
        asked(&client, server, 8_000);
    }
    assert!(fwd.counted("to_uplink", "punted", Some("HostFlow")) >= 6);
    client.send_to(&[], server).expect("it leaves");
    serving.join().expect("the server");
}

#[test]
fn iperf3_with_datagrams_in_fragments_loses_little() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    // So slow that a queue of 256 frames holds what comes while a busy machine lets the receiver wait.
    for options in [&["-u", "-b", "5M", "-l", "8000"][..], &["-u", "-b", "5M", "-l", "8000", "-R"]] {
        let report = crate::traffic::iperf3(&fwd, &pod, options);
        let (packets, lost) = (&report["end"]["sum"]["packets"], &report["end"]["sum"]["lost_packets"]);
        let (packets, lost) = (crate::fwd::number(packets), crate::fwd::number(lost));
        assert!(packets > 100 && lost * 10 < packets, "{options:?}: {lost} lost of {packets}");
    }
}

#[test]
fn packets_that_the_kernel_fragments_are_translated_at_the_uplink() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    for (ns, link) in [(fwd.host(), "eth0"), (fwd.internet(0), "inet0")] {
        inside(ns, &["ip", "link", "set", link, "mtu", "1280"]);
    }
    finish_all_checksums(&fwd, &[&pod]);
    let server = at(fwd.uplink(0).outside[0], PORT);
    let serving = echo(udp(fwd.internet(0), server));
    let_fragment(&pod);
    let client = udp(&pod, ANY);
    let recording = Recording::on_uplink(&fwd);
    for length in [100, 1_400, 4_000, 30_000] {
        asked(&client, server, length);
    }
    let packets = recording.assert_clean();
    assert_whole(&packets, UDP, fwd.uplink(0).address);
    assert!(packets.iter().all(|packet| packet.total_len() <= 1280));
    assert!(fwd.counted("from_ns", "punted", Some("TooBig")) >= 3);
    assert!(fwd.counted("to_uplink", "punted", Some("Translated")) >= 6);
    client.send_to(&[], server).expect("it leaves");
    serving.join().expect("the server");
}

#[test]
fn replies_in_fragments_too_large_for_the_namespace_are_cut_again() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &["--mtu", "1280"]);
    let server = at(fwd.uplink(0).outside[0], PORT);
    let_fragment(fwd.internet(0));
    let serving = echo(udp(fwd.internet(0), server));
    let client = udp(&pod, ANY);
    for length in [1_400, 4_000, 30_000] {
        asked(&client, server, length);
    }
    assert!(fwd.counted("from_uplink", "punted", Some("TooBig")) >= 3);
    client.send_to(&[], server).expect("it leaves");
    serving.join().expect("the server");
}

/// A datagram of `text` to `server` as frames of the namespace, cut at these bytes of its IP payload, with identification `id`.
fn cut(
    pod: &Pod,
    gateway: [u8; 6],
    server: SocketAddrV4,
    id: u16,
    text: &[u8],
    parts: &[(usize, usize)],
) -> Vec<Vec<u8>> {
    let whole = raw::udp(at(pod.address, 40_000), server, text).id(id);
    let [a, b, c, d] = pod.address.octets();
    let ethernet = Ethernet::new(gateway, [2, 0x77, a, b, c, d]);
    let part =
        |&(from, to): &(usize, usize)| ethernet.around(ethertype::IPV4, &whole.fragment(from..to, to < 8 + text.len()));
    parts.iter().map(part).collect()
}

#[test]
fn order_and_overlap_of_fragments_decide_what_arrives() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let server = at(fwd.uplink(0).outside[0], PORT);
    let socket = udp(fwd.internet(0), server);
    assert!(pings(&pod, *server.ip()));
    let [a, b, c, d] = pod.gateway.octets();
    let send = |id, text: &[u8], parts: &[(usize, usize)]| {
        raw::send(&pod, "eth0", &cut(&pod, [2, 0x66, a, b, c, d], server, id, text, parts));
    };
    let mut buffer = [0; 64];
    let mut arrives = |text: &[u8]| {
        let (length, from) = socket.recv_from(&mut buffer).expect("a datagram arrives");
        assert_eq!(&buffer[..length], text);
        assert_eq!(from.ip(), fwd.uplink(0).address);
    };
    let dropped = |reason| fwd.counted("from_ns", "dropped", Some(reason));
    send(1, b"those behind the first in any order", &[(0, 16), (32, 99), (16, 32)]);
    arrives(b"those behind the first in any order");
    send(2, b"one before the first is not known", &[(16, 32), (0, 16), (32, 99)]);
    send(3, b"what overlaps is not whole", &[(0, 16), (8, 24), (16, 99)]);
    send(4, b"what is repeated does no harm", &[(0, 16), (0, 16), (16, 99)]);
    arrives(b"what is repeated does no harm");
    assert_eq!((dropped("FragmentUnknown"), dropped("FragmentOverlap")), (1, 3));
}

#[test]
fn nobody_completes_the_datagrams_of_another() {
    let fwd = Fwd::new();
    let (one, two) = (fwd.up("c1", &[]), fwd.up("c2", &[]));
    let server = at(fwd.uplink(0).outside[0], PORT);
    let socket = udp(fwd.internet(0), server);
    assert!(pings(&one, *server.ip()) && pings(&two, *server.ip()));
    let [a, b, c, d] = one.gateway.octets();
    let gateway = [2, 0x66, a, b, c, d];
    let parts = [(0, 16), (16, 99)];
    // The first ends at the host: if the rest left, it would wait for somebody else's first.
    let mut forged = cut(&one, gateway, server, 7, b"whoever begins: it ends like this", &parts);
    forged[0][22] = 1;
    finish_header(&mut forged[0][14..]);
    raw::send(&one, "eth0", &forged);
    let seen = || Ok((fwd.counted("from_ns", "punted", Some("TtlExceeded")) == 2).then_some(()));
    wait_until(PATIENCE, "both were left to the kernel", seen).unwrap_or_else(|error| panic!("{error}"));
    let text = b"what is said here is said by one";
    raw::send(&two, "eth0", &cut(&two, gateway, server, 7, text, &parts));
    let mut buffer = [0; 64];
    let (length, from) = socket.recv_from(&mut buffer).expect("a datagram arrives");
    assert_eq!((&buffer[..length], from.ip()), (&text[..], fwd.uplink(0).address.into()));
}
