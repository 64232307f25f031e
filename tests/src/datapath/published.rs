//! Published ports: who begins a flow from outside, and what of the table such flows may take.

use std::{collections::HashSet, net::SocketAddrV4};

use forwarder::dataplane::{PublishedPorts, Sizes};
use forwarder_common::{abi::endpoint_flags, wire::l4::Proto};

use super::{
    fixture::{Fixture, with_endpoints, with_fixture},
    frame::{Frame, destination, source},
};

const NEXT: i32 = -1;
const REDIRECT: i32 = 7;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const RST: u8 = 0x04;
const SYN_ACK: u8 = 0x12;

/// The cookie that the fixture's endpoints have.
const COOKIE: u64 = 1;

fn publish(fixture: &Fixture, member: usize, ports: &str) {
    let ports: PublishedPorts = ports.parse().unwrap();
    fixture.dataplane.publish(fixture.members[member].host_veth, COOKIE, &ports).unwrap();
}

/// A packet from outside; where it is delivered, if it is.
fn knocks(fixture: &Fixture, proto: Proto, from: SocketAddrV4, port: u16, flags: u8) -> Option<SocketAddrV4> {
    let frame = Frame::new(proto, from, SocketAddrV4::new(fixture.nat, port)).tcp_flags(flags).build();
    let out = fixture.run_from_uplink(&frame);
    assert!(out.verdict == REDIRECT || out.verdict == NEXT, "{from} to {port}: {}", out.verdict);
    (out.verdict == REDIRECT).then(|| {
        assert_eq!(source(&out.packet), from, "the client's address stays");
        destination(&out.packet)
    })
}

fn stranger(fixture: &Fixture, number: u16) -> SocketAddrV4 {
    SocketAddrV4::new(fixture.outside, 20_000 + number)
}

#[test]
fn connection_begins_with_a_syn_to_a_published_port_and_nothing_else() {
    with_fixture(&Sizes::default(), |fixture| {
        publish(fixture, 0, "8000-8009:80-89");
        publish(fixture, 0, "443:8443");
        let inside = |port| Some(SocketAddrV4::new(fixture.members[0].address, port));
        for flags in [ACK, SYN_ACK, RST, SYN | RST] {
            assert_eq!(
                knocks(fixture, Proto::Tcp, stranger(fixture, 0), 8003, flags),
                None,
                "{flags:#x} is the host's"
            );
        }
        assert_eq!(knocks(fixture, Proto::Tcp, stranger(fixture, 0), 8003, SYN), inside(83));
        assert_eq!(knocks(fixture, Proto::Tcp, stranger(fixture, 0), 443, SYN), inside(8443));
        for port in [7999, 8010, 442, 444] {
            assert_eq!(knocks(fixture, Proto::Tcp, stranger(fixture, 1), port, SYN), None, "{port} is not published");
        }
        assert_eq!(knocks(fixture, Proto::Udp, stranger(fixture, 1), 8003, 0), None, "it is published for TCP");
        let other = Frame::new(Proto::Tcp, stranger(fixture, 2), SocketAddrV4::new([192, 0, 2, 9].into(), 8003));
        assert_eq!(fixture.run_from_uplink(&other.tcp_flags(SYN).build()).verdict, NEXT, "the host only forwards it");
        // The answer leaves from the port that was asked.
        let from = inside(83).unwrap();
        let answer = Frame::reply(Proto::Tcp, from, stranger(fixture, 0)).tcp_flags(SYN_ACK).build();
        let out = fixture.run_from_ns(&answer);
        assert_eq!((out.verdict, source(&out.packet)), (REDIRECT, SocketAddrV4::new(fixture.nat, 8003)));
    });
}

#[test]
fn withdrawn_port_is_the_hosts_again_and_its_flows_end() {
    with_fixture(&Sizes::default(), |fixture| {
        let ports: PublishedPorts = "53:5353/udp".parse().unwrap();
        for _ in 0..2 {
            publish(fixture, 0, "53:5353/udp");
            publish(fixture, 0, "54:5353/udp");
            assert!(knocks(fixture, Proto::Udp, stranger(fixture, 0), 53, 0).is_some());
            assert!(knocks(fixture, Proto::Udp, stranger(fixture, 1), 54, 0).is_some());
            fixture.dataplane.unpublish(fixture.host_veth, COOKIE, &ports).unwrap();
            assert_eq!(knocks(fixture, Proto::Udp, stranger(fixture, 0), 53, 0), None);
            let left: Vec<u16> = fixture.dataplane.flows().unwrap().iter().map(|flow| flow.nat.port()).collect();
            assert_eq!(left, [54]);
        }
        assert_eq!(fixture.dataplane.publications().unwrap().len(), 1);
    });
}

#[test]
fn number_of_a_veth_that_is_anothers_by_now_gets_nothing() {
    with_fixture(&Sizes::default(), |fixture| {
        let ports: PublishedPorts = "53:53/udp".parse().unwrap();
        fixture.dataplane.publish(fixture.host_veth, COOKIE + 1, &ports).unwrap();
        assert_eq!(knocks(fixture, Proto::Udp, stranger(fixture, 0), 53, 0), None);
        // Nor does another endpoint's command take away what is not its own.
        publish(fixture, 0, "53:53/udp");
        fixture.dataplane.unpublish(fixture.host_veth, COOKIE + 1, &ports).unwrap();
        assert!(knocks(fixture, Proto::Udp, stranger(fixture, 0), 53, 0).is_some());
    });
}

/// A flow that has a port before it is published keeps it; whoever else comes is for the publication.
#[test]
fn conversation_that_has_a_port_keeps_it_when_it_is_published() {
    with_endpoints(&Sizes::default(), &[0, endpoint_flags::NAT_EIM | endpoint_flags::NAT_EIF], |fixture| {
        let servers = [stranger(fixture, 0), stranger(fixture, 1)];
        let outs = [0, 1].map(|member| {
            let from = SocketAddrV4::new(fixture.members[member].address, 5000 + member as u16);
            let out =
                fixture.run_from(&fixture.members[member], &Frame::new(Proto::Udp, from, servers[member]).build());
            assert_eq!(out.verdict, REDIRECT);
            (from, source(&out.packet).port())
        });
        for (from, port) in outs {
            assert_eq!(from.port(), port, "it is free");
            publish(fixture, 0, &format!("{port}:{}/udp", port + 1000));
        }
        for member in [0, 1] {
            let (from, port) = outs[member];
            assert_eq!(knocks(fixture, Proto::Udp, servers[member], port, 0), Some(from), "its answers go on");
            let inside = SocketAddrV4::new(fixture.members[0].address, port + 1000);
            assert_eq!(knocks(fixture, Proto::Udp, stranger(fixture, 9), port, 0), Some(inside));
        }
    });
}

/// Whoever floods a published port competes with those who come from outside alone.
#[test]
fn flood_from_outside_evicts_nothing_that_the_endpoint_has_begun() {
    let sizes = Sizes { max_flows: 64, max_pending: 200, ..Sizes::default() };
    with_fixture(&sizes, |fixture| {
        publish(fixture, 0, "80:80");
        let member = fixture.members[0];
        let inside = |port| SocketAddrV4::new(member.address, port);
        let client = stranger(fixture, 0);
        assert!(knocks(fixture, Proto::Tcp, client, 80, SYN).is_some());
        let answer = Frame::reply(Proto::Tcp, inside(80), client).tcp_flags(SYN_ACK).build();
        assert_eq!(fixture.run_from(&member, &answer).verdict, REDIRECT);
        assert!(knocks(fixture, Proto::Tcp, client, 80, ACK).is_some());
        let begins = |port| {
            let syn = Frame::new(Proto::Tcp, inside(port), stranger(fixture, 1)).tcp_flags(SYN).build();
            assert_eq!(fixture.run_from(&member, &syn).verdict, REDIRECT, "{port}");
        };
        (40_000..40_020).for_each(begins);
        for number in 0..3_000_u32 {
            let from = SocketAddrV4::new([198, 18, (number >> 8) as u8, number as u8].into(), 1024 + number as u16);
            assert!(knocks(fixture, Proto::Tcp, from, 80, SYN).is_some(), "{number}: the youngest have a place");
        }
        (40_020..40_040).for_each(begins);
        let flows = fixture.dataplane.flows().unwrap();
        let begun: HashSet<u16> =
            flows.iter().filter(|it| it.dst == stranger(fixture, 1).into()).map(|it| it.src.port()).collect();
        assert_eq!(begun, (40_000..40_040).collect());
        let established = flows.iter().find(|flow| flow.dst == client.into()).expect("it lives on");
        assert_eq!(established.state, "established");
    });
}
