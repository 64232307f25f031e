//! What a wire would carry: with checksums finished by the senders, every packet is looked at on both sides of the host.

use std::net::Ipv4Addr;

use forwarder_common::wire::emit::{self, Sum};

use super::fwd::{Fwd, pings};
use crate::{
    capture::{Recording, assert_clean, finish_all_checksums},
    packet::{ICMP, Packet, TCP, UDP},
    peers::{ANY, asked, at, connect, echo_tcp, echo_udp, echoed, listen, udp},
};

/// Each packet of `from` that is seen in `to` has been through one router: one hop less to live.
#[track_caller]
fn assert_one_hop(from: &[Packet], to: &[Packet]) {
    let same = |a: &Packet, b: &Packet| (a.id(), a.proto(), a.total_len()) == (b.id(), b.proto(), b.total_len());
    for before in from {
        let after = to.iter().find(|after| same(before, after)).unwrap_or_else(|| panic!("{before:?} does not arrive"));
        assert_eq!(after.ttl(), before.ttl() - 1, "{before:?} becomes {after:?}");
    }
}

#[test]
fn checksums_are_right_and_the_host_is_one_hop() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    finish_all_checksums(&fwd, &[&pod]);
    let (within, without) = (Recording::start(&fwd, &pod, "eth0"), Recording::on_uplink(&fwd));
    let server = at(fwd.uplink(0).outside[0], 9000);
    assert!(pings(&pod, *server.ip()));
    let replies = echo_udp(udp(fwd.internet(0), server), 1);
    asked(&udp(&pod, ANY), server, b"odd");
    replies.join().expect("the server");
    let clients = echo_tcp(listen(fwd.internet(0), server), 1);
    let stream = connect(&pod, ANY, server).expect("it connects");
    echoed(&stream, &[7; 20_001][..1999]);
    drop(stream);
    clients.join().expect("the server");
    let outside = without.assert_clean();
    let of = |packets: &[Packet], source: Ipv4Addr| -> Vec<Packet> {
        packets.iter().filter(|packet| packet.source() == source && packet.id() != 0).cloned().collect()
    };
    let inside = within.all();
    assert!(inside.iter().all(|packet| packet.faults().is_empty()), "{inside:#?}");
    assert_one_hop(&of(&inside, pod.address), &of(&outside, fwd.uplink(0).address));
    assert_one_hop(&of(&outside, *server.ip()), &of(&inside, *server.ip()));
    let opening = outside.iter().find(|packet| packet.tcp_flags() == Some(0x02)).expect("the connection is opened");
    assert_eq!(opening.mss(), Some(1460), "TCP options are left alone");
    for proto in [ICMP, TCP, UDP] {
        assert!(outside.iter().any(|packet| packet.proto() == proto), "protocol {proto} was seen: {outside:#?}");
    }
}

#[test]
fn checker_of_captures_sees_what_is_wrong() {
    let (here, there) = (Ipv4Addr::new(198, 51, 100, 2), Ipv4Addr::new(203, 0, 113, 1));
    // An echo request with its checksum, and a "port unreachable" with one for it embedded.
    let good = emit::Packet::icmp(here, there, 8, 0).icmp_rest([0, 1, 0, 4]).emit();
    let parsed = |bytes: &[u8]| Packet::parse(bytes).expect("a packet");
    assert_clean(&[parsed(&good)]);
    let off = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        parsed(&bytes).faults()
    };
    assert_eq!((off(12).len(), off(25).len(), off(8).len()), (1, 1, 1), "source, identifier, TTL");
    assert_eq!(parsed(&good[..27]).faults().len(), 1, "cut");
    let mut embedded = good.clone();
    embedded[12] = 10;
    embedded[13] = 77;
    let error = emit::Packet::icmp_error(there, here, 3, 3, &embedded).sum(Sum::Wrong);
    let error = parsed(&error.emit());
    assert_eq!(error.addresses().len(), 4);
    assert_eq!(error.faults().len(), 2, "{error:?}: {:?}", error.faults());
    let leaked = std::panic::catch_unwind(|| assert_clean(&[parsed(&embedded)]));
    assert!(leaked.is_err());
}
