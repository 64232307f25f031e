//! Errors of ICMPv6 through the loaded programs: translated outside and inside, for the flow that they are about and no other.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};

use forwarder_common::wire::{
    emit::{Extension, Ipv6Packet, Sum, Transport},
    icmpv6::kind,
    l4::Proto,
    packet::L3_OFF,
};

use super::{
    fixture::{ADDRESS_V6, Fixture, MAC, with_ipv6},
    frame::ETHERNET,
};

const NEXT: i32 = -1;
const DROP: i32 = 2;
const REDIRECT: i32 = 7;
const OUTSIDE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);
const ROUTER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xfe);
const PROTOS: [Proto; 3] = [Proto::Tcp, Proto::Udp, Proto::Icmp];
const ERRORS: [u8; 4] = [kind::UNREACHABLE, kind::TOO_BIG, kind::TIME_EXCEEDED, kind::PARAMETER_PROBLEM];

fn frame(packet: &Ipv6Packet) -> Vec<u8> {
    packet.in_frame(&ETHERNET)
}

/// A packet from `port` of `from`, with options in front of its header.
fn packet(proto: Proto, from: Ipv6Addr, to: Ipv6Addr, (port, remote): (u16, u16), options: usize) -> Ipv6Packet {
    let [source, destination] = [(from, port), (to, remote)].map(|(addr, port)| SocketAddrV6::new(addr, port, 0, 0));
    let packet = match proto {
        Proto::Tcp => Ipv6Packet::tcp(source, destination),
        Proto::Udp => Ipv6Packet::udp(source, destination),
        Proto::Icmp => Ipv6Packet::echo(from, to, port),
    };
    (0..options).fold(packet.payload(b"some bytes"), |packet, _| packet.extension(Extension::Destination(vec![1, 2])))
}

/// The packet that answers one from `port`.
fn answer(proto: Proto, to: Ipv6Addr, port: u16) -> Ipv6Packet {
    if proto != Proto::Icmp {
        return packet(proto, OUTSIDE, to, (53, port), 0);
    }
    let mut answer = packet(proto, OUTSIDE, to, (port, 0), 0);
    if let Transport::Icmpv6(icmp) = &mut answer.transport {
        icmp.kind = kind::ECHO_REPLY;
    }
    answer
}

/// An error about the first `keep` bytes of `about`, with an MTU.
fn error(kind: u8, from: Ipv6Addr, to: Ipv6Addr, about: &[u8], keep: usize) -> Ipv6Packet {
    let mut error = Ipv6Packet::icmp(from, to, kind, 0).payload(&about[..about.len().min(keep)]);
    if let Transport::Icmpv6(icmp) = &mut error.transport {
        icmp.rest = 1400_u32.to_be_bytes();
    }
    error
}

/// Opens a flow from `port`: its external port, or identifier.
#[track_caller]
fn open(fixture: &Fixture, proto: Proto, port: u16, options: usize) -> u16 {
    let sent = fixture.run_from_ns(&frame(&packet(proto, ADDRESS_V6, OUTSIDE, (port, 53), options)));
    assert_eq!(sent.verdict, REDIRECT, "{proto:?}");
    let flows = fixture.dataplane.flows().unwrap();
    let is_meant = |flow: &&forwarder::dataplane::Flow| {
        flow.proto != Proto::Icmp as u8 && flow.src == SocketAddr::from((ADDRESS_V6, port))
            || flow.icmp_id == Some(port)
    };
    flows.iter().find(is_meant).unwrap_or_else(|| panic!("no flow from port {port} in {flows:?}")).nat.port()
}

#[test]
fn errors_from_outside_reach_the_socket_they_are_about() {
    with_ipv6(&[0], |fixture| {
        for (number, proto) in (0_u16..).zip(PROTOS) {
            for (kind, options) in ERRORS.into_iter().zip([0, 0, 1, 6]) {
                let port = 40_000 + 16 * number + u16::from(kind);
                let nat = open(fixture, proto, port, options);
                // As a router met them, one hop further.
                let about = |addr, port| packet(proto, addr, OUTSIDE, (port, 53), options).hop_limit(63).emit();
                for keep in [2000, 40 + 8 * options + 8] {
                    let sent = error(kind, ROUTER, fixture.host_v6, &about(fixture.host_v6, nat), keep);
                    let run = fixture.run_from_uplink(&frame(&sent));
                    assert_eq!(run.verdict, REDIRECT, "{sent:?}");
                    assert_eq!(run.packet[..6], MAC);
                    let expected = error(kind, ROUTER, ADDRESS_V6, &about(ADDRESS_V6, port), keep).hop_limit(63);
                    assert_eq!(run.packet[L3_OFF..], expected.emit(), "{kind} {keep} {sent:?}");
                }
            }
        }
    });
}

#[test]
fn errors_of_a_namespace_leave_as_its_flow_does() {
    with_ipv6(&[0], |fixture| {
        for (number, proto) in (0_u16..).zip(PROTOS) {
            let port = 41_000 + number;
            let nat = open(fixture, proto, port, 0);
            let delivered = |addr, port| answer(proto, addr, port).hop_limit(63).emit();
            for keep in [2000, 48] {
                let sent = error(kind::UNREACHABLE, ADDRESS_V6, OUTSIDE, &delivered(ADDRESS_V6, port), keep);
                let run = fixture.run_from_ns(&frame(&sent));
                assert_eq!(run.verdict, REDIRECT, "{proto:?}");
                let about = delivered(fixture.host_v6, nat);
                let expected = error(kind::UNREACHABLE, fixture.host_v6, OUTSIDE, &about, keep).hop_limit(63);
                assert_eq!(run.packet[L3_OFF..], expected.emit(), "{proto:?} {keep}");
            }
        }
        assert_eq!(fixture.counted("KernelIpv6"), 0);
    });
}

#[test]
fn errors_about_nothing_known_are_the_hosts_and_wrong_ones_nobodys() {
    with_ipv6(&[0], |fixture| {
        let nat = open(fixture, Proto::Udp, 42_000, 0);
        let host = fixture.host_v6;
        let about = |from, to, ports| packet(Proto::Udp, from, to, ports, 0).emit();
        let own = about(host, OUTSIDE, (nat, 53));
        for (what, packet) in [
            ("another port", error(1, ROUTER, host, &about(host, OUTSIDE, (nat ^ 1, 53)), 2000)),
            ("another remote port", error(1, ROUTER, host, &about(host, OUTSIDE, (nat, 54)), 2000)),
            ("another remote end", error(1, ROUTER, host, &about(host, ROUTER, (nat, 53)), 2000)),
            ("told to somebody else", error(1, ROUTER, ROUTER, &own, 2000)),
            ("cut short", error(1, ROUTER, host, &own, 47)),
            ("no error that is known", error(100, ROUTER, host, &own, 2000)),
            ("a question", error(128, ROUTER, host, &own, 2000)),
        ] {
            let sent = frame(&packet);
            let run = fixture.run_from_uplink(&sent);
            assert_eq!((run.verdict, run.packet), (NEXT, sent), "{what}");
        }
        for keep in [2000, 48, 49] {
            let wrong = error(2, ROUTER, host, &own, keep).sum(Sum::Wrong);
            assert_eq!(fixture.run_from_uplink(&frame(&wrong)).verdict, DROP, "{keep} bytes");
        }
        assert_eq!(fixture.counted("Malformed"), 3);
        let flow = &fixture.dataplane.flows().unwrap()[0];
        assert_eq!((flow.tx.0, flow.rx.0), (1, 0), "errors do not count for the life of a flow");
    });
}

#[test]
fn errors_of_the_host_show_the_packet_that_its_sender_knows() {
    with_ipv6(&[0], |fixture| {
        let nat = open(fixture, Proto::Udp, 43_000, 0);
        let about = |addr, port| answer(Proto::Udp, addr, port).emit();
        let of_host = |about: &[u8]| error(kind::TIME_EXCEEDED, fixture.host_v6, OUTSIDE, about, 2000);
        let run = fixture.run_to_uplink(0, &frame(&of_host(&about(ADDRESS_V6, 43_000))));
        let expected = frame(&of_host(&about(fixture.host_v6, nat)));
        assert_eq!((run.verdict, run.packet), (NEXT, expected));
        assert_eq!(fixture.counted("IcmpError"), 1);
        let own = frame(&of_host(&about(fixture.host_v6, 9)));
        let run = fixture.run_to_uplink(0, &own);
        assert_eq!((run.verdict, run.packet), (NEXT, own), "about the host's own conversation");
    });
}
