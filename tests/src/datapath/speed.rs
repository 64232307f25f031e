//! The fast path of established flows: the same bytes as the pure functions give, and fast.

use std::{
    net::SocketAddrV4,
    time::{Duration, Instant},
};

use forwarder::dataplane::{Hook, Runner, Sizes};
use forwarder_common::{
    abi::Tuple,
    decide::rewrite::{Side, Ttl},
    types::direction::Direction,
    wire::{emit::finish_header, l4::Proto},
};

use super::{
    fixture::{ADDRESS, Fixture, GATEWAY_MAC, MAC, NEXT_HOP, with_fixture},
    frame::{Frame, assert_checksums},
    halves::translated,
};
use crate::chance::Random;

const REDIRECT: i32 = 7;
const ACK: u8 = 0x10;
const SYN_ACK: u8 = 0x12;
const PROTOS: [Proto; 2] = [Proto::Tcp, Proto::Udp];
/// The share that an established packet may take of what one with IP options takes, which takes the slow path: 0.4 to 0.5 here, the
/// costs of the run included.
const LIMIT: f64 = 0.8;
/// How often both are run at least, and for how long they are run again where the machine's other work hides which is the faster.
const TRIES: usize = 20;
const PATIENCE: Duration = Duration::from_secs(60);
/// As many as a TTL of 255 lasts.
const REPEAT: u32 = 200;

/// An established flow.
struct Conversation {
    proto: Proto,
    inside: SocketAddrV4,
    outside: SocketAddrV4,
    nat: SocketAddrV4,
}

impl Conversation {
    fn new(fixture: &Fixture, proto: Proto, port: u16) -> Self {
        let (inside, outside) = (SocketAddrV4::new(ADDRESS, port), SocketAddrV4::new(fixture.outside, 53));
        let out = |flags| fixture.run_from_ns(&Frame::new(proto, inside, outside).tcp_flags(flags).build());
        out(2);
        let nat = fixture.nat_of(proto as u8, port);
        // UDP has to be many packets both ways.
        for _ in 0..5 {
            fixture.run_from_uplink(&Frame::reply(proto, outside, nat).tcp_flags(SYN_ACK).build());
            out(ACK);
        }
        let flows = fixture.dataplane.flows().unwrap();
        let flow = flows.iter().find(|flow| flow.proto == proto as u8 && flow.nat == nat.into()).unwrap();
        assert_eq!(flow.state, "established");
        Self { proto, inside, outside, nat }
    }

    fn out(&self) -> Frame {
        Frame::new(self.proto, self.inside, self.outside).tcp_flags(ACK)
    }

    fn back(&self) -> Frame {
        Frame::reply(self.proto, self.outside, self.nat).tcp_flags(ACK)
    }

    fn tuple(&self, fixture: &Fixture, direction: Direction) -> Tuple {
        match direction {
            Direction::Outbound => fixture.tuple(self.proto, direction, self.inside, self.outside),
            Direction::Inbound => fixture.tuple(self.proto, direction, self.outside, self.nat),
        }
    }
}

#[test]
fn packets_of_established_flows_are_translated_as_the_first_were() {
    with_fixture(&Sizes::default(), |fixture| {
        fixture.know_next_hop();
        for (proto, port) in PROTOS.into_iter().zip(44_000..) {
            let conversation = Conversation::new(fixture, proto, port);
            for ttl in [2, 64, 255] {
                let frames = [conversation.out().ttl(ttl), conversation.out().ttl(ttl).options(1)];
                for frame in frames.map(|frame| frame.build()) {
                    let run = fixture.run_from_ns(&frame);
                    assert_eq!(run.verdict, REDIRECT, "{proto:?}, TTL {ttl}");
                    let mut expected = translated(&frame, Side::Source, conversation.nat, Ttl::Decrement);
                    expected[..6].copy_from_slice(&NEXT_HOP);
                    expected[6..12].copy_from_slice(&run.packet[6..12]);
                    assert_eq!(run.packet, expected, "{proto:?}, TTL {ttl}");
                    assert_ne!(run.packet[6..12], MAC, "the uplink's address instead of the namespace's");
                    assert_checksums(&run.packet);
                }
                let reply = conversation.back().ttl(ttl).build();
                let run = fixture.run_from_uplink(&reply);
                let mut expected = translated(&reply, Side::Destination, conversation.inside, Ttl::Decrement);
                expected[..6].copy_from_slice(&MAC);
                expected[6..12].copy_from_slice(&GATEWAY_MAC);
                assert_eq!((run.verdict, run.packet), (REDIRECT, expected), "reply, {proto:?}, TTL {ttl}");
            }
        }
    });
}

/// A frame with a few bytes changed, mostly in a way that leaves the flow's; its checksums are right, or, now and then, are not.
fn changed(random: &mut Random, mut frame: Vec<u8>) -> Vec<u8> {
    // Type of service, identification, TTL, and what stands behind the ports, but for a TCP segment's flags.
    const HARMLESS: [usize; 8] = [15, 18, 19, 22, 38, 42, 48, 54];
    for _ in 0..random.below(4) {
        let any = random.below(frame.len() - 14) + 14;
        let at = if random.below(8) == 0 { any } else { HARMLESS[random.below(HARMLESS.len())] };
        if let Some(byte) = frame.get_mut(at) {
            *byte = random.next() as u8;
        }
    }
    if random.below(8) != 0 {
        fuzz::finish(&mut frame, 14);
    }
    frame
}

#[test]
fn slow_path_makes_the_same_of_a_packet_as_the_fast_one() {
    const FRAMES: u16 = 1_000;
    with_fixture(&Sizes::default(), |fixture| {
        fixture.know_next_hop();
        let mut random = Random(0x0fa5_7510);
        let hooks = [(Hook::FromNs, fixture.host_veth), (Hook::FromUplink, fixture.uplink)];
        let runners = hooks.map(|(hook, ifindex)| {
            let plane = &fixture.dataplane;
            (ifindex, plane.runner(hook).expect("it is loaded"), plane.slow_runner(hook).expect("it is loaded"))
        });
        let mut translated = 0;
        for number in 0..FRAMES {
            // Each has a flow of its own: what a changed packet does to one is not the next one's matter.
            let conversation = Conversation::new(fixture, PROTOS[usize::from(number) % 2], 46_000 + number);
            let frames = [conversation.out().build(), conversation.back().build()];
            for (frame, (ifindex, fast, slow)) in frames.into_iter().zip(&runners) {
                let frame = changed(&mut random, frame);
                let run = |runner: &Runner| {
                    let run = runner.run(*ifindex, *ifindex, &frame, 1).expect("it runs");
                    (run.verdict, run.packet)
                };
                // Once a second a packet looks the route up again, and leaves by way of the kernel's neighbour.
                let same = (0..3).any(|_| run(fast) == run(slow));
                assert!(same, "{frame:02x?}: {:02x?}, the slow path {:02x?}", run(fast), run(slow));
                translated += u32::from(run(fast).0 == REDIRECT);
            }
        }
        println!("{translated} of {} packets were translated", 2 * u32::from(FRAMES));
        assert!(translated > u32::from(FRAMES), "most are the flow's still");
    });
}

#[test]
fn what_is_uncommon_about_an_established_flow_is_noticed() {
    const NEXT: i32 = -1;
    const DROP: i32 = 2;
    with_fixture(&Sizes::default(), |fixture| {
        let conversation = Conversation::new(fixture, Proto::Tcp, 45_000);
        let counted = |reason, frame: &[u8], verdict| {
            let before = fixture.counted(reason);
            assert_eq!(fixture.run_from_ns(frame).verdict, verdict, "{reason}");
            assert_eq!(fixture.counted(reason), before + 1, "{reason}");
        };
        counted("TtlExceeded", &conversation.out().ttl(1).build(), NEXT);
        let mut longer = conversation.out().build();
        longer[16] = 5;
        finish_header(&mut longer[14..]);
        counted("Malformed", &longer, DROP);
        let mut large = conversation.out().build();
        large.resize(14 + 1501, 0);
        large[16..18].copy_from_slice(&1501u16.to_be_bytes());
        finish_header(&mut large[14..]);
        counted("TooBig", &large, NEXT);
        let state = |flags| {
            fixture.run_from_ns(&conversation.out().tcp_flags(flags).build());
            fixture.run_from_uplink(&conversation.back().tcp_flags(flags).build());
            fixture.dataplane.flows().unwrap()[0].state
        };
        assert_eq!((state(ACK), state(ACK | 1)), ("established", "closing"), "both FINs");
    });
}

#[test]
fn established_packet_takes_less_than_one_with_options() {
    with_fixture(&Sizes::default(), |fixture| {
        for (proto, port) in PROTOS.into_iter().zip(46_000..) {
            for (direction, port) in [(Direction::Outbound, port), (Direction::Inbound, port + 100)] {
                let conversation = Conversation::new(fixture, proto, port);
                let (hook, frame, ifindex) = match direction {
                    Direction::Outbound => (Hook::FromNs, conversation.out(), fixture.host_veth),
                    Direction::Inbound => (Hook::FromUplink, conversation.back(), fixture.uplink),
                };
                let frames = [frame.clone().ttl(255).build(), frame.ttl(255).options(1).build()];
                let tuple = conversation.tuple(fixture, direction);
                // The fastest of many: whatever else the machine does only adds to a run.
                let mut fastest = [Duration::MAX; 2];
                let deadline = Instant::now() + PATIENCE;
                for tries in 1.. {
                    for (frame, fastest) in frames.iter().zip(&mut fastest) {
                        fixture.dataplane.translate_to_itself(&tuple, direction).unwrap();
                        let run = fixture.dataplane.test_run(hook, ifindex, ifindex, frame, REPEAT).unwrap();
                        assert_eq!(run.verdict, REDIRECT);
                        *fastest = run.duration.min(*fastest);
                    }
                    let less = fastest[0].as_secs_f64() < LIMIT * fastest[1].as_secs_f64();
                    if tries >= TRIES && (less || Instant::now() >= deadline) {
                        break;
                    }
                }
                let [fast, slow] = fastest;
                println!("{proto:?} {direction:?}: {fast:?}, with options {slow:?}");
                assert!(
                    fast.as_secs_f64() < LIMIT * slow.as_secs_f64(),
                    "{proto:?} {direction:?}: {fast:?} of {slow:?}"
                );
            }
        }
    });
}
