//! ICMP errors as sockets hear of them, and as a wire carries them; ARP that lies.

use std::{io::ErrorKind, net::UdpSocket};

use forwarder::{Context, lab::wait_until};

use super::fwd::{Fwd, inside, pings, try_inside};
use crate::{
    capture::{Recording, finish_all_checksums},
    packet::Packet,
    peers::{ANY, PATIENCE, at, udp},
};

/// A connected socket hears that nobody listens.
#[track_caller]
fn assert_refused(socket: &UdpSocket) {
    socket.set_read_timeout(Some(std::time::Duration::from_millis(500))).expect("a socket");
    wait_until(PATIENCE, "the port is refused", || {
        // The error of an earlier datagram may come with the next.
        let sent = socket.send(b"is anybody there?").map(|_| ());
        let heard = sent.and_then(|()| socket.recv(&mut [0; 16]).map(|_| ()));
        Ok(matches!(heard, Err(error) if error.kind() == ErrorKind::ConnectionRefused).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error}"));
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
