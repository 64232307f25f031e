//! External ports: how full the range gets before somebody gets none.

use std::net::SocketAddrV4;

use forwarder::dataplane::Sizes;
use forwarder_common::{abi::endpoint_flags, wire::l4::Proto};

use super::{
    fixture::{Fixture, Member, with_endpoints},
    frame::{Frame, destination, source},
};

const REDIRECT: i32 = 7;
const DROP: i32 = 2;
const ACK: u8 = 0x10;
const CLIENTS: u16 = 16;
const SERVERS: u16 = 8;
/// Ports of the NAT range.
const PORTS: u16 = 1_000;

/// Opens a connection, to its end: a port of a half-open one would be taken over. Returns whether there was a port.
#[track_caller]
fn connects(fixture: &Fixture, client: &Member, port: u16, server: SocketAddrV4) -> bool {
    let inside = SocketAddrV4::new(client.address, port);
    let out = fixture.run_from(client, &Frame::new(Proto::Tcp, inside, server).build());
    if out.verdict == DROP {
        return false;
    }
    assert_eq!(out.verdict, REDIRECT, "{inside} to {server}");
    let back = fixture.run_from_uplink(&Frame::reply(Proto::Tcp, server, source(&out.packet)).build());
    assert_eq!((back.verdict, &back.packet[30..34]), (REDIRECT, &client.address.octets()[..]), "{inside} to {server}");
    assert_eq!(back.packet[36..38], port.to_be_bytes(), "{inside} to {server}");
    let last = fixture.run_from(client, &Frame::new(Proto::Tcp, inside, server).tcp_flags(ACK).build());
    assert_eq!(last.verdict, REDIRECT, "{inside} to {server}");
    true
}

#[test]
fn privileged_ports_stay_privileged() {
    for flags in [0, endpoint_flags::NAT_EIM] {
        with_endpoints(&Sizes::default(), &[flags, flags], |fixture| {
            let server = SocketAddrV4::new(fixture.outside, 2_049);
            for proto in [Proto::Tcp, Proto::Udp] {
                let mut seen = Vec::new();
                for (member, port) in fixture.members.iter().flat_map(|member| [(member, 700), (member, 80)]) {
                    let inside = SocketAddrV4::new(member.address, port);
                    let nat = source(&fixture.run_from(member, &Frame::new(proto, inside, server).build()).packet);
                    // The answer, what follows it, and data of the established flow.
                    for flags in [0x12, ACK, ACK] {
                        let back = fixture.run_from_uplink(&Frame::reply(proto, server, nat).tcp_flags(flags).build());
                        assert_eq!((back.verdict, destination(&back.packet)), (REDIRECT, inside), "{nat}");
                        let out = fixture.run_from(member, &Frame::new(proto, inside, server).tcp_flags(ACK).build());
                        assert_eq!((out.verdict, source(&out.packet)), (REDIRECT, nat));
                    }
                    seen.push(nat.port());
                }
                assert_eq!(seen[0], 700, "the first keeps its own");
                assert!(seen.iter().all(|port| (512..1024).contains(port)), "{seen:?}");
                seen.sort_unstable();
                seen.dedup();
                assert_eq!(seen.len(), 4, "each has one of its own");
            }
            let echo = SocketAddrV4::new(fixture.members[0].address, 700);
            fixture.run_from(&fixture.members[0], &Frame::new(Proto::Icmp, echo, server).build());
            assert!(fixture.nat_of(Proto::Icmp as u8, 700).port() >= 1024, "the identifier of an echo is no port");
        });
    }
}

#[test]
fn two_cpus_with_the_first_packets_of_one_flow_agree_on_its_port() {
    const ROUNDS: u16 = 400;
    with_endpoints(&Sizes::default(), &[0], |fixture| {
        let host = &forwarder::netns::Netns::current().unwrap();
        let (client, start) = (&fixture.members[0], &std::sync::Barrier::new(2));
        let server = SocketAddrV4::new(fixture.outside, 53);
        let ports: Vec<Vec<SocketAddrV4>> = std::thread::scope(|scope| {
            let threads = [0, 1].map(|cpu| {
                scope.spawn(move || {
                    host.enter().unwrap();
                    super::pin_to(cpu);
                    let send = |round| {
                        let inside = SocketAddrV4::new(client.address, 32_768 + round);
                        let frame = Frame::new(Proto::Udp, inside, server).build();
                        start.wait();
                        source(&fixture.run_from(client, &frame).packet)
                    };
                    (0..ROUNDS).map(send).collect()
                })
            });
            threads.map(|thread| thread.join().unwrap()).into()
        });
        assert_eq!(ports[0], ports[1]);
        assert_eq!(fixture.dataplane.flows().unwrap().len(), usize::from(ROUNDS));
    });
}

#[test]
fn sixteen_clients_fill_nine_tenths_of_the_range_towards_each_server() {
    let sizes = Sizes { nat_ports: (2_000, 2_000 + PORTS - 1), ..Sizes::default() };
    with_endpoints(&sizes, &[0; CLIENTS as usize], |fixture| {
        let mut refused = 0;
        for server in 0..SERVERS {
            let to = SocketAddrV4::new(fixture.outside, 80 + server);
            for opened in 0..PORTS {
                let client = usize::from(opened % CLIENTS);
                // As Linux numbers sockets: every other port from where the destination begins.
                let port = 32_768 + server * 997 + 2 * (opened / CLIENTS);
                let connected = connects(fixture, &fixture.members[client], port, to);
                assert!(connected || opened >= PORTS / 10 * 9, "refused when {opened} of {PORTS} were taken");
                refused += u64::from(!connected);
            }
        }
        let flows = fixture.dataplane.flows().unwrap();
        assert_eq!(flows.len() as u64 + refused, u64::from(PORTS) * u64::from(SERVERS));
        assert!(refused > 0, "the range was filled to its end");
        assert_eq!(fixture.counted("PortsExhausted"), refused);
        let retries = fixture.dataplane.port_retries().unwrap();
        assert_eq!(retries[..8].iter().sum::<u64>(), flows.len() as u64, "one search a flow: {retries:?}");
        assert_eq!(retries[8], refused, "{retries:?}");
        println!("retries {retries:?}");
    });
}

/// A search in vain is remembered for a moment: of whom, and for what, is all that is refused by it.
#[test]
fn search_in_vain_refuses_nothing_else() {
    const FEW: u16 = 8;
    let sizes = Sizes { nat_ports: (2_000, 2_000 + FEW - 1), ..Sizes::default() };
    with_endpoints(&sizes, &[0; 3], |fixture| {
        let [client, neighbour, third] = [0, 1, 2].map(|member| &fixture.members[member]);
        let opens = |member: &Member, proto, port, to| {
            let inside = SocketAddrV4::new(member.address, port);
            fixture.run_from(member, &Frame::new(proto, inside, to).build()).verdict == REDIRECT
        };
        let server = SocketAddrV4::new(fixture.outside, 80);
        for port in (40_000..).take(FEW.into()) {
            assert!(connects(fixture, client, port, server), "port {port}");
        }
        let others = [
            (client, Proto::Udp, server),
            (client, Proto::Tcp, SocketAddrV4::new(fixture.outside, 81)),
            (client, Proto::Tcp, SocketAddrV4::new([198, 51, 100, 1].into(), 80)),
            (neighbour, Proto::Udp, server),
            (neighbour, Proto::Tcp, SocketAddrV4::new(fixture.outside, 82)),
        ];
        for (port, (member, proto, to)) in (50_000..).zip(others) {
            // One is left: a search that ends after its first candidate rarely finds it.
            for taken in (40_000..).take(usize::from(FEW) - 1) {
                opens(third, proto, taken, to);
            }
            assert!(!opens(client, Proto::Tcp, port, server), "no port is left to {server}");
            assert!(opens(member, proto, port, to), "{proto:?} of {} to {to}", member.address);
        }
        assert_eq!(fixture.counted("PortsExhausted"), others.len() as u64);
    });
}
