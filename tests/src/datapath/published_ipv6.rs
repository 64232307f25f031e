//! Published ports over IPv6: who begins a flow from outside, and what of the table such flows may take.

use std::{
    collections::HashSet,
    net::{Ipv6Addr, SocketAddr, SocketAddrV6},
};

use forwarder::dataplane::{PublishedPorts, Sizes};
use forwarder_common::wire::{
    emit::{Ipv6Packet, Transport},
    l4::tcp_flag::{ACK, RST, SYN},
    packet::L3_OFF,
};

use super::{
    fixture::{ADDRESS_V6, Fixture, with_ipv6, with_ipv6_of},
    ipv6::{NEXT, OUTSIDE, REDIRECT, frame},
};

/// The cookie that the fixture's endpoints have.
const COOKIE: u64 = 1;

fn publish(fixture: &Fixture, ports: &str) {
    let ports: PublishedPorts = ports.parse().unwrap();
    fixture.dataplane.publish(fixture.host_veth, COOKIE, &ports).unwrap();
}

const fn at(addr: Ipv6Addr, port: u16) -> SocketAddrV6 {
    SocketAddrV6::new(addr, port, 0, 0)
}

fn segment(from: SocketAddrV6, to: SocketAddrV6, flags: u8) -> Ipv6Packet {
    let mut packet = Ipv6Packet::tcp(from, to);
    if let Transport::Tcp(tcp) = &mut packet.transport {
        tcp.flags = flags;
    }
    packet
}

/// A segment from outside to a port of the host; whether it is delivered to `inside`, with the client's address and a hop less.
#[track_caller]
fn knocks(fixture: &Fixture, from: SocketAddrV6, port: u16, inside: u16, flags: u8) -> bool {
    let sent = frame(&segment(from, at(fixture.host_v6, port), flags));
    let run = fixture.run_from_uplink(&sent);
    if run.verdict == NEXT {
        assert_eq!(run.packet, sent, "what is the host's stays as it was");
        return false;
    }
    assert_eq!(run.verdict, REDIRECT, "{from} to {port}");
    assert_eq!(&run.packet[L3_OFF..], segment(from, at(ADDRESS_V6, inside), flags).hop_limit(63).emit());
    true
}

fn stranger(number: u16) -> SocketAddrV6 {
    at(OUTSIDE, 20_000 + number)
}

#[test]
fn connection_begins_with_a_syn_to_a_published_port_and_nothing_else() {
    with_ipv6(&[0], |fixture| {
        publish(fixture, &format!("[{}]:8000-8009:80-89", fixture.host_v6));
        publish(fixture, "0.0.0.0:443:443");
        for flags in [ACK, SYN | ACK, RST, SYN | RST] {
            assert!(!knocks(fixture, stranger(0), 8003, 83, flags), "{flags:#x} is the host's");
        }
        for _ in 0..2 {
            assert!(knocks(fixture, stranger(0), 8003, 83, SYN));
        }
        for port in [7999, 8010, 443] {
            assert!(!knocks(fixture, stranger(1), port, 0, SYN), "{port} is not published over IPv6");
        }
        for nobody in ["fe80::7", "ff02::7", "::1", "::", "::ffff:192.0.2.7"] {
            let from = at(nobody.parse().unwrap(), 20_000);
            let run = fixture.run_from_uplink(&frame(&segment(from, at(fixture.host_v6, 8003), SYN)));
            assert_eq!(run.verdict, NEXT, "{nobody} is nobody from outside");
        }
        // The answer leaves from the port that was asked.
        let out = fixture.run_from_ns(&frame(&segment(at(ADDRESS_V6, 83), stranger(0), SYN | ACK)));
        assert_eq!(out.verdict, REDIRECT);
        let answer = segment(at(fixture.host_v6, 8003), stranger(0), SYN | ACK).hop_limit(63);
        assert_eq!(&out.packet[L3_OFF..], answer.emit());
        assert_eq!(fixture.dataplane.flows().unwrap().len(), 1);
        // It is withdrawn, and its flows end, but no others.
        fixture.run_from_ns(&frame(&segment(at(ADDRESS_V6, 40_000), stranger(9), SYN)));
        let ports = fixture.dataplane.publications().unwrap();
        let ports = ports.iter().map(|it| it.ports).find(|ports| ports.are_of(false)).unwrap();
        fixture.dataplane.unpublish(fixture.host_veth, COOKIE, &ports).unwrap();
        let left: Vec<SocketAddr> = fixture.dataplane.flows().unwrap().iter().map(|flow| flow.dst).collect();
        assert_eq!(left, [SocketAddr::from(stranger(9))]);
        assert!(!knocks(fixture, stranger(2), 8003, 83, SYN));
    });
}

/// Whoever floods a published port competes with those who come from outside alone.
#[test]
fn flood_from_outside_evicts_nothing_that_the_endpoint_has_begun() {
    let sizes = Sizes { max_flows: 64, max_pending: 200, ..Sizes::default() };
    with_ipv6_of(&sizes, &[0], |fixture| {
        publish(fixture, &format!("[{}]:80:80", fixture.host_v6));
        let client = stranger(0);
        assert!(knocks(fixture, client, 80, 80, SYN));
        let answer = frame(&segment(at(ADDRESS_V6, 80), client, SYN | ACK));
        assert_eq!(fixture.run_from_ns(&answer).verdict, REDIRECT);
        assert!(knocks(fixture, client, 80, 80, ACK));
        let begins = |port| {
            let syn = frame(&segment(at(ADDRESS_V6, port), stranger(1), SYN));
            assert_eq!(fixture.run_from_ns(&syn).verdict, REDIRECT, "{port}");
        };
        (40_000..40_020).for_each(begins);
        for number in 0..3_000_u16 {
            let from = Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, number);
            assert!(knocks(fixture, at(from, 1024), 80, 80, SYN), "{number}: the youngest have a place");
        }
        (40_020..40_040).for_each(begins);
        let flows = fixture.dataplane.flows().unwrap();
        let begun: HashSet<u16> =
            flows.iter().filter(|it| it.dst == stranger(1).into()).map(|it| it.src.port()).collect();
        assert_eq!(begun, (40_000..40_040).collect());
        let established = flows.iter().find(|flow| flow.dst == client.into()).expect("it lives on");
        assert_eq!(established.state, "established");
    });
}
