//! Endpoint-independent mapping and filtering (RFC 4787 REQ-1, REQ-8): one external port for all destinations of a socket.

use std::{collections::HashSet, net::SocketAddrV4, time::Duration};

use forwarder::{dataplane::Sizes, netns::Netns, testbed::wait_until};
use forwarder_common::{abi::endpoint_flags, wire::l4::Proto};

use super::{
    fixture::{Fixture, Member, with_endpoints},
    frame::{Frame, destination, source},
};

const NEXT: i32 = -1;
const DROP: i32 = 2;
const REDIRECT: i32 = 7;
const SYN_ACK: u8 = 0x12;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;
const EIM: u32 = endpoint_flags::NAT_EIM;
const EIF: u32 = EIM | endpoint_flags::NAT_EIF;
const PROTOS: [Proto; 3] = [Proto::Tcp, Proto::Udp, Proto::Icmp];

/// Socket `port` of an endpoint writes to `server`; from which external socket, if it gets one.
#[track_caller]
fn sends(fixture: &Fixture, member: &Member, proto: Proto, port: u16, server: SocketAddrV4) -> Option<SocketAddrV4> {
    let inside = SocketAddrV4::new(member.address, port);
    let out = fixture.run_from(member, &Frame::new(proto, inside, server).build());
    assert!(out.verdict == REDIRECT || out.verdict == DROP, "{inside} to {server}: {}", out.verdict);
    (out.verdict == REDIRECT).then(|| source(&out.packet))
}

/// `server` answers to the external socket `nat`; at which socket inside that arrives, if it does.
fn answers(fixture: &Fixture, proto: Proto, server: SocketAddrV4, nat: SocketAddrV4) -> Option<SocketAddrV4> {
    let back = fixture.run_from_uplink(&Frame::reply(proto, server, nat).tcp_flags(SYN_ACK).build());
    (back.verdict == REDIRECT).then(|| destination(&back.packet))
}

/// Connects to its end, so that nobody takes the port over.
#[track_caller]
fn connects(fixture: &Fixture, member: &Member, port: u16, server: SocketAddrV4) -> Option<SocketAddrV4> {
    let nat = sends(fixture, member, Proto::Tcp, port, server)?;
    let inside = SocketAddrV4::new(member.address, port);
    assert_eq!(answers(fixture, Proto::Tcp, server, nat), Some(inside));
    let last = fixture.run_from(member, &Frame::new(Proto::Tcp, inside, server).tcp_flags(ACK).build());
    assert_eq!((last.verdict, source(&last.packet)), (REDIRECT, nat));
    Some(nat)
}

/// Different sockets outside: other ports, and other addresses.
fn servers(fixture: &Fixture) -> Vec<SocketAddrV4> {
    let [a, b, c, d] = fixture.outside.octets();
    let at = |number: u8| SocketAddrV4::new([a, b, c, d + number % 3].into(), 3_000 + u16::from(number));
    (0..9).map(at).collect()
}

#[test]
fn socket_has_one_external_port_for_all_destinations() {
    with_endpoints(&Sizes::default(), &[EIM, EIM, 0], |fixture| {
        for proto in PROTOS {
            // In the NAT range and beyond it; the same sockets of a neighbour get other ports.
            let mut seen = HashSet::new();
            for (member, port) in [(0, 5_000), (0, 50_000), (1, 5_000), (1, 50_000)] {
                let member = &fixture.members[member];
                let inside = SocketAddrV4::new(member.address, port);
                let ports: HashSet<_> = servers(fixture)
                    .into_iter()
                    .map(|server| {
                        let nat = sends(fixture, member, proto, port, server).expect("a port");
                        assert_eq!(answers(fixture, proto, server, nat), Some(inside), "{proto:?} from {server}");
                        nat
                    })
                    .collect();
                assert_eq!(ports.len(), 1, "{proto:?} {inside}: {ports:?}");
                assert!(ports.into_iter().all(|nat| seen.insert(nat)), "two sockets with one port");
            }
            // A network that maps per destination keeps off the ports of mappings.
            for server in servers(fixture) {
                let nat = sends(fixture, &fixture.members[2], proto, 5_000, server).expect("a port");
                assert!(!seen.contains(&nat), "{proto:?}: {nat} belongs to a mapping");
            }
        }
        let stranger = SocketAddrV4::new(fixture.outside, 9);
        let nat = fixture.nat_of(Proto::Udp as u8, 50_000);
        assert_eq!(answers(fixture, Proto::Udp, stranger, nat), None, "only who was written to may answer");
    });
}

#[test]
fn mapping_keeps_off_ports_that_others_use_per_destination() {
    let sizes = Sizes { nat_ports: (2_000, 2_003), ..Sizes::default() };
    with_endpoints(&sizes, &[0, EIM], |fixture| {
        let (plain, mapped) = (&fixture.members[0], &fixture.members[1]);
        let servers = servers(fixture);
        let taken: HashSet<_> =
            (0..2).map(|n| connects(fixture, plain, 2_000 + n, servers[0]).expect("a port")).collect();
        let mine: HashSet<_> =
            (0..2).map(|n| connects(fixture, mapped, 2_000 + n, servers[1]).expect("a port")).collect();
        assert!(taken.is_disjoint(&mine), "{taken:?} {mine:?}");
        // Two ports are shared, two belong to mappings: none is left for a third socket, but all destinations for the two.
        assert_eq!(connects(fixture, mapped, 2_002, servers[2]), None);
        assert_eq!(fixture.counted("PortsExhausted"), 1);
        for server in &servers {
            let nat = sends(fixture, mapped, Proto::Tcp, 2_001, *server).expect("its port");
            assert!(mine.contains(&nat), "{nat} towards {server}");
        }
        assert!(sends(fixture, plain, Proto::Tcp, 2_003, servers[3]).is_some_and(|nat| taken.contains(&nat)));
    });
}

#[test]
fn mapping_ends_with_its_last_flow() {
    let mut sizes = Sizes { nat_ports: (2_000, 2_001), ..Sizes::default() };
    for (_, seconds) in &mut sizes.timeouts {
        *seconds = 1;
    }
    with_endpoints(&sizes, &[EIM, EIM], |fixture| {
        for round in 0..3_u16 {
            let member = &fixture.members[usize::from(round % 2)];
            for server in servers(fixture) {
                for socket in 0..2 {
                    assert!(sends(fixture, member, Proto::Udp, 40_000 + 2 * round + socket, server).is_some());
                }
            }
            assert_eq!(fixture.dataplane.mappings().unwrap(), 2);
            let all_ended = || Ok((fixture.dataplane.mappings()? == 0).then_some(()));
            wait_until(Duration::from_secs(30), "the mappings end", all_ended).unwrap();
        }
    });
}

#[test]
fn mapping_of_a_closed_connection_is_taken_over_when_no_port_is_free() {
    let sizes = Sizes { nat_ports: (2_000, 2_001), ..Sizes::default() };
    with_endpoints(&sizes, &[EIM], |fixture| {
        let (member, server) = (&fixture.members[0], servers(fixture)[0]);
        let nat = [0, 1].map(|n| connects(fixture, member, 40_000 + n, server).expect("a port"));
        assert_eq!(sends(fixture, member, Proto::Tcp, 40_002, server), None);
        let reset = Frame::reply(Proto::Tcp, server, nat[1]).tcp_flags(RST).build();
        assert_eq!(fixture.run_from_uplink(&reset).verdict, REDIRECT);
        // That there was none a moment ago is remembered for that moment.
        let gets_it = || Ok(sends(fixture, member, Proto::Tcp, 40_002, server));
        assert_eq!(wait_until(Duration::from_secs(30), "the mapping is taken over", gets_it).unwrap(), nat[1]);
        assert_eq!(fixture.dataplane.mappings().unwrap(), 2);
    });
}

#[test]
fn anyone_may_write_to_a_mapped_port_where_the_network_says_so() {
    with_endpoints(&Sizes::default(), &[EIF, EIM], |fixture| {
        let (open, strict) = (&fixture.members[0], &fixture.members[1]);
        let [server, stranger, ..] = servers(fixture)[..] else { unreachable!("nine") };
        for proto in [Proto::Tcp, Proto::Udp] {
            let inside = SocketAddrV4::new(open.address, 45_000);
            let nat = sends(fixture, open, proto, 45_000, server).expect("a port");
            let knock = Frame::new(proto, stranger, nat).build();
            let back = fixture.run_from_uplink(&knock);
            assert_eq!((back.verdict, destination(&back.packet)), (REDIRECT, inside), "{proto:?}");
            // It is no conversation before the endpoint answers, from the same port.
            let state = || {
                let flows = fixture.dataplane.flows().unwrap();
                flows
                    .iter()
                    .find(|flow| flow.proto == proto as u8 && flow.dst == stranger.into())
                    .expect("a flow")
                    .state
            };
            for _ in 0..8 {
                fixture.run_from_uplink(&knock);
            }
            assert_eq!(state(), "half-open", "{proto:?}");
            let answer = Frame::new(proto, inside, stranger).tcp_flags(SYN_ACK).build();
            let out = fixture.run_from(open, &answer);
            assert_eq!((out.verdict, source(&out.packet)), (REDIRECT, nat), "{proto:?}");
            let ack = Frame::new(proto, stranger, nat).tcp_flags(ACK).build();
            assert_eq!(fixture.run_from_uplink(&ack).verdict, REDIRECT);
            assert_eq!(state(), "established", "{proto:?}");

            let nat = sends(fixture, strict, proto, 45_000, server).expect("a port");
            let knock = Frame::new(proto, stranger, nat).build();
            assert_eq!(fixture.run_from_uplink(&knock).verdict, NEXT, "{proto:?}: left to the host");
        }
        // What opens no connection opens no flow; nor does an echo.
        let nat = fixture.nat_of(Proto::Tcp as u8, 45_000);
        let late = Frame::new(Proto::Tcp, SocketAddrV4::new(fixture.outside, 1_000), nat).tcp_flags(ACK).build();
        assert_eq!(fixture.run_from_uplink(&late).verdict, NEXT);
        let nat = sends(fixture, open, Proto::Icmp, 46_000, server).expect("an identifier");
        assert_eq!(answers(fixture, Proto::Icmp, SocketAddrV4::new(fixture.nat, 1), nat), None);
    });
}

#[test]
fn sockets_of_the_host_are_not_shadowed_by_mappings() {
    with_endpoints(&Sizes::default(), &[EIF], |fixture| {
        let member = &fixture.members[0];
        let [server, stranger, ..] = servers(fixture)[..] else { unreachable!("nine") };
        // First come: the endpoint gets another port.
        let service = std::net::UdpSocket::bind((fixture.nat, 4_000)).unwrap();
        let nat = sends(fixture, member, Proto::Udp, 4_000, server).expect("a port");
        assert_ne!(nat.port(), 4_000);
        drop(service);
        // Later come: what is for it goes to it, and the conversation that was there goes on.
        let nat = sends(fixture, member, Proto::Udp, 4_001, server).expect("a port");
        assert_eq!(nat.port(), 4_001);
        let _service = std::net::UdpSocket::bind((fixture.nat, 4_001)).unwrap();
        assert_eq!(fixture.run_from_uplink(&Frame::new(Proto::Udp, stranger, nat).build()).verdict, NEXT);
        assert!(answers(fixture, Proto::Udp, server, nat).is_some());
    });
}

#[test]
fn two_cpus_with_the_first_packets_of_a_socket_agree_on_its_port() {
    const ROUNDS: u16 = 400;
    with_endpoints(&Sizes::default(), &[EIM], |fixture| {
        let host = &Netns::current().unwrap();
        let (member, servers) = (&fixture.members[0], &servers(fixture));
        let start = &std::sync::Barrier::new(2);
        let ports: Vec<Vec<u16>> = std::thread::scope(|scope| {
            let threads = [0, 1].map(|cpu| {
                scope.spawn(move || {
                    host.enter().unwrap();
                    super::pin_to(cpu);
                    let send = |round| {
                        start.wait();
                        sends(fixture, member, Proto::Udp, 32_768 + round, servers[cpu]).expect("a port").port()
                    };
                    (0..ROUNDS).map(send).collect()
                })
            });
            threads.map(|thread| thread.join().unwrap()).into()
        });
        assert_eq!(ports[0], ports[1]);
        let all: HashSet<_> = ports[0].iter().collect();
        assert_eq!(all.len(), usize::from(ROUNDS), "a port for each socket");
        assert_eq!(fixture.dataplane.mappings().unwrap(), usize::from(ROUNDS));
    });
}
