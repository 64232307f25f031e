//! The same frames through the XDP programs and through the TC programs: what XDP sends is what TC would send, and the rest it leaves
//! as it is.

use std::net::{Ipv4Addr, SocketAddrV4};

use forwarder::{
    dataplane::{Flow, Sizes, TestRun, XdpHook},
    netlink::{Netlink, XdpMode},
};
use forwarder_common::wire::{emit::Sum, l4::Proto};

use super::{
    fixture::{ADDRESS, Fixture, with_fixture},
    frame::{ETHERNET, Frame, assert_checksums},
};
use crate::chance::Random;

const PASS: i32 = 2;
const XDP_REDIRECT: i32 = 4;
const TC_REDIRECT: i32 = 7;
const PROTOS: [Proto; 3] = [Proto::Tcp, Proto::Udp, Proto::Icmp];
const ACK: u8 = 0x10;
const ROUTER_MAC: [u8; 6] = [2, 0x66, 0x77, 0x64, 0, 1];
const FRAMES: u32 = 4_000;

/// A fixture with XDP attached, where the next hop is known.
fn with_xdp(test: impl FnOnce(&Fixture) + Send) {
    with_fixture(&Sizes::default(), |fixture| {
        let netlink = Netlink::here().unwrap();
        let router = Ipv4Addr::new(198, 51, 100, 1);
        netlink.replace_neighbour(fixture.uplink, router.into(), ROUTER_MAC).unwrap();
        for (hook, ifindex) in [(XdpHook::FromNs, fixture.host_veth), (XdpHook::FromUplink, fixture.uplink)] {
            assert_eq!(fixture.dataplane.attach_xdp(hook, ifindex, None).unwrap(), XdpMode::Native);
        }
        test(fixture);
    });
}

fn xdp(fixture: &Fixture, hook: XdpHook, frame: &[u8]) -> TestRun {
    let ifindex = if hook == XdpHook::FromNs { fixture.host_veth } else { fixture.uplink };
    fixture.dataplane.test_run_xdp(hook, ifindex, frame).unwrap()
}

fn tc(fixture: &Fixture, hook: XdpHook, frame: &[u8]) -> TestRun {
    match hook {
        XdpHook::FromNs => fixture.run_from_ns(frame),
        XdpHook::FromUplink => fixture.run_from_uplink(frame),
    }
}

/// XDP sends `frame` as TC does.
#[track_caller]
fn assert_same(fixture: &Fixture, hook: XdpHook, frame: &[u8]) -> Vec<u8> {
    let (ours, theirs) = (xdp(fixture, hook, frame), tc(fixture, hook, frame));
    assert_eq!((ours.verdict, theirs.verdict), (XDP_REDIRECT, TC_REDIRECT), "{hook:?} {frame:02x?}");
    assert_eq!(ours.packet, theirs.packet, "{hook:?} {frame:02x?}");
    // Padding of short frames is no part of the packet.
    assert_checksums(&ours.packet[..14 + usize::from(u16::from_be_bytes([frame[16], frame[17]]))]);
    ours.packet
}

/// XDP leaves `frame` to TC.
#[track_caller]
fn assert_left(fixture: &Fixture, hook: XdpHook, what: &str, frame: &[u8]) {
    let run = xdp(fixture, hook, frame);
    assert_eq!((run.verdict, run.packet.as_slice()), (PASS, frame), "{what}");
}

fn sockets(fixture: &Fixture, number: u16) -> (SocketAddrV4, SocketAddrV4) {
    (SocketAddrV4::new(ADDRESS, 40_000 + number), SocketAddrV4::new(fixture.outside, 53))
}

/// A frame of a flow that exists, and one that answers it.
fn opened(fixture: &Fixture, proto: Proto, number: u16) -> (Frame, Frame) {
    let (inside, outside) = sockets(fixture, number);
    assert_eq!(fixture.run_from_ns(&Frame::new(proto, inside, outside).build()).verdict, TC_REDIRECT);
    let nat = fixture.nat_of(proto as u8, inside.port());
    // A first answer is looked up by TC, which notes where the flow is.
    assert_eq!(fixture.run_from_uplink(&Frame::reply(proto, outside, nat).build()).verdict, TC_REDIRECT);
    (Frame::new(proto, inside, outside).tcp_flags(ACK), Frame::reply(proto, outside, nat).tcp_flags(ACK))
}

#[test]
fn established_flows_get_the_same_bytes_as_from_tc() {
    with_xdp(|fixture| {
        for (number, proto) in (0..).zip(PROTOS) {
            let (out, back) = opened(fixture, proto, number);
            let sent = assert_same(fixture, XdpHook::FromNs, &out.build());
            assert_eq!(sent[..6], ROUTER_MAC);
            assert_same(fixture, XdpHook::FromUplink, &back.build());
            if proto == Proto::Udp {
                assert_same(fixture, XdpHook::FromNs, &out.clone().without_checksum().build());
                assert_same(fixture, XdpHook::FromUplink, &back.without_checksum().build());
            }
            assert_same(fixture, XdpHook::FromNs, &[out.ttl(2).build(), vec![0; 7]].concat());
        }
        let flows = fixture.dataplane.flows().unwrap();
        assert!(flows.iter().all(|flow| flow.tx.0 >= 5 && flow.rx.0 >= 2), "both count: {flows:#?}");
    });
}

/// What was counted for each flow, by its port outside.
fn counted(fixture: &Fixture) -> Vec<[u64; 5]> {
    let of = |flow: &Flow| [flow.nat.port().into(), flow.tx.0, flow.tx.1, flow.rx.0, flow.rx.1];
    fixture.dataplane.flows().unwrap().iter().map(of).collect()
}

#[test]
fn what_is_not_plain_is_left_as_it_is() {
    with_xdp(|fixture| {
        for (number, proto) in (0..).zip(PROTOS) {
            let (out, back) = opened(fixture, proto, number);
            let before = counted(fixture);
            for (hook, frame) in [(XdpHook::FromNs, out), (XdpHook::FromUplink, back)] {
                let plain = frame.build();
                let changed = |at: usize, byte: u8| {
                    let mut frame = plain.clone();
                    frame[at] = byte;
                    frame
                };
                // The external port is a random one: no constant differs from it for sure.
                let other = |at: usize| changed(at, !plain[at]);
                assert_left(fixture, hook, "TTL at its end", &frame.clone().ttl(1).build());
                assert_left(fixture, hook, "IP options", &frame.clone().options(1).build());
                assert_left(fixture, hook, "a first fragment", &changed(20, 0x20));
                assert_left(fixture, hook, "a later fragment", &changed(21, 1));
                assert_left(fixture, hook, "longer than the frame", &changed(16, 9));
                assert_left(fixture, hook, "no total length", &[&changed(16, 0)[..17], &[0], &plain[18..]].concat());
                assert_left(fixture, hook, "IPv6", &changed(12, 0x86));
                assert_left(fixture, hook, "a VLAN", &[&plain[..12], &[0x81, 0, 0, 5], &plain[12..]].concat());
                assert_left(fixture, hook, "another protocol", &changed(23, 47));
                assert_left(fixture, hook, "another port", &other(if proto == Proto::Icmp { 39 } else { 37 }));
                assert_left(fixture, hook, "cut", &plain[..30]);
                if proto == Proto::Tcp {
                    assert_left(fixture, hook, "a SYN", &frame.clone().tcp_flags(0x02).build());
                }
                if proto == Proto::Icmp {
                    assert_left(fixture, hook, "an error", &changed(34, 3));
                }
            }
            assert_eq!(counted(fixture), before, "nothing of it was counted");
        }
    });
}

#[test]
fn checksum_that_a_card_was_to_finish_is_left_as_it_is() {
    with_xdp(|fixture| {
        for (number, proto) in [(0, Proto::Tcp), (1, Proto::Udp)] {
            let (out, back) = opened(fixture, proto, number);
            for (hook, frame) in [(XdpHook::FromNs, out), (XdpHook::FromUplink, back)] {
                let frame = frame.packet().clone().sum(Sum::Partial).in_frame(&ETHERNET);
                assert_left(fixture, hook, "unfinished", &frame);
            }
        }
    });
}

#[test]
fn interface_that_takes_no_frames_gets_none() {
    with_xdp(|fixture| {
        let (out, back) = opened(fixture, Proto::Udp, 0);
        fixture.dataplane.detach_xdp(XdpHook::FromUplink, fixture.uplink).unwrap();
        assert_left(fixture, XdpHook::FromNs, "the uplink", &out.build());
        fixture.dataplane.attach_xdp(XdpHook::FromUplink, fixture.uplink, None).unwrap();
        assert_same(fixture, XdpHook::FromNs, &out.build());
        fixture.dataplane.detach_xdp(XdpHook::FromNs, fixture.host_veth).unwrap();
        assert_left(fixture, XdpHook::FromUplink, "the host-side veth", &back.build());
    });
}

#[test]
fn random_frames_are_left_or_become_what_tc_makes_of_them() {
    with_xdp(|fixture| {
        let seeds: Vec<Vec<u8>> = (0..)
            .zip(PROTOS)
            .flat_map(|(number, proto)| {
                let (out, back) = opened(fixture, proto, number);
                [out.build()[14..].to_vec(), back.build()[14..].to_vec()]
            })
            .collect();
        let mut random = Random(0x2545_f491_4f6c_dd1d);
        let mut sent = 0;
        for _ in 0..FRAMES {
            let frame = random.frame(&seeds);
            for hook in XdpHook::ALL {
                let run = xdp(fixture, hook, &frame);
                if run.verdict == PASS {
                    assert_eq!(run.packet, frame, "{hook:?}");
                    continue;
                }
                assert_eq!(run.verdict, XDP_REDIRECT, "{hook:?} {frame:02x?}");
                // Only of a flow that is known, and of that the whole packet.
                let theirs = tc(fixture, hook, &frame);
                assert_eq!((theirs.verdict, &theirs.packet), (TC_REDIRECT, &run.packet), "{hook:?} {frame:02x?}");
                sent += 1;
            }
        }
        assert!(sent > FRAMES / 20, "{sent} of {FRAMES} were sent");
    });
}
