//! Random and mutated frames through all programs: a legal verdict, nothing untranslated, checksums that stay right, and
//! the bytes that the pure functions give.

use forwarder::dataplane::{Hook, Sizes};
use forwarder_common::{
    decide::rewrite::{Rewrite, Side, Ttl},
    wire::{ipv4, l4, packet::L3_OFF},
};

use super::{
    fixture::{ADDRESS, Fixture, with_fixture},
    frame::framed,
};
use crate::chance::Random;

const NEXT: i32 = -1;
const DROP: i32 = 2;
const REDIRECT: i32 = 7;
const FRAMES: u32 = 6_000;

impl Random {
    pub(super) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    fn one_of(&mut self, times: u64) -> bool {
        self.next().is_multiple_of(times)
    }

    /// A packet of some shape; its addresses may be any, a few bytes changed, and it may be cut short.
    pub(super) fn frame(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut packet = seeds[self.below(seeds.len())].clone();
        for _ in 0..self.below(3) {
            let at = self.below(packet.len());
            packet[at] = self.next() as u8;
        }
        if !self.one_of(4) {
            fuzz::finish(&mut packet, 0);
        }
        if self.one_of(8) {
            packet.truncate(self.below(packet.len()));
        }
        // The kernel runs nothing that is shorter than both headers.
        packet.resize(packet.len().max(20), 0);
        let mut frame = framed(&packet);
        if self.one_of(16) {
            let at = self.below(frame.len());
            frame[at] = self.next() as u8;
        }
        frame
    }
}

fn from_container(frame: &[u8]) -> bool {
    frame[12..14] == [0x08, 0x00] && ipv4::parse(&frame, L3_OFF).is_ok_and(|ip| ip.src[..3] == ADDRESS.octets()[..3])
}

fn to_container(frame: &[u8]) -> bool {
    ipv4::parse(&frame, L3_OFF).is_ok_and(|ip| ip.dst[..3] == ADDRESS.octets()[..3])
}

/// Runs `hook` over `frame`: what always holds. Returns the verdict and the frame afterwards.
#[track_caller]
fn run(fixture: &Fixture, hook: Hook, ingress: u32, frame: &[u8]) -> (i32, Vec<u8>) {
    let ifindex = if matches!(hook, Hook::FromNs) { fixture.host_veth } else { fixture.uplink };
    let run = fixture.dataplane.test_run(hook, ifindex, ingress, frame, 1).unwrap();
    let (verdict, after) = (run.verdict, run.packet);
    let shown = || format!("{} over {frame:02x?} → {verdict} {after:02x?}", hook.program());
    assert!([NEXT, DROP, REDIRECT].contains(&verdict), "{}", shown());
    if verdict == DROP {
        return (verdict, after);
    }
    assert_eq!(after.len(), frame.len(), "{}", shown());
    if let (Some(before), Some(now)) = (fuzz::checksums(frame, L3_OFF), fuzz::checksums(&after, L3_OFF)) {
        assert!(now.0 >= before.0 && now.1 >= before.1, "checksums {before:?} → {now:?}: {}", shown());
    }
    match hook {
        Hook::FromNs if verdict == NEXT => assert_eq!(after, frame, "{}", shown()),
        Hook::FromNs => assert!(!from_container(&after) || to_container(&after), "{}", shown()),
        Hook::ToUplink => {
            assert!(verdict == NEXT && !from_container(&after), "{}", shown());
        }
        // The kernel runs frames with an Ethernet header only: the variants for uplinks without one are left out.
        Hook::FromUplink | Hook::FromUplinkL3 | Hook::ToUplinkL3 | Hook::ToNetwork => {}
    }
    (verdict, after)
}

/// What the pure functions make of an outbound frame, given the port that the kernel chose.
fn model(before: &[u8], after: &[u8]) -> Option<Vec<u8>> {
    let parse = |frame: &[u8]| {
        let ip = ipv4::parse(&frame, L3_OFF).ok()?;
        Some((ip, l4::parse(&frame, &ip).ok()?))
    };
    let ((ip, l4), (new_ip, new_l4)) = (parse(before)?, parse(after)?);
    let mut frame = before.to_vec();
    Rewrite::new(Side::Source, &ip, &l4, new_ip.src, new_l4.src_port, Ttl::Decrement).apply(&mut frame)?;
    Some(frame)
}

/// The answer to a translated frame: ends swapped, which leaves every checksum right, and an echo request made a reply.
fn answer(frame: &[u8]) -> Option<Vec<u8>> {
    let ip = ipv4::parse(&frame, L3_OFF).ok()?;
    l4::parse(&frame, &ip).ok()?;
    let mut reply = frame.to_vec();
    reply[L3_OFF + 12..L3_OFF + 20].rotate_left(4);
    let at = ip.payload_off();
    if ip.proto == 1 {
        reply[at] = 0;
        fuzz::finish(&mut reply, L3_OFF);
    } else {
        reply[at..at + 4].rotate_left(2);
    }
    Some(reply)
}

#[test]
fn random_frames_get_a_verdict_and_never_leave_untranslated() {
    with_fixture(&Sizes::default(), |fixture| {
        let seeds = fuzz::seeds();
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let (mut translated, mut delivered) = (0, 0);
        for _ in 0..FRAMES {
            let frame = random.frame(&seeds);
            let (verdict, after) = run(fixture, Hook::FromNs, fixture.host_veth, &frame);
            if let (REDIRECT, Some(expected)) = (verdict, model(&frame, &after)) {
                assert_eq!(after, expected, "from {frame:02x?}");
                translated += 1;
                let mut reply = answer(&after).unwrap();
                let (verdict, back) = run(fixture, Hook::FromUplink, fixture.uplink, &reply);
                if verdict == REDIRECT {
                    assert!(to_container(&back) && !to_container(&reply), "{reply:02x?} → {back:02x?}");
                    delivered += 1;
                }
                let at = random.below(reply.len());
                reply[at] = random.next() as u8;
                run(fixture, Hook::FromUplink, fixture.uplink, &reply);
                run(fixture, Hook::ToUplink, fixture.host_veth, &after);
            }
            run(fixture, Hook::FromUplink, fixture.uplink, &frame);
            run(fixture, Hook::ToUplink, 0, &frame);
            run(fixture, Hook::ToUplink, fixture.host_veth, &frame);
            run(fixture, Hook::ToUplink, fixture.network, &frame);
        }
        println!("{translated} of {FRAMES} frames translated, {delivered} replies delivered");
        assert!(
            translated > FRAMES / 20 && delivered > translated / 2,
            "{translated} translated, {delivered} delivered"
        );
    });
}
