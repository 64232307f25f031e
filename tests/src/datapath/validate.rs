//! What the loaded programs refuse, and what `--allow-spoof` and `--clamp-mss` change.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    time::{Duration, Instant},
};

use forwarder::dataplane::{Hook, Sizes};
use forwarder_common::{abi::endpoint_flags, types::checksum, wire::l4::Proto};

use super::{
    fixture::{ADDRESS, Fixture, MAC, with_endpoints, with_fixture},
    frame::{Frame, assert_checksums},
};
use crate::packet::Packet;

const NEXT: i32 = -1;
const DROP: i32 = 2;
const REDIRECT: i32 = 7;
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

fn udp(from: Ipv4Addr, to: Ipv4Addr) -> Frame {
    Frame::new(Proto::Udp, SocketAddrV4::new(from, 40_000), SocketAddrV4::new(to, 53))
}

/// An ARP frame of the endpoint, changed at `at` to `bytes`.
fn arp(at: usize, bytes: &[u8]) -> Vec<u8> {
    let sender = [&MAC[..], &ADDRESS.octets()].concat();
    let mut frame = [&[0xff; 6][..], &MAC, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1], &sender, &[0; 6], &[10, 77, 0, 1]].concat();
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    frame
}

/// The same frame with other IP options, as many bytes as there are.
fn with_options(mut frame: Vec<u8>, options: &[u8]) -> Vec<u8> {
    let header = usize::from(frame[14] & 0x0f) * 4;
    frame[34..34 + options.len()].copy_from_slice(options);
    frame[24..26].fill(0);
    let sum = checksum::full(&frame[14..14 + header]);
    frame[24..26].copy_from_slice(&sum);
    frame
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
        let probe = arp(28, &[0; 4]);
        for honest in [arp(0, &[]), probe] {
            let run = fixture.run_from_ns(&honest);
            assert_eq!((run.verdict, run.packet), (NEXT, honest));
        }
        assert_eq!(fixture.counted("Arp"), 2);
        for lie in [arp(28, &[10, 77, 0, 1]), arp(28, &[10, 77, 0, 3]), arp(22, &[2; 6]), arp(6, &[2; 6])] {
            refused(fixture, "ArpSpoof", &lie);
        }
        refused(fixture, "Malformed", &arp(18, &[8]));
        refused(fixture, "Truncated", &arp(0, &[])[..40]);
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
        let out = Frame::new(Proto::Udp, inside, outside).options(2).build();
        assert_eq!(fixture.run_from_ns(&out).verdict, REDIRECT);
        let back = Frame::reply(Proto::Udp, outside, fixture.nat_of(17, 40_000)).options(2).build();
        assert_eq!(fixture.run_from_uplink(&back).verdict, REDIRECT);
        for route in [[131, 7, 4, 1, 2, 3, 4, 0], [1, 137, 7, 4, 1, 2, 3, 4]] {
            refused(fixture, "SourceRoute", &with_options(out.clone(), &route));
            let before = fixture.counted("SourceRoute");
            assert_eq!(fixture.run_from_uplink(&with_options(back.clone(), &route)).verdict, DROP);
            assert_eq!(fixture.counted("SourceRoute"), before + 1);
        }
        refused(fixture, "Malformed", &with_options(out.clone(), &[7, 0]));
        refused(fixture, "Malformed", &with_options(out, &[1, 7, 9]));
        // The host judges for itself.
        let to_host = Frame::reply(Proto::Udp, outside, SocketAddrV4::new(fixture.nat, 9)).options(2).build();
        let to_host = with_options(to_host, &[131, 7, 4, 1, 2, 3, 4, 0]);
        assert_eq!(fixture.run_from_uplink(&to_host).verdict, NEXT);
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
        assert_eq!(fixture.run_from_ns(&arp(28, &[192, 168, 7, 9])).verdict, NEXT);
        refused(fixture, "Martian", &udp([127, 0, 0, 1].into(), *outside.ip()).build());
    });
}

/// A SYN or SYN-ACK that names a segment size, at an odd offset if `odd`.
fn opening(frame: &Frame, mss: u16, odd: bool) -> Vec<u8> {
    let mut bytes = frame.build();
    // The payload of the frame becomes options.
    let [high, low] = mss.to_be_bytes();
    let options = if odd { [1, 2, 4, high, low, 1, 1, 1] } else { [1, 1, 2, 4, high, low, 1, 1] };
    bytes[46] = 0x70;
    bytes[54..62].copy_from_slice(&options);
    bytes[50..52].fill(0);
    let length = u16::try_from(bytes.len() - 34).unwrap().to_be_bytes();
    let sum = checksum::full(&[&bytes[26..34], &[0, 6, length[0], length[1]], &bytes[34..]].concat());
    bytes[50..52].copy_from_slice(&sum);
    assert_checksums(&bytes);
    bytes
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
        let mut first = crate::raw::udp(inside, outside, &[0; 16]);
        first[6] = 0x20;
        crate::raw::finish(&mut first);
        let fragment = [&whole[..14], &first].concat();
        let gre = [&whole[..14], &crate::raw::ipv4(ADDRESS, fixture.outside, 47, &[0; 8])].concat();
        assert_eq!(fixture.run_from_ns(&gre).verdict, REDIRECT);
        let mut icmp = [&[3, 3, 0, 0, 0, 0, 0, 0], &answer.packet[14..]].concat();
        let sum = checksum::full(&icmp);
        icmp[2..4].copy_from_slice(&sum);
        let error = [&whole[..14], &crate::raw::ipv4(ADDRESS, fixture.outside, 1, &icmp)].concat();
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
