//! How flows end: idle ones by the sweep, half-open ones pushed out by others, and established ones by neither.

use std::{net::SocketAddrV4, time::Duration};

use forwarder::{dataplane::Sizes, lab::wait_until};
use forwarder_common::{abi::Timeout, wire::l4::Proto};

use super::{
    fixture::{ADDRESS, Fixture, with_fixture},
    frame::Frame,
};

const LIMIT: Duration = Duration::from_secs(30);
const REDIRECT: i32 = 7;
const SYN_ACK: u8 = 0x12;
const FIN_ACK: u8 = 0x11;

fn remote(fixture: &Fixture) -> SocketAddrV4 {
    SocketAddrV4::new(fixture.outside, 80)
}

/// Opens a flow from `port` and, if `answered`, establishes it.
#[track_caller]
fn open(fixture: &Fixture, proto: Proto, port: u16, answered: bool) {
    let inside = SocketAddrV4::new(ADDRESS, port);
    let out = fixture.run_from_ns(&Frame::new(proto, inside, remote(fixture)).build());
    assert_eq!(out.verdict, REDIRECT, "{proto:?} from port {port}");
    if answered {
        let nat = fixture.nat_of(proto as u8, port);
        let reply = Frame::reply(proto, remote(fixture), nat).tcp_flags(SYN_ACK).build();
        assert_eq!(fixture.run_from_uplink(&reply).verdict, REDIRECT, "reply to {proto:?} port {port}");
    }
}

fn states(fixture: &Fixture) -> Vec<(u8, &'static str)> {
    fixture.dataplane.flows().unwrap().iter().map(|flow| (flow.proto, flow.state)).collect()
}

#[test]
fn idle_flows_end_by_themselves_each_after_its_own_time() {
    let mut sizes = Sizes::default();
    for (which, seconds) in &mut sizes.timeouts {
        *seconds = if *which == Timeout::TcpEstablished { 3_600 } else { 1 };
    }
    with_fixture(&sizes, |fixture| {
        open(fixture, Proto::Tcp, 40_001, true);
        open(fixture, Proto::Tcp, 40_002, false);
        open(fixture, Proto::Udp, 40_003, true);
        open(fixture, Proto::Icmp, 40_004, true);
        let only_tcp_is_left = || Ok((states(fixture) == [(6, "established")]).then_some(()));
        wait_until(LIMIT, "three of four flows end", only_tcp_is_left).unwrap();
        assert_eq!(fixture.dataplane.alloc().unwrap().established, 1);
        // What was freed serves again.
        open(fixture, Proto::Udp, 40_003, true);
        assert_eq!(states(fixture).len(), 2);
    });
}

#[test]
fn half_open_flows_evict_only_half_open_flows() {
    let sizes = Sizes { half_open_quota: 64, half_open_rings: 2, ..Sizes::default() };
    with_fixture(&sizes, |fixture| {
        for port in 40_000..40_050 {
            open(fixture, Proto::Tcp, port, true);
        }
        for port in 41_000..43_000 {
            open(fixture, Proto::Tcp, port, false);
        }
        let states = states(fixture);
        let count = |wanted: &str| states.iter().filter(|(_, state)| *state == wanted).count();
        assert_eq!((count("established"), count("half-open")), (50, 64));
    });
}

#[test]
fn full_table_refuses_new_flows_and_keeps_the_old() {
    let sizes = Sizes { max_flows: 20, ..Sizes::default() };
    with_fixture(&sizes, |fixture| {
        for port in 40_000..40_020 {
            open(fixture, Proto::Tcp, port, true);
        }
        let inside = SocketAddrV4::new(ADDRESS, 41_000);
        let refused = fixture.run_from_ns(&Frame::new(Proto::Tcp, inside, remote(fixture)).build());
        assert_ne!(refused.verdict, REDIRECT);
        assert_eq!(fixture.counted("TableFull"), 1);
        assert_eq!(states(fixture), vec![(6, "established"); 20]);
        // A connection that closes makes room.
        let inside = SocketAddrV4::new(ADDRESS, 40_000);
        let nat = fixture.nat_of(6, 40_000);
        fixture.run_from_ns(&Frame::new(Proto::Tcp, inside, remote(fixture)).tcp_flags(FIN_ACK).build());
        fixture.run_from_uplink(&Frame::reply(Proto::Tcp, remote(fixture), nat).tcp_flags(FIN_ACK).build());
        open(fixture, Proto::Tcp, 41_000, true);
    });
}

#[test]
fn port_of_a_closed_flow_is_taken_over_when_no_other_is_free() {
    let sizes = Sizes { nat_ports: (2_000, 2_003), ..Sizes::default() };
    with_fixture(&sizes, |fixture| {
        for port in 40_000..40_004 {
            open(fixture, Proto::Tcp, port, true);
        }
        let fifth = Frame::new(Proto::Tcp, SocketAddrV4::new(ADDRESS, 40_004), remote(fixture)).build();
        assert_ne!(fixture.run_from_ns(&fifth).verdict, REDIRECT);
        assert_eq!(fixture.counted("PortsExhausted"), 1);
        let nat = fixture.nat_of(6, 40_002);
        let reset = Frame::reply(Proto::Tcp, remote(fixture), nat).tcp_flags(0x14).build();
        assert_eq!(fixture.run_from_uplink(&reset).verdict, REDIRECT);
        assert_eq!(fixture.run_from_ns(&fifth).verdict, REDIRECT);
        assert_eq!(fixture.nat_of(6, 40_004), nat);
    });
}
