//! Fragments: each is translated on its own, and what overlaps or is too small is dropped.

use std::net::SocketAddrV4;

use forwarder::{
    dataplane::{Sizes, TestRun},
    netns::Netns,
};
use forwarder_common::{
    types::checksum,
    wire::{
        emit::{self, finish_header},
        l4::Proto,
        packet::L3_OFF,
    },
};

use super::{
    fixture::{ADDRESS, Fixture, with_endpoints, with_fixture},
    frame::{ETHERNET, Frame, assert_checksums, framed},
    pin_to,
};

const NEXT: i32 = -1;
const DROP: i32 = 2;
const REDIRECT: i32 = 7;
const L4: usize = 34;

/// The part of a packet whose payload is `range` (bytes), as a frame; `more` says that others follow.
fn part(packet: &emit::Packet, range: std::ops::Range<usize>, more: bool) -> Vec<u8> {
    framed(&packet.fragment(range, more))
}

/// A packet in three parts, as a sender makes them.
fn split(packet: &emit::Packet) -> [Vec<u8>; 3] {
    [part(packet, 0..24, true), part(packet, 24..32, true), part(packet, 32..usize::MAX, false)]
}

/// What the receiver makes of the parts, in the order of their offsets.
fn joined(parts: &[TestRun]) -> Vec<u8> {
    let mut whole = parts[0].packet.clone();
    for part in &parts[1..] {
        assert_eq!(part.packet[26..L4], whole[26..L4], "all parts have the same addresses");
        assert_eq!(checksum::full(&part.packet[14..L4]), [0, 0], "IP checksum");
        assert_eq!(part.packet[..14], whole[..14], "and the same MACs");
        assert_eq!(part.packet[22], whole[22], "and the same TTL");
        assert_eq!(part.packet[18..20], whole[18..20], "and the same identification");
        whole.extend(&part.packet[L4..]);
    }
    let total = u16::try_from(whole.len() - 14).unwrap().to_be_bytes();
    whole[16..18].copy_from_slice(&total);
    whole[20..22].fill(0);
    finish_header(&mut whole[L3_OFF..]);
    whole
}

fn packet(proto: Proto, from: SocketAddrV4, to: SocketAddrV4) -> emit::Packet {
    Frame::new(proto, from, to).packet().clone()
}

fn reply(proto: Proto, from: SocketAddrV4, to: SocketAddrV4) -> emit::Packet {
    Frame::reply(proto, from, to).packet().clone()
}

fn udp(fixture: &Fixture, port: u16) -> emit::Packet {
    packet(Proto::Udp, SocketAddrV4::new(ADDRESS, port), SocketAddrV4::new(fixture.outside, 53))
}

#[track_caller]
fn assert_verdicts(fixture: &Fixture, parts: &[Vec<u8>], expected: &[i32]) {
    let verdicts: Vec<_> = parts.iter().map(|part| fixture.run_from_ns(part).verdict).collect();
    assert_eq!(verdicts, expected);
}

#[test]
fn fragments_are_translated_as_the_whole_packet_is_both_ways() {
    with_fixture(&Sizes::default(), |fixture| {
        for (port, proto) in (40_001..).zip([Proto::Tcp, Proto::Udp, Proto::Icmp]) {
            let (inside, outside) = (SocketAddrV4::new(ADDRESS, port), SocketAddrV4::new(fixture.outside, 53));
            let out = split(&packet(proto, inside, outside)).map(|part| fixture.run_from_ns(&part));
            assert!(out.iter().all(|run| run.verdict == REDIRECT), "{proto:?}: {out:?}");
            let nat = fixture.nat_of(proto as u8, port);
            let sent = joined(&out);
            assert_checksums(&sent);
            assert_eq!((&sent[26..30], sent[22]), (&fixture.nat.octets()[..], 63));
            assert_ne!(nat.port(), port, "the port is outside the NAT range");

            let [first, second, third] = split(&reply(proto, outside, nat));
            // The others in the wrong order.
            let [first, third, second] = [first, third, second].map(|part| fixture.run_from_uplink(&part));
            let back = [first, second, third];
            assert!(back.iter().all(|run| run.verdict == REDIRECT), "{proto:?}: {back:?}");
            let received = joined(&back);
            assert_checksums(&received);
            let expected = reply(proto, outside, inside).fragmentation(0).ttl(63);
            assert_eq!(received, expected.in_frame(&ETHERNET.reversed()), "{proto:?}");
            let flow = fixture.dataplane.flows().unwrap().into_iter().find(|flow| flow.proto == proto as u8).unwrap();
            assert_eq!((flow.tx.0, flow.rx.0), (3, 3));
        }
    });
}

#[test]
fn later_fragment_before_the_first_is_dropped_outbound_and_left_to_the_host_inbound() {
    with_fixture(&Sizes::default(), |fixture| {
        let [first, second, third] = split(&udp(fixture, 40_000));
        assert_verdicts(fixture, &[second.clone(), first, second, third], &[DROP, REDIRECT, REDIRECT, REDIRECT]);
        assert_eq!(fixture.counted("FragmentUnknown"), 1);
        let nat = fixture.nat_of(17, 40_000);
        let reply = reply(Proto::Udp, SocketAddrV4::new(fixture.outside, 53), nat);
        let [_, second, _] = split(&reply);
        let run = fixture.run_from_uplink(&second);
        assert_eq!((run.verdict, run.packet), (NEXT, second));
    });
}

#[test]
fn overlapping_fragments_are_dropped_with_all_that_follow() {
    with_fixture(&Sizes::default(), |fixture| {
        let whole = udp(fixture, 40_000);
        let overlapping = [
            part(&whole, 0..16, true),
            part(&whole, 8..24, true),
            part(&whole, 16..24, true),
            part(&whole, 24..36, false),
        ];
        assert_verdicts(fixture, &overlapping, &[REDIRECT, DROP, DROP, DROP]);
        assert_eq!(fixture.counted("FragmentOverlap"), 3);
        let nat = fixture.nat_of(17, 40_000);
        let reply = reply(Proto::Udp, SocketAddrV4::new(fixture.outside, 53), nat);
        assert_eq!(fixture.run_from_uplink(&part(&reply, 0..16, true)).verdict, REDIRECT);
        assert_eq!(fixture.run_from_uplink(&part(&reply, 8..24, true)).verdict, DROP);
        assert_eq!(fixture.counted("FragmentOverlap"), 4);
    });
}

#[test]
fn fragment_beyond_the_largest_packet_is_dropped() {
    with_fixture(&Sizes::default(), |fixture| {
        let whole = udp(fixture, 40_000);
        let long = [part(&whole, 0..24, true), framed(&whole.fragmentation(0x1fff).emit())];
        assert_verdicts(fixture, &long, &[REDIRECT, DROP]);
        assert_eq!(fixture.counted("FragmentOverlap"), 1);
    });
}

#[test]
fn fragments_that_cut_the_transport_header_are_dropped() {
    with_fixture(&Sizes::default(), |fixture| {
        let remote = SocketAddrV4::new(fixture.outside, 80);
        let tcp = packet(Proto::Tcp, SocketAddrV4::new(ADDRESS, 40_000), remote);
        assert_verdicts(fixture, &[part(&tcp, 0..16, true), part(&tcp, 8..24, true)], &[DROP, DROP]);
        assert_eq!(fixture.counted("FragmentTiny"), 2);
        let udp = udp(fixture, 40_000);
        assert_verdicts(fixture, &[part(&udp, 0..8, true), part(&udp, 8..36, false)], &[REDIRECT, REDIRECT]);
        assert_verdicts(fixture, &[part(&udp, 0..15, true)], &[DROP]);
        assert_eq!(fixture.counted("Malformed"), 1, "nothing can follow 15 bytes");
    });
}

#[test]
fn oversize_and_expiring_fragments_are_left_to_the_kernel() {
    with_fixture(&Sizes::default(), |fixture| {
        let whole = udp(fixture, 40_000);
        let first = part(&whole.clone().ttl(1), 0..24, true);
        let run = fixture.run_from_ns(&first);
        assert_eq!((run.verdict, run.packet, fixture.counted("TtlExceeded")), (NEXT, first, 1));
        let long = part(&whole.id(0x7777).payload(&[0; 1600]), 0..1504, true);
        let run = fixture.run_from_ns(&long);
        assert_eq!((run.verdict, run.packet, fixture.counted("TooBig")), (NEXT, long, 1));
    });
}

#[test]
fn fragments_go_where_the_first_of_their_packet_went() {
    with_fixture(&Sizes::default(), |fixture| {
        let whole = udp(fixture, 40_000);
        assert_eq!(fixture.run_from_ns(&framed(&whole.clone().id(1).emit())).verdict, REDIRECT);
        let left_to_kernel = [
            ("TtlExceeded", whole.clone().id(2).ttl(1), whole.clone().id(2), 0..24),
            ("TooBig", whole.clone().id(3).payload(&[0; 1600]), whole.clone().id(3).payload(&[0; 1600]), 0..1504),
        ];
        for (reason, first, others, range) in left_to_kernel {
            let later =
                [part(&others, range.end..range.end + 8, true), part(&others, range.end + 8..usize::MAX, false)];
            assert_eq!(fixture.run_from_ns(&part(&first, range, true)).verdict, NEXT, "{reason}");
            for later in later {
                let run = fixture.run_from_ns(&later);
                assert_eq!((run.verdict, &run.packet), (NEXT, &later), "{reason}: left as it is");
                // Where the first has not left, nothing else of its packet does.
                assert_eq!(fixture.run_to_uplink(fixture.network, &later).verdict, DROP, "{reason}");
            }
            assert_eq!(fixture.counted(reason), 3);
        }
        assert_eq!(fixture.counted("FragmentUnknown"), 4);
        // A router further on may throw the first away.
        let first = part(&whole.clone().id(4).ttl(3), 0..24, true);
        let later = |ttl| part(&whole.clone().id(4).ttl(ttl), 24..32, true);
        assert_verdicts(fixture, &[first, later(64), later(4), later(3)], &[REDIRECT, DROP, DROP, REDIRECT]);
        assert_eq!(fixture.counted("FragmentOverlap"), 2);
    });
}

#[test]
fn identifications_of_endpoints_are_told_from_each_other_by_a_secret() {
    const PACKETS: u16 = 64;
    with_endpoints(&Sizes::default(), &[0, 0], |fixture| {
        let masks = fixture.members.iter().map(|member| {
            let id = |id: u16| {
                let from = SocketAddrV4::new(member.address, 40_000);
                let whole = packet(Proto::Udp, from, SocketAddrV4::new(fixture.outside, 53)).id(id);
                let mut frame = part(&whole, 0..24, true);
                frame[6..12].copy_from_slice(&member.mac);
                let run = fixture.run_from(member, &frame);
                assert_eq!(run.verdict, REDIRECT);
                assert_eq!(checksum::full(&run.packet[14..L4]), [0, 0], "IP checksum");
                u16::from_be_bytes([run.packet[18], run.packet[19]]) ^ id
            };
            let mask = id(0);
            assert!((1..PACKETS).all(|number| id(number) == mask), "an endpoint's own stay different");
            mask
        });
        let masks: Vec<u16> = masks.collect();
        // One host in 65,536 has a secret by which they are equal.
        assert_ne!(masks[0], masks[1]);
        // What is no fragment keeps its own: routers that cut it later know nothing of ours.
        let run = fixture.run_from_ns(&framed(&udp(fixture, 40_001).id(77).emit()));
        assert_eq!(run.packet[18..20], 77_u16.to_be_bytes());
    });
}

#[test]
fn what_the_kernel_fragmented_is_translated_at_the_uplink_or_dropped() {
    with_fixture(&Sizes::default(), |fixture| {
        let run = |frame: &[u8]| fixture.run_to_uplink(fixture.network, frame);
        let whole = udp(fixture, 40_000);
        let [first, second, third] = split(&whole);
        assert_eq!(run(&second).verdict, DROP);
        assert_eq!((run(&first).verdict, fixture.counted("Untranslated")), (DROP, 1), "no flow was made by from_ns");
        assert_eq!(fixture.run_from_ns(&framed(&whole.emit())).verdict, REDIRECT);
        let parts = [first, second, third].map(|part| run(&part));
        assert!(parts.iter().all(|run| run.verdict == NEXT), "{parts:?}");
        let sent = joined(&parts);
        assert_checksums(&sent);
        assert_eq!((&sent[26..30], sent[22]), (&fixture.nat.octets()[..], 64));
        assert_eq!(sent[L4..L4 + 2], fixture.nat_of(17, 40_000).port().to_be_bytes());
        assert_eq!(fixture.counted("Translated"), 3);
    });
}

#[test]
fn fragments_of_a_host_socket_whose_port_is_taken_are_translated() {
    with_fixture(&Sizes::default(), |fixture| {
        let run = |frame: &[u8]| fixture.run_to_uplink(0, frame);
        let remote = SocketAddrV4::new(fixture.outside, 53);
        let own = split(&packet(Proto::Udp, SocketAddrV4::new(fixture.nat, 2_000), remote));
        for part in &own {
            assert_eq!(&run(part).packet, part, "no clash");
        }
        assert_eq!(fixture.run_from_ns(&framed(&udp(fixture, 2_000).emit())).verdict, REDIRECT);
        let parts = own.map(|part| run(&part));
        assert!(parts.iter().all(|run| run.verdict == NEXT), "{parts:?}");
        assert_eq!(fixture.counted("HostFlow"), 3);
        let sent = joined(&parts);
        assert_checksums(&sent);
        assert_ne!(sent[L4..L4 + 2], 2_000_u16.to_be_bytes());
        let nat = SocketAddrV4::new(fixture.nat, u16::from_be_bytes([sent[L4], sent[L4 + 1]]));
        let back = split(&reply(Proto::Udp, remote, nat)).map(|part| fixture.run_from_uplink(&part));
        assert!(back.iter().all(|run| run.verdict == NEXT), "{back:?}");
        let received = joined(&back);
        assert_checksums(&received);
        assert_eq!(received[L4 + 2..L4 + 4], 2_000_u16.to_be_bytes());
    });
}

/// Sends all `parts` from a CPU; the verdicts.
fn sent_from(fixture: &Fixture, host: &Netns, cpu: usize, parts: &[Vec<u8>]) -> Vec<i32> {
    host.enter().unwrap();
    pin_to(cpu);
    parts.iter().map(|part| fixture.run_from_ns(part).verdict).collect()
}

#[test]
fn fragment_that_two_cpus_see_passes_once() {
    const PACKETS: u16 = 400;
    with_fixture(&Sizes::default(), |fixture| {
        let whole = udp(fixture, 40_000);
        let mut firsts = Vec::new();
        let mut others = Vec::new();
        for id in 0..PACKETS {
            let whole = whole.clone().id(id);
            firsts.push(part(&whole, 0..8, true));
            // The last is missing: a complete packet's identification may be used again.
            others.extend([part(&whole, 8..16, true), part(&whole, 16..24, true), part(&whole, 24..32, true)]);
        }
        assert!(firsts.iter().all(|first| fixture.run_from_ns(first).verdict == REDIRECT));
        let host = &Netns::current().unwrap();
        let others = &others;
        let verdicts = std::thread::scope(|scope| {
            let threads = [0, 1].map(|cpu| scope.spawn(move || sent_from(fixture, host, cpu, others)));
            threads.map(|thread| thread.join().unwrap())
        });
        let passed = |n: usize| verdicts.iter().filter(|verdicts| verdicts[n] == REDIRECT).count();
        let once = (0..others.len()).filter(|n| passed(*n) == 1).count();
        let never = (0..others.len()).filter(|n| passed(*n) == 0).count();
        // Of packets whose records share a full bucket the first may be forgotten; and a CPU that does not get the lock gives up.
        assert_eq!(once + never, others.len(), "none passed twice");
        assert!(once * 10 > others.len() * 9, "{once} of {} passed", others.len());
    });
}

#[test]
fn fragments_do_not_establish_a_connection_without_its_handshake() {
    with_fixture(&Sizes::default(), |fixture| {
        let (inside, outside) = (SocketAddrV4::new(ADDRESS, 40_000), SocketAddrV4::new(fixture.outside, 80));
        let syn = packet(Proto::Tcp, inside, outside);
        assert_eq!(fixture.run_from_ns(&framed(&syn.emit())).verdict, REDIRECT);
        let nat = fixture.nat_of(6, 40_000);
        fixture.run_from_uplink(&Frame::reply(Proto::Tcp, outside, nat).tcp_flags(0x10).build());
        for id in 0..100_u16 {
            let [first, second, third] = split(&syn.clone().id(id));
            assert_verdicts(fixture, &[first, third, second], &[REDIRECT; 3]);
        }
        let flows = fixture.dataplane.flows().unwrap();
        assert_eq!((flows[0].tx.0, flows[0].rx.0, flows[0].state), (301, 1, "half-open"));
    });
}
