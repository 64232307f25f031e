//! Protocols without ports: translated by address while it is clear whom an answer is for.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use forwarder::{
    dataplane::{Sizes, TestRun},
    testbed::wait_until,
};
use forwarder_common::{
    abi::Timeout,
    decide::rewrite::{AddressRewrite, Side, Ttl},
    types::checksum,
    wire::{emit, ipv4, packet::L3_OFF},
};

use super::{
    fixture::{ADDRESS, Fixture, GATEWAY_MAC, MAC, with_endpoints, with_fixture},
    frame::ETHERNET,
};

const NEXT: i32 = -1;
const DROP: i32 = 2;
const REDIRECT: i32 = 7;
const LIMIT: Duration = Duration::from_secs(30);
const GRE: u8 = 47;
const UDP_LITE: u8 = 136;
const PROTOS: [u8; 10] = [4, 41, GRE, 50, 97, 108, 115, 132, UDP_LITE, 137];

/// A packet; of UDP-Lite, one whose checksum covers the header (RFC 3828 §3.1).
fn packet(proto: u8, from: Ipv4Addr, to: Ipv4Addr) -> emit::Packet {
    let lite = emit::Packet::udp_lite(SocketAddrV4::new(from, 40_000), SocketAddrV4::new(to, 53));
    if proto == UDP_LITE {
        return lite.payload(b"no ports");
    }
    emit::Packet::other(from, to, proto).payload(b"\x9c\x40\x00\x35no ports yet")
}

fn frame(proto: u8, from: Ipv4Addr, to: Ipv4Addr) -> Vec<u8> {
    packet(proto, from, to).in_frame(&ETHERNET)
}

fn lite_checksum(frame: &[u8]) -> [u8; 2] {
    checksum::full(&[&frame[26..34], &[0, UDP_LITE, 0, 16], &frame[34..42]].concat())
}

/// What the pure functions make of `frame`.
fn rewritten(frame: &[u8], side: Side, to: Ipv4Addr) -> Vec<u8> {
    let ip = ipv4::parse(&frame, L3_OFF).unwrap();
    let mut frame = frame.to_vec();
    AddressRewrite::new(side, &ip, to.octets(), Ttl::Decrement).apply(&mut frame).unwrap();
    frame
}

fn at_uplink(fixture: &Fixture, frame: &[u8]) -> TestRun {
    fixture.run_to_uplink(0, frame)
}

fn address_only(fixture: &Fixture) -> u32 {
    fixture.dataplane.alloc().unwrap().address_only
}

#[test]
fn addresses_alone_are_translated_both_ways() {
    with_fixture(&Sizes::default(), |fixture| {
        for proto in PROTOS {
            let request = frame(proto, ADDRESS, fixture.outside);
            let out = fixture.run_from_ns(&request);
            assert_eq!(out.verdict, REDIRECT, "protocol {proto}");
            assert_eq!(out.packet, rewritten(&request, Side::Source, fixture.nat));
            let reply = frame(proto, fixture.outside, fixture.nat);
            let back = fixture.run_from_uplink(&reply);
            let mut expected = rewritten(&reply, Side::Destination, ADDRESS);
            expected[..6].copy_from_slice(&MAC);
            expected[6..12].copy_from_slice(&GATEWAY_MAC);
            assert_eq!((back.verdict, &back.packet), (REDIRECT, &expected), "protocol {proto}");
            for packet in [&out.packet, &back.packet] {
                assert_eq!(checksum::full(&packet[14..34]), [0, 0]);
                assert!(proto != UDP_LITE || lite_checksum(packet) == [0, 0], "checksum of UDP-Lite");
            }
        }
        let flows = fixture.dataplane.flows().unwrap();
        assert!(flows.iter().all(|flow| (flow.tx, flow.rx) == ((1, 36), (1, 36))), "{flows:?}");
        assert_eq!((flows.len(), address_only(fixture)), (PROTOS.len(), 10));
    });
}

#[test]
fn fragments_without_ports_need_no_first() {
    with_fixture(&Sizes::default(), |fixture| {
        let later = packet(UDP_LITE, ADDRESS, fixture.outside).fragmentation(3).in_frame(&ETHERNET);
        let out = fixture.run_from_ns(&later);
        assert_eq!((out.verdict, &out.packet[26..30]), (REDIRECT, &fixture.nat.octets()[..]));
        assert_eq!(out.packet[34..], later[34..], "there is no checksum in it");
        assert_eq!(checksum::full(&out.packet[14..34]), [0, 0]);
    });
}

#[test]
fn answers_without_a_flow_are_the_hosts() {
    with_fixture(&Sizes::default(), |fixture| {
        let orphan = frame(GRE, fixture.outside, fixture.nat);
        assert_eq!(fixture.run_from_uplink(&orphan).verdict, NEXT);
        fixture.run_from_ns(&frame(50, ADDRESS, fixture.outside));
        let run = fixture.run_from_uplink(&orphan);
        assert_eq!((run.verdict, run.packet), (NEXT, orphan), "another protocol's flow");
    });
}

#[test]
fn host_takes_what_it_speaks_itself() {
    with_fixture(&Sizes::default(), |fixture| {
        let own = frame(GRE, fixture.nat, fixture.outside);
        let inside = frame(GRE, ADDRESS, fixture.outside);
        let answer = frame(GRE, fixture.outside, fixture.nat);
        assert_eq!(fixture.run_from_ns(&inside).verdict, REDIRECT);
        assert_eq!(fixture.run_from_uplink(&answer).verdict, REDIRECT);

        let run = at_uplink(fixture, &own);
        assert_eq!((run.verdict, run.packet), (NEXT, own), "the host's own packet stays as it is");
        assert_eq!(fixture.run_from_ns(&inside).verdict, DROP);
        assert_eq!(fixture.counted("Ambiguous"), 1);
        let run = fixture.run_from_uplink(&answer);
        assert_eq!((run.verdict, run.packet), (NEXT, answer), "the answer is the host's");
        let alloc = fixture.dataplane.alloc().unwrap();
        assert_eq!((alloc.address_only, alloc.host_flows, fixture.counted("HostFlow")), (1, 1, 2));
    });
}

/// Asserts that the endpoint cannot speak GRE with the peer, but ESP, and that no flow was made.
#[track_caller]
fn assert_hosts(fixture: &Fixture) {
    assert_eq!(fixture.run_from_ns(&frame(GRE, ADDRESS, fixture.outside)).verdict, DROP);
    assert_eq!((fixture.counted("Ambiguous"), address_only(fixture)), (1, 0));
    let answer = frame(GRE, fixture.outside, fixture.nat);
    let run = fixture.run_from_uplink(&answer);
    assert_eq!((run.verdict, run.packet), (NEXT, answer));
    assert_eq!(fixture.run_from_ns(&frame(50, ADDRESS, fixture.outside)).verdict, REDIRECT);
}

#[test]
fn what_the_host_hears_no_endpoint_takes_over() {
    with_fixture(&Sizes::default(), |fixture| {
        assert_eq!(fixture.run_from_uplink(&frame(GRE, fixture.outside, fixture.nat)).verdict, NEXT);
        assert_hosts(fixture);
    });
}

#[test]
fn what_the_host_says_no_endpoint_takes_over() {
    with_fixture(&Sizes::default(), |fixture| {
        assert_eq!(at_uplink(fixture, &frame(GRE, fixture.nat, fixture.outside)).verdict, NEXT);
        assert!(
            fixture.dataplane.flows().unwrap().is_empty(),
            "it needs no flow while no endpoint speaks such protocols"
        );
        assert_hosts(fixture);
    });
}

#[test]
fn what_a_tunnel_of_the_host_carries_for_others_no_endpoint_takes_over() {
    with_fixture(&Sizes::default(), |fixture| {
        const LOOPBACK: u32 = 1;
        assert_eq!(fixture.run_to_uplink(LOOPBACK, &frame(GRE, fixture.nat, fixture.outside)).verdict, NEXT);
        assert_hosts(fixture);
    });
}

#[test]
fn what_an_endpoint_says_is_not_the_hosts() {
    with_fixture(&Sizes::default(), |fixture| {
        let inside = frame(GRE, ADDRESS, fixture.outside);
        let out = fixture.run_from_ns(&inside);
        assert_eq!(fixture.run_to_uplink(fixture.host_veth, &out.packet).verdict, NEXT);
        assert_eq!(fixture.run_from_uplink(&frame(GRE, fixture.outside, fixture.nat)).verdict, REDIRECT);
        let record = fixture.dataplane.endpoint(fixture.host_veth).unwrap().expect("it is there");
        // What ends its flows.
        fixture.dataplane.remove_endpoint(fixture.host_veth).unwrap();
        fixture.dataplane.put_endpoint(fixture.host_veth, &record).unwrap();
        assert_eq!((address_only(fixture), fixture.run_from_ns(&inside).verdict), (0, REDIRECT));
    });
}

#[test]
fn what_the_host_refuses_is_an_endpoints() {
    const LOOPBACK: u32 = 1;
    for code in [2, 3] {
        with_fixture(&Sizes::default(), |fixture| {
            let arrives = packet(GRE, fixture.outside, fixture.nat);
            let inside = frame(GRE, ADDRESS, fixture.outside);
            let error = emit::Packet::icmp_error(fixture.nat, fixture.outside, 3, code, &arrives.emit());
            let error = error.in_frame(&ETHERNET);
            for _ in 0..2 {
                assert_eq!(fixture.run_from_uplink(&arrives.in_frame(&ETHERNET)).verdict, NEXT);
                assert_eq!(fixture.run_to_uplink(LOOPBACK, &error).verdict, NEXT);
                assert_eq!(fixture.run_from_ns(&inside).verdict, DROP, "the error is somebody else's");
            }
            assert_eq!(at_uplink(fixture, &error).verdict, NEXT);
            assert_eq!(fixture.run_from_uplink(&arrives.in_frame(&ETHERNET)).verdict, NEXT);
            assert_eq!(fixture.run_from_ns(&inside).verdict, REDIRECT, "code {code}");
            assert_eq!(fixture.run_from_uplink(&arrives.in_frame(&ETHERNET)).verdict, REDIRECT, "code {code}");
        });
    }
}

#[test]
fn claim_that_nobody_answers_is_another_endpoints_after_a_moment() {
    with_endpoints(&Sizes::default(), &[0, 0], |fixture| {
        let (answer, to) = (frame(GRE, fixture.outside, fixture.nat), fixture.outside);
        let speaks = |member: usize| {
            let member = &fixture.members[member];
            let out = fixture.run_from(member, &frame(GRE, member.address, to));
            out.verdict == REDIRECT
        };
        assert!(speaks(0) && !speaks(1), "an answer may be on its way");
        wait_until(LIMIT, "nobody has answered", || Ok((speaks(0) && speaks(1)).then_some(()))).unwrap();
        let run = fixture.run_from_uplink(&answer);
        assert_eq!((run.verdict, &run.packet[30..34]), (REDIRECT, &fixture.members[1].address.octets()[..]));
        assert!(!speaks(0) && speaks(1));
    });
}

#[test]
fn what_the_kernel_forwarded_is_translated_at_the_uplink_or_dropped() {
    with_fixture(&Sizes::default(), |fixture| {
        let inside = frame(GRE, ADDRESS, fixture.outside);
        let forwarded = || fixture.run_to_uplink(fixture.network, &inside);
        assert_eq!((forwarded().verdict, fixture.counted("Untranslated")), (DROP, 1));
        // What the host's multicast routing would send out, or bring in.
        let group = [239, 1, 2, 3].into();
        assert_eq!(fixture.run_to_uplink(fixture.network, &frame(GRE, ADDRESS, group)).verdict, DROP);
        assert_eq!(fixture.counted("MulticastOutside"), 1);
        let inward = frame(GRE, fixture.outside, group);
        assert_eq!(
            (fixture.run_to_network(fixture.uplink, &inward).verdict, fixture.counted("MulticastOutside")),
            (DROP, 2)
        );
        assert_eq!(fixture.run_from_ns(&inside).verdict, REDIRECT);
        let run = forwarded();
        assert_eq!((run.verdict, &run.packet[26..30]), (NEXT, &fixture.nat.octets()[..]));
    });
}

#[test]
fn claim_ends_with_its_time_or_its_endpoint() {
    let mut sizes = Sizes::default();
    for (which, seconds) in &mut sizes.timeouts {
        *seconds = if *which == Timeout::Other { 1 } else { 3_600 };
    }
    with_fixture(&sizes, |fixture| {
        fixture.run_from_ns(&frame(GRE, ADDRESS, fixture.outside));
        fixture.run_from_uplink(&frame(GRE, fixture.outside, fixture.nat));
        assert_eq!(address_only(fixture), 1);
        wait_until(LIMIT, "the flow ends", || Ok((address_only(fixture) == 0).then_some(()))).unwrap();
        assert!(fixture.dataplane.flows().unwrap().is_empty());
        fixture.run_from_ns(&frame(GRE, ADDRESS, fixture.outside));
        fixture.dataplane.remove_endpoint(fixture.host_veth).unwrap();
        let alloc = fixture.dataplane.alloc().unwrap();
        assert_eq!((alloc.address_only, alloc.established), (0, 0));
        assert!(fixture.dataplane.flows().unwrap().is_empty());
    });
}
