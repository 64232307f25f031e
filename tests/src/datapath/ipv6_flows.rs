//! IPv6 through the loaded programs: conversations, translated there and back.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};

use forwarder::dataplane::TestRun;
use forwarder_common::{
    abi::endpoint_flags,
    wire::{
        emit::{Extension, Ipv6Packet, Transport},
        packet::L3_OFF,
    },
};

use super::{
    fixture::{ADDRESS_V6, Fixture, MAC, with_ipv6},
    ipv6::{NEXT, OUTSIDE, REDIRECT, frame, udp},
};

/// What the frame is when it leaves by the uplink, or is delivered, without its link-layer header.
#[track_caller]
fn sent_on(run: &TestRun) -> &[u8] {
    assert_eq!(run.verdict, REDIRECT);
    &run.packet[L3_OFF..]
}

/// The external socket of the only flow.
#[track_caller]
fn external(fixture: &Fixture) -> SocketAddrV6 {
    let flows = fixture.dataplane.flows().unwrap();
    assert_eq!(flows.len(), 1, "{flows:#?}");
    match flows[0].nat {
        SocketAddr::V6(nat) => nat,
        SocketAddr::V4(nat) => panic!("{nat} is not of IPv6"),
    }
}

/// Each time once more: by the slow path, and by the fast one.
#[test]
fn a_conversation_leaves_behind_the_hosts_address_and_comes_back() {
    let (inside, remote) = (SocketAddrV6::new(ADDRESS_V6, 40_000, 0, 0), SocketAddrV6::new(OUTSIDE, 53, 0, 0));
    for extensions in [vec![], vec![Extension::Destination(vec![]); 6]] {
        let of = |packet: Ipv6Packet| Ipv6Packet { extensions: extensions.clone(), flow_label: 0x12345, ..packet };
        with_ipv6(&[0], |fixture| {
            let sent = of(Ipv6Packet::udp(inside, remote).payload(b"query"));
            let mut claimed = None;
            for round in 0..4 {
                let out = fixture.run_from_ns(&frame(&sent));
                let nat = external(fixture);
                assert_eq!((*nat.ip(), *claimed.get_or_insert(nat)), (fixture.host_v6, nat));
                let expected = of(Ipv6Packet::udp(nat, remote).payload(b"query")).hop_limit(63);
                assert_eq!(sent_on(&out), expected.emit(), "round {round}: {:?}", expected);
                let answer = of(Ipv6Packet::udp(remote, nat).payload(b"answer"));
                let back = fixture.run_from_uplink(&frame(&answer));
                let expected = of(Ipv6Packet::udp(remote, inside).payload(b"answer")).hop_limit(63);
                assert_eq!(sent_on(&back), expected.emit(), "round {round}: {:?}", expected);
                assert_eq!(back.packet[..6], MAC, "to the endpoint's hardware address");
            }
            let flow = &fixture.dataplane.flows().unwrap()[0];
            assert_eq!((flow.src, flow.dst, flow.proto), (inside.into(), remote.into(), 17));
            assert_eq!((flow.tx.0, flow.rx.0, flow.state), (4, 4, "established"));
        });
    }
}

#[test]
fn an_echo_is_answered_and_a_question_from_outside_is_the_hosts() {
    with_ipv6(&[0], |fixture| {
        let out = fixture.run_from_ns(&frame(&Ipv6Packet::echo(ADDRESS_V6, OUTSIDE, 7)));
        let nat = external(fixture);
        assert_eq!(sent_on(&out), Ipv6Packet::echo(fixture.host_v6, OUTSIDE, nat.port()).hop_limit(63).emit());
        let reply = |to, id| Ipv6Packet::echo_reply(OUTSIDE, to, id);
        let back = fixture.run_from_uplink(&frame(&reply(fixture.host_v6, nat.port())));
        assert_eq!(sent_on(&back), reply(ADDRESS_V6, 7).hop_limit(63).emit());
        for others in [Ipv6Packet::echo(OUTSIDE, fixture.host_v6, nat.port()), reply(fixture.host_v6, nat.port() ^ 1)] {
            let run = fixture.run_from_uplink(&frame(&others));
            assert_eq!((run.verdict, run.packet), (NEXT, frame(&others)), "{others:?}");
        }
    });
}

#[test]
fn nobody_else_answers_in_the_name_of_the_remote_end() {
    with_ipv6(&[0], |fixture| {
        fixture.run_from_ns(&frame(&udp(ADDRESS_V6, OUTSIDE)));
        let nat = external(fixture);
        let (other, host): (Ipv6Addr, _) = ("2001:db8::8".parse().unwrap(), fixture.host_v6);
        for (from, to, port) in [
            (SocketAddrV6::new(other, 53, 0, 0), host, nat.port()),
            (SocketAddrV6::new(OUTSIDE, 54, 0, 0), host, nat.port()),
            (SocketAddrV6::new(OUTSIDE, 53, 0, 0), host, nat.port() ^ 1),
            (SocketAddrV6::new(OUTSIDE, 53, 0, 0), "2001:db8::9".parse().unwrap(), nat.port()),
        ] {
            let foreign = frame(&Ipv6Packet::udp(from, SocketAddrV6::new(to, port, 0, 0)));
            let run = fixture.run_from_uplink(&foreign);
            assert_eq!((run.verdict, run.packet), (NEXT, foreign), "{from} to {to}");
        }
    });
}

/// The segment sizes that both ends ask for are lowered to what the way carries, and never raised.
#[test]
fn segment_size_of_ipv6_is_lowered_where_asked_for() {
    let opening = |from, to, mss: u16| {
        let mut packet = Ipv6Packet::tcp(from, to);
        if let Transport::Tcp(tcp) = &mut packet.transport {
            let [high, low] = mss.to_be_bytes();
            tcp.options = vec![1, 1, 2, 4, high, low, 1, 1];
        }
        packet
    };
    let clamp = endpoint_flags::CLAMP_MSS;
    for (flags, mss, expected) in [(clamp, 8960, 1440), (clamp, 536, 536), (0, 8960, 8960)] {
        with_ipv6(&[flags], |fixture| {
            let (inside, remote) = (SocketAddrV6::new(ADDRESS_V6, 40_000, 0, 0), SocketAddrV6::new(OUTSIDE, 80, 0, 0));
            let out = fixture.run_from_ns(&frame(&opening(inside, remote, mss)));
            let nat = external(fixture);
            assert_eq!(sent_on(&out), opening(nat, remote, expected).hop_limit(63).emit(), "{mss}");
            let back = fixture.run_from_uplink(&frame(&opening(remote, nat, mss)));
            assert_eq!(sent_on(&back), opening(remote, inside, expected).hop_limit(63).emit(), "{mss}");
        });
    }
}
