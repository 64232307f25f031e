//! Who holds every port towards a destination has to give some of them when another namespace wants one.

use std::{net::SocketAddrV4, time::Duration};

use forwarder::{
    dataplane::{Flow, Sizes, Stat},
    testbed::wait_until,
};
use forwarder_common::{
    abi::{Timeout, endpoint_flags},
    wire::l4::Proto,
};

use super::{
    fixture::{Fixture, Member, with_endpoints},
    frame::{Frame, source},
};

const REDIRECT: i32 = 7;
const DROP: i32 = 2;
const ACK: u8 = 0x10;
const LIMIT: Duration = Duration::from_secs(30);
const EIM: u32 = endpoint_flags::NAT_EIM;

/// The range, which the hog's sockets have too: it keeps its ports.
const FIRST: u16 = 2_000;
const PORTS: u16 = 100;
/// Packets that make a stream.
const MANY: u16 = 4;
/// Where others' sockets begin.
const OTHERS: u16 = 40_000;

fn sizes() -> Sizes {
    Sizes { nat_ports: (FIRST, FIRST + PORTS - 1), ..Sizes::default() }
}

fn server(fixture: &Fixture, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(fixture.outside, port)
}

/// A packet of a socket; from which external socket it leaves, if there is one for it.
#[track_caller]
fn sends(
    fixture: &Fixture,
    from: &Member,
    proto: Proto,
    port: u16,
    to: SocketAddrV4,
    flags: u8,
) -> Option<SocketAddrV4> {
    let inside = SocketAddrV4::new(from.address, port);
    let frame = Frame::new(proto, inside, to).tcp_flags(flags).build();
    let mut out = fixture.run_from(from, &frame);
    if out.verdict != REDIRECT {
        // Once a second a packet is for the kernel, because nobody answers for the next hop; then the sender's hardware address counts,
        // which is the first member's in all frames.
        out = fixture.run_from(from, &frame);
    }
    assert!(out.verdict == REDIRECT || out.verdict == DROP, "{inside} to {to}: {}", out.verdict);
    (out.verdict == REDIRECT).then(|| source(&out.packet))
}

/// A conversation, both ways until it is established; its external socket, if there is one for it.
#[track_caller]
fn talks(fixture: &Fixture, from: &Member, proto: Proto, port: u16, to: SocketAddrV4) -> Option<SocketAddrV4> {
    let nat = sends(fixture, from, proto, port, to, 0x02)?;
    for _ in 0..MANY {
        assert_eq!(fixture.run_from_uplink(&Frame::reply(proto, to, nat).build()).verdict, REDIRECT);
        assert_eq!(sends(fixture, from, proto, port, to, ACK), Some(nat));
    }
    Some(nat)
}

/// What was dropped so far, and why.
fn dropped(fixture: &Fixture) -> Vec<Stat> {
    fixture
        .dataplane
        .stats()
        .unwrap()
        .into_iter()
        .filter(|stat| stat.verdict == "dropped" && stat.packets > 0)
        .collect()
}

fn flows_of(fixture: &Fixture, member: &Member) -> Vec<Flow> {
    fixture.dataplane.flows().unwrap().into_iter().filter(|flow| flow.endpoint == member.host_veth).collect()
}

/// A stream from each port of the range, until all have lasted, without an answer.
#[track_caller]
fn streams(fixture: &Fixture, hog: &Member, to: SocketAddrV4) {
    let all_last = || {
        let sent =
            (FIRST..FIRST + PORTS).filter(|port| sends(fixture, hog, Proto::Udp, *port, to, 0).is_some()).count();
        assert_eq!(sent, usize::from(PORTS));
        let flows = flows_of(fixture, hog);
        Ok(flows.iter().all(|flow| flow.state == "established").then_some(()))
    };
    wait_until(LIMIT, "the streams last", all_last).unwrap();
}

/// As many sockets of `member` as get a port, one after another, out of so many as there are ports.
fn opens(fixture: &Fixture, member: &Member, to: SocketAddrV4) -> usize {
    (OTHERS..OTHERS + PORTS).filter(|port| sends(fixture, member, Proto::Udp, *port, to, 0).is_some()).count()
}

#[test]
fn streams_that_nobody_answers_leave_ports_to_others() {
    for flags in [0, EIM] {
        with_endpoints(&sizes(), &[flags, flags], |fixture| {
            let (hog, other, to) = (&fixture.members[0], &fixture.members[1], server(fixture, 53));
            streams(fixture, hog, to);
            // Uncontested they keep their ports, also from a further socket of their own namespace.
            assert_eq!(sends(fixture, hog, Proto::Udp, OTHERS, to, 0), None);
            assert_eq!(flows_of(fixture, hog).len(), usize::from(PORTS));
            assert!(opens(fixture, other, to) > 0);
            let (has, got) = (flows_of(fixture, hog).len(), flows_of(fixture, other).len());
            assert!(has >= 40 && got >= 40, "{has} of the hog's streams and {got} of the other's, flags {flags}");
        });
    }
}

#[test]
fn conversations_leave_a_share_to_others_and_most_of_them_stay() {
    for (proto, flags) in [(Proto::Udp, 0), (Proto::Udp, EIM), (Proto::Tcp, 0), (Proto::Tcp, EIM)] {
        with_endpoints(&sizes(), &[flags, flags], |fixture| {
            let (hog, other, to) = (&fixture.members[0], &fixture.members[1], server(fixture, 443));
            for port in FIRST..FIRST + PORTS {
                assert!(talks(fixture, hog, proto, port, to).is_some(), "{proto:?} {port}");
            }
            assert_eq!(sends(fixture, hog, proto, OTHERS, to, 0x02), None, "its own do not make room");
            let got = (OTHERS..OTHERS + PORTS).filter(|port| talks(fixture, other, proto, *port, to).is_some()).count();
            let has = flows_of(fixture, hog).len();
            assert!(
                (25..=45).contains(&got) && has >= 55,
                "{got} of the other's and {has} of the hog's, {proto:?} {flags}"
            );
            assert!(flows_of(fixture, other).iter().all(|flow| flow.state == "established"));
        });
    }
}

#[test]
fn equals_do_not_take_from_each_other() {
    with_endpoints(&sizes(), &[0, 0], |fixture| {
        let to = server(fixture, 443);
        for port in FIRST..FIRST + PORTS {
            let member = &fixture.members[usize::from(port % 2)];
            assert!(talks(fixture, member, Proto::Tcp, port, to).is_some(), "{port}");
        }
        for (member, port) in fixture.members.iter().zip(OTHERS..) {
            assert_eq!(sends(fixture, member, Proto::Tcp, port, to, 0x02), None);
        }
        assert!(fixture.members.iter().all(|member| flows_of(fixture, member).len() == usize::from(PORTS) / 2));
    });
}

#[test]
fn mappings_towards_several_destinations_are_given_up_too() {
    with_endpoints(&sizes(), &[EIM, EIM], |fixture| {
        let (hog, other) = (&fixture.members[0], &fixture.members[1]);
        for port in FIRST..FIRST + PORTS {
            for remote in [443, 444] {
                assert!(talks(fixture, hog, Proto::Udp, port, server(fixture, remote)).is_some());
            }
        }
        // What several flows use is free when the expiry timer has come by: the next packet gets through, or the one after it.
        let gets_through = || Ok(sends(fixture, other, Proto::Udp, OTHERS, server(fixture, 443), 0));
        let nat = wait_until(LIMIT, "a port is given up", gets_through).unwrap();
        assert!(flows_of(fixture, hog).iter().all(|flow| flow.nat.port() != nat.port()));
        assert!(flows_of(fixture, hog).len() >= usize::from(PORTS), "the others stay");
    });
}

#[test]
fn ports_shared_by_destination_are_given_up_for_mappings() {
    with_endpoints(&sizes(), &[0, EIM], |fixture| {
        let (hog, other) = (&fixture.members[0], &fixture.members[1]);
        for port in FIRST..FIRST + PORTS {
            for remote in [443, 444] {
                assert!(talks(fixture, hog, Proto::Udp, port, server(fixture, remote)).is_some());
            }
        }
        let gets_through = || Ok(sends(fixture, other, Proto::Udp, OTHERS, server(fixture, 445), 0));
        wait_until(LIMIT, "a port is given up", gets_through).unwrap();
        assert!(flows_of(fixture, hog).len() >= usize::from(PORTS), "the others stay");
    });
}

#[test]
fn two_endpoints_with_the_whole_table_do_not_lock_out_a_third() {
    let sizes = Sizes { max_flows: 60, max_flows_per_endpoint: 30, max_pending: 60, ..Sizes::default() };
    with_endpoints(&sizes, &[0, 0, 0], |fixture| {
        let to = server(fixture, 53);
        let [one, two, other] = &fixture.members[..] else { unreachable!("three") };
        let talk = |member, proto, ports: std::ops::Range<u16>| {
            for port in ports {
                assert!(talks(fixture, member, proto, port, to).is_some(), "{port}: {:?}", dropped(fixture));
            }
        };
        talk(one, Proto::Udp, FIRST..FIRST + 30);
        talk(two, Proto::Udp, FIRST..FIRST + 30);
        assert_eq!(fixture.dataplane.alloc().unwrap().established, 60);
        assert_eq!(sends(fixture, one, Proto::Udp, OTHERS, to, 0), None, "it has its share");
        talk(other, Proto::Udp, OTHERS..OTHERS + 10);
        talk(other, Proto::Tcp, OTHERS..OTHERS + 10);
        let flows = [one, two, other].map(|member| flows_of(fixture, member));
        assert_eq!(flows.each_ref().map(Vec::len), [30, 30, 20]);
        assert!(flows[2].iter().all(|flow| flow.state != "established"), "{:?}", flows[2]);
        assert_eq!((fixture.counted("TableFull"), fixture.counted("EndpointFull")), (0, 2));
        // Where there is room again, their next packets establish them.
        fixture.dataplane.remove_endpoint(one.host_veth).unwrap();
        talk(other, Proto::Udp, OTHERS..OTHERS + 10);
        talk(other, Proto::Tcp, OTHERS..OTHERS + 10);
        assert!(flows_of(fixture, other).iter().all(|flow| flow.state == "established"));
    });
}

#[test]
fn full_table_makes_room_at_the_expense_of_streams_that_nobody_answers() {
    let mut sizes = Sizes { max_flows: 60, max_flows_per_endpoint: 30, max_pending: 60, ..Sizes::default() };
    sizes.timeouts.iter_mut().filter(|(which, _)| *which == Timeout::UdpHalfOpen).for_each(|(_, time)| *time = 60);
    with_endpoints(&sizes, &[0, 0, 0], |fixture| {
        let to = server(fixture, 53);
        let [one, two, other] = &fixture.members[..] else { unreachable!("three") };
        let last = || {
            for (hog, port) in [one, two].into_iter().flat_map(|hog| (FIRST..FIRST + 30).map(move |port| (hog, port))) {
                let sent = sends(fixture, hog, Proto::Udp, port, to, 0).is_some();
                assert!(sent, "{port}: {:?}", dropped(fixture));
            }
            Ok((fixture.dataplane.alloc()?.established == 60).then_some(()))
        };
        wait_until(LIMIT, "the table is full", last).unwrap();
        for port in OTHERS..OTHERS + 12 {
            assert!(talks(fixture, other, Proto::Tcp, port, to).is_some(), "{port}");
        }
        assert!(flows_of(fixture, other).iter().all(|flow| flow.state == "established"));
        let left = [one, two].map(|hog| flows_of(fixture, hog).len());
        assert!(left.iter().all(|flows| *flows >= 15), "{left:?}");
    });
}
