//! What the loaded programs refuse, and what `--allow-spoof` and `--clamp-mss` change.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    time::{Duration, Instant},
};

use forwarder::dataplane::{Hook, Sizes};
use forwarder_common::{
    abi::endpoint_flags,
    wire::{
        emit::{self, Arp, Ethernet},
        l4::Proto,
    },
};

use super::{
    fixture::{ADDRESS, Fixture, MAC, with_endpoints, with_fixture},
    frame::{ETHERNET, Frame},
};
use crate::packet::Packet;

const NEXT: i32 = -1;
const DROP: i32 = 2;
const REDIRECT: i32 = 7;
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

fn udp(from: Ipv4Addr, to: Ipv4Addr) -> Frame {
    Frame::new(Proto::Udp, SocketAddrV4::new(from, 40_000), SocketAddrV4::new(to, 53))
}

/// A question of the endpoint for its gateway.
fn question() -> Arp {
    Arp::question((MAC, ADDRESS.octets()), [10, 77, 0, 1])
}

fn broadcast(arp: &Arp) -> Vec<u8> {
    arp.in_frame(&Ethernet::new([0xff; 6], MAC))
}

/// The question in the name of another address.
fn from_address(address: [u8; 4]) -> Vec<u8> {
    broadcast(&Arp { sender: (MAC, address), ..question() })
}

#[track_caller]
fn refused(fixture: &Fixture, reason: &str, frame: &[u8]) {
    let before = fixture.counted(reason);
    assert_eq!(fixture.run_from_ns(frame).verdict, DROP, "{reason}");
    assert_eq!(fixture.counted(reason), before + 1, "{reason}");
}

#[test]
fn arp_for_others_is_dropped() {
    with_fixture(&Sizes::default(), |fixture| {
        let probe = from_address([0; 4]);
        for honest in [broadcast(&question()), probe] {
            let run = fixture.run_from_ns(&honest);
            assert_eq!((run.verdict, run.packet), (NEXT, honest));
        }
        assert_eq!(fixture.counted("Arp"), 2);
        let other_mac = broadcast(&Arp { sender: ([2; 6], ADDRESS.octets()), ..question() });
        let other_source = question().in_frame(&Ethernet::new([0xff; 6], [2; 6]));
        for lie in [from_address([10, 77, 0, 1]), from_address([10, 77, 0, 3]), other_mac, other_source] {
            refused(fixture, "ArpSpoof", &lie);
        }
        refused(fixture, "Malformed", &broadcast(&Arp { hardware_length: 8, ..question() }));
        refused(fixture, "Truncated", &broadcast(&question())[..40]);
    });
}

#[test]
fn frames_to_bridges_themselves_are_dropped() {
    with_fixture(&Sizes::default(), |fixture| {
        for last in [0, 1, 3, 0x0e, 0x0f] {
            for mut frame in
                [udp(ADDRESS, fixture.nat).build(), udp(ADDRESS, OUTSIDE).ttl(1).build(), broadcast(&question())]
            {
                frame[..6].copy_from_slice(&[0x01, 0x80, 0xc2, 0, 0, last]);
                refused(fixture, "BridgeGroup", &frame);
            }
        }
    });
}

#[test]
fn foreign_macs_do_not_reach_the_bridge() {
    with_fixture(&Sizes::default(), |fixture| {
        let to_host = |mac: [u8; 6]| {
            let mut frame = udp(ADDRESS, fixture.nat).build();
            frame[6..12].copy_from_slice(&mac);
            frame
        };
        assert_eq!(fixture.run_from_ns(&to_host(MAC)).verdict, NEXT);
        refused(fixture, "SpoofedMac", &to_host([2, 0x66, 10, 77, 0, 1]));
        let mut expiring = udp(ADDRESS, OUTSIDE).ttl(1).build();
        assert_eq!(fixture.run_from_ns(&expiring).verdict, NEXT);
        expiring[11] ^= 1;
        refused(fixture, "SpoofedMac", &expiring);
    });
}

#[test]
fn martians_are_dropped_on_both_sides() {
    with_fixture(&Sizes::default(), |fixture| {
        for to in [[0, 0, 0, 1], [127, 0, 0, 1]] {
            refused(fixture, "Martian", &udp(ADDRESS, to.into()).build());
        }
        assert_eq!(fixture.run_from_ns(&udp(ADDRESS, Ipv4Addr::BROADCAST).build()).verdict, NEXT);
        let from_outside = |from: [u8; 4]| fixture.run_from_uplink(&udp(from.into(), fixture.nat).build()).verdict;
        let before = fixture.counted("Martian");
        assert_eq!((from_outside([10, 77, 0, 9]), fixture.counted("Martian")), (DROP, before + 1));
        // Whatever else is wrong is the host's to judge, and what is reserved is not wrong.
        for from in [[127, 0, 0, 1], [224, 0, 0, 1], [0, 0, 0, 9], [0; 4], [240, 1, 2, 3], [203, 0, 113, 1]] {
            assert_eq!((from_outside(from), fixture.counted("Martian")), (NEXT, before + 1), "{from:?}");
        }
    });
}

#[test]
fn source_routes_are_refused_also_in_established_flows() {
    with_fixture(&Sizes::default(), |fixture| {
        let (inside, outside) = (SocketAddrV4::new(ADDRESS, 40_000), SocketAddrV4::new(fixture.outside, 53));
        let out = Frame::new(Proto::Udp, inside, outside).options(2);
        assert_eq!(fixture.run_from_ns(&out.build()).verdict, REDIRECT);
        let back = Frame::reply(Proto::Udp, outside, fixture.nat_of(17, 40_000)).options(2);
        assert_eq!(fixture.run_from_uplink(&back.build()).verdict, REDIRECT);
        let with = |frame: &Frame, options: &[u8]| frame.packet().clone().options(options).in_frame(&ETHERNET);
        for route in [[131, 7, 4, 1, 2, 3, 4, 0], [1, 137, 7, 4, 1, 2, 3, 4]] {
            refused(fixture, "SourceRoute", &with(&out, &route));
            let before = fixture.counted("SourceRoute");
            assert_eq!(fixture.run_from_uplink(&with(&back, &route)).verdict, DROP);
            assert_eq!(fixture.counted("SourceRoute"), before + 1);
        }
        refused(fixture, "Malformed", &with(&out, &[7, 0, 1, 1, 1, 1, 1, 1]));
        refused(fixture, "Malformed", &with(&out, &[1, 7, 9, 1, 1, 1, 1, 1]));
        // The host judges for itself.
        let to_host = Frame::reply(Proto::Udp, outside, SocketAddrV4::new(fixture.nat, 9));
        assert_eq!(fixture.run_from_uplink(&with(&to_host, &[131, 7, 4, 1, 2, 3, 4, 0])).verdict, NEXT);
    });
}

#[test]
fn lengths_that_contradict_each_other_open_no_flow() {
    with_fixture(&Sizes::default(), |fixture| {
        let good = udp(ADDRESS, OUTSIDE).build();
        for length in [7, 37] {
            let mut frame = good.clone();
            frame[39] = length;
            refused(fixture, "Malformed", &frame);
        }
        let tcp = Frame::new(Proto::Tcp, SocketAddrV4::new(ADDRESS, 40_000), SocketAddrV4::new(OUTSIDE, 80)).build();
        let mut frame = tcp.clone();
        // 48 bytes of segment, 60 of header.
        frame[46] = 0xf0;
        refused(fixture, "Malformed", &frame);
        assert!(fixture.dataplane.flows().unwrap().is_empty());
        assert_eq!((fixture.run_from_ns(&good).verdict, fixture.run_from_ns(&tcp).verdict), (REDIRECT, REDIRECT));
    });
}

#[test]
fn spoofed_packet_does_not_enter_another_endpoints_flow() {
    with_endpoints(&Sizes::default(), &[0, 0], |fixture| {
        let (inside, outside) = (SocketAddrV4::new(ADDRESS, 40_000), SocketAddrV4::new(fixture.outside, 80));
        assert_eq!(fixture.run_from_ns(&Frame::new(Proto::Tcp, inside, outside).build()).verdict, REDIRECT);
        let reply = Frame::reply(Proto::Tcp, outside, fixture.nat_of(6, 40_000)).build();
        assert_eq!(fixture.run_from_uplink(&reply).verdict, REDIRECT);
        assert_eq!(
            fixture.run_from_ns(&Frame::new(Proto::Tcp, inside, outside).tcp_flags(0x10).build()).verdict,
            REDIRECT
        );
        let before = fixture.dataplane.flows().unwrap()[0].tx;
        // The same tuple, a reset, from the other endpoint's interface.
        let reset = Frame::new(Proto::Tcp, inside, outside).tcp_flags(0x04).build();
        let host_veth = fixture.members[1].host_veth;
        let run = fixture.dataplane.test_run(Hook::FromNs, host_veth, host_veth, &reset, 1).unwrap();
        assert_eq!((run.verdict, fixture.counted("SpoofedSource")), (DROP, 1));
        let flows = fixture.dataplane.flows().unwrap();
        assert_eq!((flows.len(), flows[0].tx, flows[0].state), (1, before, "established"));
    });
}

#[test]
fn endpoint_that_may_spoof_is_translated_and_gets_the_replies() {
    with_endpoints(&Sizes::default(), &[endpoint_flags::ALLOW_SPOOF], |fixture| {
        let behind = SocketAddrV4::new([192, 168, 7, 9].into(), 40_000);
        let outside = SocketAddrV4::new(fixture.outside, 53);
        let mut frame = Frame::new(Proto::Udp, behind, outside).build();
        frame[6..12].copy_from_slice(&[2; 6]);
        let out = fixture.run_from_ns(&frame);
        assert_eq!(out.verdict, REDIRECT);
        let packet = Packet::parse(&out.packet[14..]).unwrap();
        assert_eq!((packet.source(), packet.faults()), (fixture.nat, vec![]));
        let back = fixture.run_from_uplink(&Frame::reply(Proto::Udp, outside, fixture.nat_of(17, 40_000)).build());
        assert_eq!(back.verdict, REDIRECT);
        let packet = Packet::parse(&back.packet[14..]).unwrap();
        assert_eq!((packet.destination(), packet.faults(), &back.packet[..6]), (*behind.ip(), vec![], &MAC[..]));
        assert_eq!(fixture.run_from_ns(&from_address([192, 168, 7, 9])).verdict, NEXT);
        refused(fixture, "Martian", &udp([127, 0, 0, 1].into(), *outside.ip()).build());
    });
}

/// A SYN or SYN-ACK that names a segment size, at an odd offset if `odd`.
fn opening(frame: &Frame, mss: u16, odd: bool) -> Vec<u8> {
    let [high, low] = mss.to_be_bytes();
    let options = if odd { [1, 2, 4, high, low, 1, 1, 1] } else { [1, 1, 2, 4, high, low, 1, 1] };
    frame.packet().clone().tcp_options(&options).in_frame(&ETHERNET)
}

#[test]
fn segment_size_is_lowered_where_asked_for_and_never_raised() {
    for (flags, mss, expected) in
        [(endpoint_flags::CLAMP_MSS, 8960, 1460), (endpoint_flags::CLAMP_MSS, 536, 536), (0, 8960, 8960)]
    {
        with_endpoints(&Sizes::default(), &[flags], |fixture| {
            for (port, odd) in [(40_000, false), (40_001, true)] {
                let (inside, outside) = (SocketAddrV4::new(ADDRESS, port), SocketAddrV4::new(fixture.outside, 80));
                let out = fixture.run_from_ns(&opening(&Frame::new(Proto::Tcp, inside, outside), mss, odd));
                assert_eq!(out.verdict, REDIRECT);
                let nat = fixture.nat_of(6, port);
                let back = fixture.run_from_uplink(&opening(&Frame::reply(Proto::Tcp, outside, nat), mss, odd));
                assert_eq!(back.verdict, REDIRECT);
                for (what, run) in [("SYN", out), ("SYN-ACK", back)] {
                    let packet = Packet::parse(&run.packet[14..]).unwrap();
                    assert_eq!((packet.mss(), packet.faults()), (Some(expected), vec![]), "{what} {odd}");
                }
            }
        });
    }
}

#[test]
fn segment_size_of_a_syn_that_is_repeated_after_a_second_is_lowered_too() {
    with_endpoints(&Sizes::default(), &[endpoint_flags::CLAMP_MSS], |fixture| {
        let (inside, outside) = (SocketAddrV4::new(ADDRESS, 40_000), SocketAddrV4::new(fixture.outside, 80));
        let syn = opening(&Frame::new(Proto::Tcp, inside, outside), 8960, false);
        fixture.know_next_hop();
        let began = Instant::now();
        // Long enough that the route of the flow is looked up again.
        while began.elapsed() < Duration::from_millis(1_500) {
            let out = fixture.run_from_ns(&syn);
            assert_eq!(out.verdict, REDIRECT);
            let packet = Packet::parse(&out.packet[14..]).unwrap();
            assert_eq!((packet.mss(), packet.faults()), (Some(1460), vec![]), "after {:?}", began.elapsed());
        }
    });
}

#[test]
fn nobody_else_on_the_host_speaks_for_an_endpoint() {
    with_endpoints(&Sizes::default(), &[0, 0], |fixture| {
        let (inside, outside) = (SocketAddrV4::new(ADDRESS, 40_000), SocketAddrV4::new(fixture.outside, 53));
        let whole = Frame::new(Proto::Udp, inside, outside).build();
        assert_eq!(fixture.run_from_ns(&whole).verdict, REDIRECT);
        let answer = fixture.run_from_uplink(&Frame::reply(Proto::Udp, outside, fixture.nat_of(17, 40_000)).build());
        let fragment = emit::Packet::udp(inside, outside).payload(&[0; 16]).fragmentation(0x2000).in_frame(&ETHERNET);
        let gre = emit::Packet::other(ADDRESS, fixture.outside, 47).payload(&[0; 8]).in_frame(&ETHERNET);
        assert_eq!(fixture.run_from_ns(&gre).verdict, REDIRECT);
        let error = emit::Packet::icmp_error(ADDRESS, fixture.outside, 3, 3, &answer.packet[14..]).in_frame(&ETHERNET);
        // The host itself, the other endpoint's host-side veth, the uplink: none is the bridge.
        for ingress in [0, fixture.members[1].host_veth, fixture.uplink] {
            for frame in [&whole, &fragment, &gre, &error] {
                let before = fixture.counted("NotFromNetwork");
                let run = fixture.run_to_uplink(ingress, frame);
                assert_eq!((run.verdict, fixture.counted("NotFromNetwork")), (DROP, before + 1), "by {ingress}");
            }
        }
        for frame in [&whole, &fragment, &gre, &error] {
            let run = fixture.run_to_uplink(fixture.network, frame);
            assert_eq!((run.verdict, &run.packet[26..30]), (NEXT, &fixture.nat.octets()[..]));
        }
    });
}
