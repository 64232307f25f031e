//! ICMP errors through the loaded programs: translated outside and inside, for the flow that they are about and no other.

use std::net::{Ipv4Addr, SocketAddrV4};

use forwarder::{dataplane::Sizes, testbed::wait_until};
use forwarder_common::{
    abi::endpoint_flags,
    wire::{emit, l4::Proto},
};

use super::{
    fixture::{ADDRESS, Fixture, GATEWAY_MAC, MAC, with_endpoints, with_fixture},
    frame::{ETHERNET, Frame, framed},
};
use crate::packet::Packet;

const NEXT: i32 = -1;
const DROP: i32 = 2;
const REDIRECT: i32 = 7;
const ROUTER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 254);
const PROTOS: [Proto; 3] = [Proto::Tcp, Proto::Udp, Proto::Icmp];

/// A frame with an ICMP error of type `kind` around the first `keep` bytes of the packet in `about`.
fn error(kind: u8, from: Ipv4Addr, to: Ipv4Addr, about: &[u8], keep: usize) -> Vec<u8> {
    let embedded = &about[14..about.len().min(14 + keep)];
    emit::Packet::icmp_error(from, to, kind, 3, embedded).icmp_rest([0, 0, 5, 0]).in_frame(&ETHERNET)
}

/// The IPv4 packet in a frame, of which nothing may be wrong.
#[track_caller]
fn good(frame: &[u8]) -> Packet {
    let packet = Packet::parse(&frame[14..]).expect("IPv4");
    assert!(packet.faults().is_empty(), "{packet:?}: {:?}", packet.faults());
    packet
}

/// A flow from `port`, the frame as it left, and the one that answers.
struct Conversation {
    inside: SocketAddrV4,
    outside: SocketAddrV4,
    nat: SocketAddrV4,
    sent: Vec<u8>,
    delivered: Vec<u8>,
}

fn conversation(fixture: &Fixture, proto: Proto, port: u16, options: usize) -> Conversation {
    let (inside, outside) = (SocketAddrV4::new(ADDRESS, port), SocketAddrV4::new(fixture.outside, 53));
    let sent = fixture.run_from_ns(&Frame::new(proto, inside, outside).options(options).build());
    assert_eq!(sent.verdict, REDIRECT);
    let nat = fixture.nat_of(proto as u8, port);
    let delivered = fixture.run_from_uplink(&Frame::reply(proto, outside, nat).options(options).build());
    assert_eq!(delivered.verdict, REDIRECT);
    Conversation { inside, outside, nat, sent: sent.packet, delivered: delivered.packet }
}

#[test]
fn errors_from_outside_reach_the_socket_they_are_about() {
    with_fixture(&Sizes::default(), |fixture| {
        for (number, proto) in (0_u16..).zip(PROTOS) {
            for (kind, options, keep) in [(3, 0, 2000), (11, 0, 28), (12, 10, 2000), (3, 3, 40)] {
                let talk =
                    conversation(fixture, proto, 40_000 + 16 * number + u16::try_from(options).unwrap(), options);
                let frame = error(kind, ROUTER, *talk.nat.ip(), &talk.sent, keep);
                let run = fixture.run_from_uplink(&frame);
                assert_eq!(run.verdict, REDIRECT, "{proto:?} {kind}");
                assert_eq!(run.packet[..12], [MAC, GATEWAY_MAC].concat());
                let (before, after) = (good(&frame), good(&run.packet));
                assert_eq!((after.source(), after.destination(), after.ttl()), (ROUTER, ADDRESS, before.ttl() - 1));
                let about = after.embedded().expect("an error");
                assert_eq!((about.source(), about.destination()), (ADDRESS, *talk.outside.ip()));
                assert_eq!(about.ports().map(|ports| ports.0), Some(talk.inside.port()));
                // A router has decremented it before: the sender does not mind.
                assert_eq!(about.ttl(), Packet::parse(&talk.sent[14..]).unwrap().ttl());
            }
        }
    });
}

#[test]
fn errors_of_a_namespace_leave_as_its_flow_does() {
    with_fixture(&Sizes::default(), |fixture| {
        for (number, proto) in (0_u16..).zip(PROTOS) {
            let talk = conversation(fixture, proto, 41_000 + number, 0);
            for keep in [2000, 28] {
                let frame = error(3, ADDRESS, *talk.outside.ip(), &talk.delivered, keep);
                let run = fixture.run_from_ns(&frame);
                assert_eq!(run.verdict, REDIRECT, "{proto:?}");
                let after = good(&run.packet);
                assert_eq!((after.source(), after.destination(), after.ttl()), (fixture.nat, *talk.outside.ip(), 63));
                let about = after.embedded().expect("an error");
                assert_eq!((about.source(), about.destination()), (*talk.outside.ip(), fixture.nat));
                assert_eq!(about.ports().map(|ports| ports.1), Some(talk.nat.port()));
                // Too far for the fast path, and then translated where it leaves.
                let mut punted = frame.clone();
                punted[22] = 1;
                emit::finish_header(&mut punted[14..]);
                assert_eq!(fixture.run_from_ns(&punted).verdict, NEXT);
                let run = fixture.run_to_uplink(fixture.network, &frame);
                assert_eq!(run.verdict, NEXT);
                let forwarded = good(&run.packet);
                assert_eq!((forwarded.source(), forwarded.ttl()), (fixture.nat, 64));
                assert_eq!(forwarded.embedded(), after.embedded());
            }
        }
        assert_eq!((fixture.counted("Translated"), fixture.counted("TtlExceeded")), (6, 6));
    });
}

#[test]
fn errors_about_nothing_known_are_the_hosts_or_dropped() {
    with_fixture(&Sizes::default(), |fixture| {
        let talk = conversation(fixture, Proto::Udp, 42_000, 0);
        let (remote, nat) = (*talk.outside.ip(), *talk.nat.ip());
        let changed = |about: &[u8], at: usize| {
            let mut about = about.to_vec();
            about[at] ^= 1;
            // Ports only: the embedded header still sums up.
            about
        };
        let outside = [
            ("another port", error(3, ROUTER, nat, &changed(&talk.sent, 35), 2000)),
            ("another destination outside", error(3, ROUTER, ROUTER, &talk.sent, 2000)),
            ("truncated", error(3, ROUTER, nat, &talk.sent, 27)),
            ("a redirect", error(5, ROUTER, nat, &talk.sent, 2000)),
        ];
        for (what, frame) in &outside {
            let run = fixture.run_from_uplink(frame);
            assert_eq!((run.verdict, &run.packet), (NEXT, frame), "{what}");
        }
        let inside = [
            ("IcmpType", error(3, ADDRESS, remote, &changed(&talk.delivered, 37), 2000)),
            ("IcmpType", error(3, ADDRESS, ROUTER, &talk.delivered, 2000)),
            ("IcmpType", error(5, ADDRESS, remote, &talk.delivered, 2000)),
            ("Truncated", error(3, ADDRESS, remote, &talk.delivered, 27)),
            ("Malformed", error(3, ADDRESS, remote, &changed(&talk.delivered, 25), 2000)),
            ("SpoofedSource", error(3, Ipv4Addr::new(10, 77, 0, 9), remote, &talk.delivered, 2000)),
        ];
        for (reason, frame) in &inside {
            let before = fixture.counted(reason);
            assert_eq!(fixture.run_from_ns(frame).verdict, DROP, "{reason}");
            assert_eq!(fixture.counted(reason), before + 1, "{reason}");
        }
    });
}

#[test]
fn errors_with_a_wrong_checksum_are_dropped() {
    with_fixture(&Sizes::default(), |fixture| {
        let talk = conversation(fixture, Proto::Udp, 42_100, 0);
        for keep in [28, 29, 30, 47] {
            let mut frame = error(3, ROUTER, *talk.nat.ip(), &talk.sent, keep);
            assert_eq!(fixture.run_from_uplink(&frame).verdict, REDIRECT, "{keep} bytes");
            frame[37] ^= 1;
            assert_eq!(fixture.run_from_uplink(&frame).verdict, DROP, "{keep} bytes");
        }
        let mut embedded = talk.sent.clone();
        embedded[25] ^= 1;
        let frame = error(3, ROUTER, *talk.nat.ip(), &embedded, 2000);
        assert_eq!(fixture.run_from_uplink(&frame).verdict, DROP, "of the embedded header");
        assert_eq!(fixture.counted("Malformed"), 5);
    });
}

#[test]
fn errors_neither_refresh_nor_end_a_flow() {
    with_fixture(&Sizes::default(), |fixture| {
        let talk = conversation(fixture, Proto::Tcp, 43_000, 0);
        let flow = || {
            let flows = fixture.dataplane.flows().unwrap();
            let [flow] = &flows[..] else { panic!("one flow: {flows:?}") };
            (flow.state, flow.idle.as_millis(), (flow.tx, flow.rx))
        };
        let inbound = error(3, ROUTER, *talk.nat.ip(), &talk.sent, 2000);
        let outbound = error(3, ADDRESS, *talk.outside.ip(), &talk.delivered, 2000);
        let (state, _, packets) = flow();
        let aged = || Ok((flow().1 >= 200).then_some(()));
        wait_until(std::time::Duration::from_secs(20), "the flow is idle", aged).unwrap();
        assert_eq!(fixture.run_from_uplink(&inbound).verdict, REDIRECT);
        assert_eq!(fixture.run_from_ns(&outbound).verdict, REDIRECT);
        let (after, idle, counted) = flow();
        assert_eq!((after, counted), (state, packets));
        assert!(idle >= 200, "idle for {idle} ms");
    });
}

#[test]
fn errors_of_the_host_show_the_packet_that_its_sender_knows() {
    with_fixture(&Sizes::default(), |fixture| {
        let talk = conversation(fixture, Proto::Udp, 44_000, 0);
        let to_uplink = |frame: &[u8]| fixture.run_to_uplink(0, frame);
        let frame = error(11, fixture.nat, *talk.outside.ip(), &talk.delivered, 2000);
        let run = to_uplink(&frame);
        assert_eq!(run.verdict, NEXT);
        let about = good(&run.packet).embedded().expect("an error");
        assert_eq!((about.destination(), about.ports()), (fixture.nat, Some((53, talk.nat.port()))));
        assert_eq!(fixture.counted("IcmpError"), 1);
        // About what is not known, or cut short, nothing leaves that names a container.
        let unknown = Frame::reply(Proto::Udp, talk.outside, SocketAddrV4::new(ADDRESS, 9)).build();
        let mut fragment = talk.delivered.clone();
        fragment[21] = 9;
        emit::finish_header(&mut fragment[14..]);
        let cases = [
            ("Untranslated", error(3, fixture.nat, *talk.outside.ip(), &unknown, 2000)),
            ("Truncated", error(3, fixture.nat, *talk.outside.ip(), &talk.delivered, 27)),
            ("Fragment", error(11, fixture.nat, *talk.outside.ip(), &fragment, 2000)),
        ];
        for (reason, frame) in &cases {
            assert_eq!(to_uplink(frame).verdict, DROP, "{reason}");
            assert_eq!(fixture.counted(reason), 1, "{reason}");
        }
        // What the host answers for itself is its own business.
        let own = Frame::reply(Proto::Udp, talk.outside, SocketAddrV4::new(fixture.nat, 9)).build();
        let own = error(3, fixture.nat, *talk.outside.ip(), &own, 2000);
        let run = to_uplink(&own);
        assert_eq!((run.verdict, run.packet), (NEXT, own));
    });
}

#[test]
fn error_about_a_fragment_shows_the_identification_that_its_sender_knows() {
    with_fixture(&Sizes::default(), |fixture| {
        let (inside, outside) = (SocketAddrV4::new(ADDRESS, 45_000), SocketAddrV4::new(fixture.outside, 53));
        let first = emit::Packet::udp(inside, outside).payload(&[7; 64]).id(0x0102).fragmentation(0x2000);
        let sent = fixture.run_from_ns(&first.in_frame(&ETHERNET));
        assert_eq!(sent.verdict, REDIRECT);
        // Reassembly took too long, or the way was too long.
        let run = fixture.run_from_uplink(&error(11, ROUTER, fixture.nat, &sent.packet, 60));
        assert_eq!(run.verdict, REDIRECT);
        assert_eq!(good(&run.packet).embedded().expect("an error").id(), 0x0102);
    });
}

#[test]
fn nobody_speaks_as_a_router_about_what_others_were_sent() {
    with_endpoints(&Sizes::default(), &[0, 0], |fixture| {
        let neighbour = fixture.members[1].address;
        let sent = |from: Ipv4Addr, to: Ipv4Addr| {
            Frame::new(Proto::Udp, SocketAddrV4::new(from, 4000), SocketAddrV4::new(to, 53)).build()
        };
        let run = |frame: &[u8]| fixture.run_from_ns(frame).verdict;
        for to in [fixture.nat, neighbour] {
            let told = if to == neighbour { REDIRECT } else { NEXT };
            for kind in [3, 11, 12] {
                assert_eq!(run(&error(kind, ADDRESS, to, &sent(to, ADDRESS), 2000)), told, "it was sent that: {to}");
                let before = fixture.counted("IcmpType");
                assert_eq!(run(&error(kind, ADDRESS, to, &sent(to, fixture.outside), 2000)), DROP, "{to}");
                assert_eq!(run(&error(kind, ADDRESS, to, &sent(fixture.outside, ADDRESS), 28)), DROP, "{to}");
                assert_eq!(fixture.counted("IcmpType"), before + 2);
            }
            // In fragments it is no other.
            let about = &sent(to, fixture.outside)[14..];
            let whole = emit::Packet::icmp_error(ADDRESS, to, 3, 4, about).icmp_rest([0, 0, 2, 88]);
            let before = fixture.counted("IcmpType");
            for first in [8, 16, 40] {
                assert_eq!(run(&framed(&whole.fragment(0..first, true))), DROP, "{to}");
            }
            assert_eq!(fixture.counted("IcmpType"), before + 3);
            let answer = emit::Packet::icmp(ADDRESS, to, 0, 0).payload(&[0; 32]);
            assert_eq!(run(&framed(&answer.fragment(0..24, true))), told, "the answer to a long ping");
        }
    });
    with_endpoints(&Sizes::default(), &[endpoint_flags::ALLOW_SPOOF], |fixture| {
        let to = fixture.nat;
        let about = Frame::new(Proto::Udp, SocketAddrV4::new(to, 4000), SocketAddrV4::new([192, 168, 7, 9].into(), 53));
        assert_eq!(fixture.run_from_ns(&error(3, ADDRESS, to, &about.build(), 2000)).verdict, NEXT, "a router may");
    });
}

#[test]
fn error_that_is_left_to_the_kernel_shows_the_bridge_no_other_address() {
    with_fixture(&Sizes::default(), |fixture| {
        let talk = conversation(fixture, Proto::Udp, 46_000, 0);
        let mut expiring = error(3, ADDRESS, *talk.outside.ip(), &talk.delivered, 2000);
        expiring[22] = 1;
        emit::finish_header(&mut expiring[14..]);
        assert_eq!(fixture.run_from_ns(&expiring).verdict, NEXT);
        expiring[11] ^= 1;
        assert_eq!((fixture.run_from_ns(&expiring).verdict, fixture.counted("SpoofedMac")), (DROP, 1));
    });
}
