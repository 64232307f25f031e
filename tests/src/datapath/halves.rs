//! The same packets through the pure functions and through the loaded programs: same verdict, same bytes.

use std::net::SocketAddrV4;

use forwarder::dataplane::{ProgramSize, Sizes};
use forwarder_common::{
    decide::rewrite::{Rewrite, Side, Ttl},
    types::verdict::DropReason,
    wire::{
        emit::finish_header,
        ipv4,
        l4::{self, Proto},
        packet::L3_OFF,
    },
};

use super::{
    fixture::{ADDRESS, Fixture, GATEWAY_MAC, MAC, with_fixture},
    frame::{Frame, assert_checksums},
};

const NEXT: i32 = -1;
const DROP: i32 = 2;
const REDIRECT: i32 = 7;
const PROTOS: [Proto; 3] = [Proto::Tcp, Proto::Udp, Proto::Icmp];

/// What the pure functions make of `frame`.
pub(super) fn translated(frame: &[u8], side: Side, to: SocketAddrV4, ttl: Ttl) -> Vec<u8> {
    let ip = ipv4::parse(&frame, L3_OFF).unwrap();
    let l4 = l4::parse(&frame, &ip).unwrap();
    let mut frame = frame.to_vec();
    let change = Rewrite::new(side, &ip, &l4, to.ip().octets(), to.port().to_be_bytes(), ttl);
    change.apply(&mut frame).unwrap();
    frame
}

/// The reason for which the pure functions drop `frame`.
fn dropped(frame: &[u8]) -> DropReason {
    ipv4::parse(&frame, L3_OFF).and_then(|ip| l4::parse(&frame, &ip)).unwrap_err()
}

fn there_and_back(fixture: &Fixture, frame: &Frame, proto: Proto, inside: SocketAddrV4, outside: SocketAddrV4) {
    let bytes = frame.build();
    assert_checksums(&bytes);
    let out = fixture.run_from_ns(&bytes);
    assert_eq!(out.verdict, REDIRECT, "{frame:?}");
    let nat = fixture.nat_of(proto as u8, inside.port());
    assert_eq!(*nat.ip(), fixture.nat);
    assert_eq!(out.packet, translated(&bytes, Side::Source, nat, Ttl::Decrement), "{frame:?}");
    assert_checksums(&out.packet);

    let reply = Frame::reply(proto, outside, nat).build();
    let back = fixture.run_from_uplink(&reply);
    assert_eq!(back.verdict, REDIRECT, "reply to {frame:?}");
    let mut expected = translated(&reply, Side::Destination, inside, Ttl::Decrement);
    expected[..6].copy_from_slice(&MAC);
    expected[6..12].copy_from_slice(&GATEWAY_MAC);
    assert_eq!(back.packet, expected, "reply to {frame:?}");
    assert_checksums(&back.packet);
}

#[test]
fn translation_and_its_reverse_agree() {
    with_fixture(&Sizes::default(), |fixture| {
        for (number, proto) in (1u16..).zip(PROTOS) {
            for (port, options) in [(40_000 + number, 0), (50_000 + number, 1), (2_000 + number, 10)] {
                let inside = SocketAddrV4::new(ADDRESS, port);
                let outside = SocketAddrV4::new(fixture.outside, 53);
                let frame = Frame::new(proto, inside, outside).options(options);
                there_and_back(fixture, &frame, proto, inside, outside);
            }
        }
    });
}

#[test]
fn udp_without_checksum_stays_without() {
    with_fixture(&Sizes::default(), |fixture| {
        let inside = SocketAddrV4::new(ADDRESS, 41_000);
        let frame = Frame::new(Proto::Udp, inside, SocketAddrV4::new(fixture.outside, 53)).without_checksum().build();
        let out = fixture.run_from_ns(&frame);
        assert_eq!((out.verdict, &out.packet[40..42]), (REDIRECT, &[0, 0][..]));
    });
}

#[test]
fn malformed_packets_are_dropped_for_the_same_reason() {
    let outside = SocketAddrV4::new([203, 0, 113, 1].into(), 80);
    let inside = SocketAddrV4::new(ADDRESS, 42_000);
    let good = |proto| Frame::new(proto, inside, outside).build();
    let changed = |proto, at: usize, byte: u8| {
        let mut frame = good(proto);
        frame[at] = byte;
        finish_header(&mut frame[14..]);
        frame
    };
    let cases = [
        ("short header length", changed(Proto::Udp, 14, 0x44)),
        ("version 5", changed(Proto::Udp, 14, 0x55)),
        ("total length below the header's", changed(Proto::Udp, 17, 10)),
        ("ports in the padding", changed(Proto::Udp, 17, 27)),
        ("short TCP header", changed(Proto::Tcp, 46, 0x40)),
        ("AH, which signs the addresses", changed(Proto::Udp, 23, 51)),
        ("router solicitation", changed(Proto::Icmp, 34, 10)),
    ];
    with_fixture(&Sizes::default(), |fixture| {
        for (what, frame) in &cases {
            let reason = dropped(frame).name();
            let before = fixture.counted(reason);
            assert_eq!(fixture.run_from_ns(frame).verdict, DROP, "{what}");
            assert_eq!(fixture.counted(reason), before + 1, "{what} counts as {reason}");
        }
        assert!(fixture.dataplane.flows().unwrap().is_empty());
    });
}

#[test]
fn packet_longer_than_its_frame_is_dropped() {
    with_fixture(&Sizes::default(), |fixture| {
        let inside = SocketAddrV4::new(ADDRESS, 43_000);
        let mut frame = Frame::new(Proto::Udp, inside, SocketAddrV4::new(fixture.outside, 53)).build();
        frame[16] = 5;
        finish_header(&mut frame[14..]);
        assert_eq!(fixture.run_from_ns(&frame).verdict, DROP);
        assert_eq!(fixture.counted("Malformed"), 1);
    });
}

#[test]
fn what_is_not_for_the_uplink_is_punted_or_dropped_with_its_reason() {
    let frame = |from: [u8; 4], to: [u8; 4]| {
        Frame::new(Proto::Udp, SocketAddrV4::new(from.into(), 40_000), SocketAddrV4::new(to.into(), 53))
    };
    let own = ADDRESS.octets();
    let mut ipv6 = frame(own, [203, 0, 113, 1]).build();
    ipv6[12..14].copy_from_slice(&[0x86, 0xdd]);
    let reset = Frame::new(Proto::Tcp, SocketAddrV4::new(ADDRESS, 9), SocketAddrV4::new([203, 0, 113, 1].into(), 9));
    let cases = [
        ("Ipv6", DROP, ipv6),
        ("SpoofedSource", DROP, frame([10, 77, 0, 3], [203, 0, 113, 1]).build()),
        ("Multicast", NEXT, frame(own, [224, 0, 0, 251]).build()),
        ("ToHost", NEXT, frame(own, [198, 51, 100, 2]).build()),
        ("TtlExceeded", NEXT, frame(own, [203, 0, 113, 1]).ttl(1).build()),
        ("NoFlow", DROP, reset.tcp_flags(0x04).build()),
    ];
    with_fixture(&Sizes::default(), |fixture| {
        for (reason, verdict, frame) in &cases {
            let run = fixture.run_from_ns(frame);
            assert_eq!((run.verdict, fixture.counted(reason)), (*verdict, 1), "{reason}");
            assert_eq!(&run.packet, frame, "{reason}: unmodified");
        }
    });
}

#[test]
fn packets_from_outside_to_an_endpoint_are_dropped_and_others_left_alone() {
    with_fixture(&Sizes::default(), |fixture| {
        let outside = SocketAddrV4::new(fixture.outside, 80);
        let direct = Frame::new(Proto::Tcp, outside, SocketAddrV4::new(ADDRESS, 80)).build();
        assert_eq!(fixture.run_from_uplink(&direct).verdict, DROP);
        assert_eq!(fixture.counted("DirectToEndpoint"), 1);
        let to_host = Frame::new(Proto::Tcp, outside, SocketAddrV4::new(fixture.nat, 2_000)).build();
        let run = fixture.run_from_uplink(&to_host);
        assert_eq!((run.verdict, run.packet), (NEXT, to_host));
    });
}

#[test]
fn programs_stay_small_for_the_verifier() {
    with_fixture(&Sizes::default(), |fixture| {
        for ProgramSize { program, verified, .. } in fixture.dataplane.program_sizes().unwrap() {
            println!("{program}: {verified} instructions verified");
            assert!((1..39_500).contains(&verified), "{program}: {verified} instructions verified");
        }
    });
}
