//! How flows end: idle ones by the expiry timer, half-open ones pushed out by others, and established ones by neither.

use std::{net::SocketAddrV4, time::Duration};

use forwarder::{dataplane::Sizes, testbed::wait_until};
use forwarder_common::{abi::Timeout, wire::l4::Proto};

use super::{
    fixture::{ADDRESS, Fixture, with_fixture},
    frame::Frame,
};

const LIMIT: Duration = Duration::from_secs(30);
const REDIRECT: i32 = 7;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;
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
        let last = fixture.run_from_ns(&Frame::new(proto, inside, remote(fixture)).tcp_flags(ACK).build());
        assert_eq!(last.verdict, REDIRECT, "{proto:?} from port {port} goes on");
    }
}

/// Flows that are established at all, those of the endpoint, and its pending ones.
fn counts(fixture: &Fixture) -> (u32, u32, u32) {
    let (_, endpoint) = fixture.dataplane.endpoints().unwrap()[0];
    let own = fixture.dataplane.endpoint_flows(&endpoint).unwrap();
    (fixture.dataplane.alloc().unwrap().established, own.established, own.pending)
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
        assert_eq!(counts(fixture), (1, 1, 0));
        assert!(fixture.dataplane.expiry().unwrap().ended >= 3);
        // What was freed serves again.
        open(fixture, Proto::Udp, 40_003, true);
        assert_eq!(states(fixture).len(), 2);
    });
}

#[test]
fn half_open_flows_evict_only_half_open_flows() {
    let sizes = Sizes { max_flows: 50, max_pending: 64, ..Sizes::default() };
    with_fixture(&sizes, |fixture| {
        for port in 40_000..40_049 {
            open(fixture, Proto::Tcp, port, true);
        }
        for port in 41_000..43_000 {
            open(fixture, Proto::Tcp, port, false);
        }
        assert_eq!(counts(fixture), (49, 49, 65), "the place of the fiftieth serves meanwhile");
        let states = states(fixture);
        let count = |wanted: &str| states.iter().filter(|(_, state)| *state == wanted).count();
        assert_eq!((count("established"), count("half-open")), (49, 65));
    });
}

#[test]
fn scan_of_answering_hosts_establishes_nothing() {
    with_fixture(&Sizes::default(), |fixture| {
        for port in 40_000..40_100 {
            open(fixture, Proto::Tcp, port, false);
            let nat = fixture.nat_of(6, port);
            for _ in 0..2 {
                let reply = Frame::reply(Proto::Tcp, remote(fixture), nat).build();
                assert_eq!(fixture.run_from_uplink(&reply).verdict, REDIRECT);
            }
        }
        assert_eq!(counts(fixture), (0, 0, 100));
        assert_eq!(states(fixture), vec![(6, "half-open"); 100]);
    });
}

#[test]
fn reset_from_outside_that_nobody_heeds_does_not_end_a_connection() {
    with_fixture(&Sizes::default(), |fixture| {
        open(fixture, Proto::Tcp, 40_000, true);
        let nat = fixture.nat_of(6, 40_000);
        let segment = |flags| Frame::reply(Proto::Tcp, remote(fixture), nat).tcp_flags(flags).build();
        fixture.run_from_uplink(&segment(RST));
        assert_eq!((states(fixture), counts(fixture)), (vec![(6, "closing")], (0, 0, 1)));
        let goes_on = Frame::new(Proto::Tcp, SocketAddrV4::new(ADDRESS, 40_000), remote(fixture)).tcp_flags(ACK);
        fixture.run_from_ns(&goes_on.build());
        assert_eq!((states(fixture), counts(fixture)), (vec![(6, "established")], (1, 1, 0)));
        fixture.run_from_uplink(&segment(ACK));
        assert_eq!(states(fixture), [(6, "established")], "the reset is forgotten");
    });
}

#[test]
fn forged_fin_or_reset_ends_no_connection_whose_server_speaks_next() {
    let mut sizes = Sizes::default();
    let short = [Timeout::TcpHalfClosed, Timeout::TcpClosing];
    sizes.timeouts.iter_mut().filter(|(which, _)| short.contains(which)).for_each(|(_, seconds)| *seconds = 2);
    with_fixture(&sizes, |fixture| {
        let forged = [(40_000, FIN_ACK), (40_001, RST)];
        for (port, flags) in forged {
            open(fixture, Proto::Tcp, port, true);
            let nat = fixture.nat_of(6, port);
            let segment = |flags| Frame::reply(Proto::Tcp, remote(fixture), nat).tcp_flags(flags);
            fixture.run_from_uplink(&segment(flags).build());
            let data = fixture.run_from_uplink(&segment(ACK).build());
            assert_eq!(data.verdict, REDIRECT);
        }
        // Another one, which nobody speaks for any more, tells that the short time is over.
        open(fixture, Proto::Tcp, 40_002, true);
        let nat = fixture.nat_of(6, 40_002);
        fixture.run_from_uplink(&Frame::reply(Proto::Tcp, remote(fixture), nat).tcp_flags(FIN_ACK).build());
        let two_are_left = || Ok((states(fixture).len() == 2).then_some(()));
        wait_until(LIMIT, "the third connection ends", two_are_left).unwrap();
        assert_eq!(states(fixture), vec![(6, "established"); 2]);
        assert_eq!(counts(fixture), (2, 2, 0));
    });
}

#[test]
fn syn_over_a_connection_closed_by_half_starts_anew() {
    with_fixture(&Sizes::default(), |fixture| {
        open(fixture, Proto::Tcp, 40_000, true);
        let inside = SocketAddrV4::new(ADDRESS, 40_000);
        fixture.run_from_ns(&Frame::new(Proto::Tcp, inside, remote(fixture)).tcp_flags(FIN_ACK).build());
        assert_eq!(states(fixture), [(6, "established")]);
        fixture.run_from_ns(&Frame::new(Proto::Tcp, inside, remote(fixture)).build());
        assert_eq!((states(fixture), counts(fixture)), (vec![(6, "half-open")], (0, 0, 1)));
        open(fixture, Proto::Tcp, 40_000, true);
        let nat = fixture.nat_of(6, 40_000);
        // No FIN is left of the old one: the other side's alone does not close it.
        fixture.run_from_uplink(&Frame::reply(Proto::Tcp, remote(fixture), nat).tcp_flags(FIN_ACK).build());
        assert_eq!((states(fixture), counts(fixture)), (vec![(6, "established")], (1, 1, 0)));
    });
}

#[test]
fn closed_connection_is_reopened_by_a_syn_at_its_old_port() {
    with_fixture(&Sizes::default(), |fixture| {
        open(fixture, Proto::Tcp, 40_000, true);
        let nat = fixture.nat_of(6, 40_000);
        let inside = SocketAddrV4::new(ADDRESS, 40_000);
        fixture.run_from_ns(&Frame::new(Proto::Tcp, inside, remote(fixture)).tcp_flags(RST).build());
        assert_eq!(states(fixture), [(6, "closing")]);
        fixture.run_from_ns(&Frame::new(Proto::Tcp, inside, remote(fixture)).build());
        assert_eq!((states(fixture), counts(fixture)), (vec![(6, "half-open")], (0, 0, 1)), "not answered yet");
        open(fixture, Proto::Tcp, 40_000, true);
        assert_eq!((fixture.nat_of(6, 40_000), counts(fixture)), (nat, (1, 1, 0)));
    });
}

#[test]
fn endpoint_has_no_more_flows_than_it_may() {
    let sizes = Sizes { max_flows_per_endpoint: 10, ..Sizes::default() };
    with_fixture(&sizes, |fixture| {
        for port in 40_000..40_009 {
            open(fixture, Proto::Tcp, port, true);
        }
        // Two handshakes begin while there is one place: the second stays half-open, and works all the same.
        for port in [41_000, 41_001] {
            open(fixture, Proto::Tcp, port, false);
        }
        for port in [41_000, 41_001] {
            open(fixture, Proto::Tcp, port, true);
        }
        assert_eq!(counts(fixture), (10, 10, 1));
        let inside = SocketAddrV4::new(ADDRESS, 42_000);
        let refused = fixture.run_from_ns(&Frame::new(Proto::Tcp, inside, remote(fixture)).build());
        assert_ne!(refused.verdict, REDIRECT);
        assert_eq!(fixture.counted("EndpointFull"), 1);
        fixture.run_from_ns(
            &Frame::new(Proto::Tcp, SocketAddrV4::new(ADDRESS, 40_000), remote(fixture)).tcp_flags(RST).build(),
        );
        open(fixture, Proto::Tcp, 42_000, true);
        assert_eq!(counts(fixture), (10, 10, 2));
    });
}

/// What the host sends, or forwards for others, becomes a flow where an endpoint has its port: whoever can cause both must not fill the table.
#[test]
fn host_has_no_more_flows_than_an_endpoint_may() {
    let sizes = Sizes { max_flows: 20, max_flows_per_endpoint: 10, ..Sizes::default() };
    with_fixture(&sizes, |fixture| {
        for port in 20_000..20_015 {
            open(fixture, Proto::Tcp, port, false);
            let taken = fixture.nat_of(6, port);
            let by_host = |flags| {
                let frame = Frame::new(Proto::Tcp, taken, remote(fixture)).tcp_flags(flags).build();
                fixture.run_to_uplink(0, &frame).packet
            };
            let sent = by_host(SYN);
            let moved = SocketAddrV4::new(*taken.ip(), u16::from_be_bytes([sent[34], sent[35]]));
            assert_ne!(moved, taken, "the port is the endpoint's");
            fixture.run_from_uplink(&Frame::reply(Proto::Tcp, remote(fixture), moved).tcp_flags(SYN_ACK).build());
            by_host(ACK);
        }
        assert_eq!(fixture.dataplane.alloc().unwrap().established, 10);
        for port in 40_000..40_010 {
            open(fixture, Proto::Tcp, port, true);
        }
        assert_eq!(counts(fixture).1, 10, "there is room for others");
    });
}

#[test]
fn port_of_a_half_open_flow_is_taken_over_when_no_other_is_free() {
    let sizes = Sizes { nat_ports: (2_000, 2_003), ..Sizes::default() };
    with_fixture(&sizes, |fixture| {
        for port in 40_000..40_003 {
            open(fixture, Proto::Tcp, port, true);
        }
        open(fixture, Proto::Tcp, 40_003, false);
        let nat = fixture.nat_of(6, 40_003);
        open(fixture, Proto::Tcp, 40_004, true);
        assert_eq!((fixture.nat_of(6, 40_004), counts(fixture)), (nat, (4, 4, 0)));
    });
}

#[test]
fn full_table_keeps_the_old_flows_and_new_ones_half_open() {
    let sizes = Sizes { max_flows: 20, ..Sizes::default() };
    with_fixture(&sizes, |fixture| {
        for port in 40_000..40_020 {
            open(fixture, Proto::Tcp, port, true);
        }
        open(fixture, Proto::Tcp, 41_000, true);
        assert_eq!((fixture.counted("TableFull"), counts(fixture)), (0, (20, 20, 1)));
        // A connection that closes makes room.
        let inside = SocketAddrV4::new(ADDRESS, 40_000);
        let nat = fixture.nat_of(6, 40_000);
        fixture.run_from_ns(&Frame::new(Proto::Tcp, inside, remote(fixture)).tcp_flags(FIN_ACK).build());
        fixture.run_from_uplink(&Frame::reply(Proto::Tcp, remote(fixture), nat).tcp_flags(FIN_ACK).build());
        assert_eq!(counts(fixture), (19, 19, 2));
        let inside = SocketAddrV4::new(ADDRESS, 41_000);
        fixture.run_from_ns(&Frame::new(Proto::Tcp, inside, remote(fixture)).tcp_flags(ACK).build());
        assert_eq!(counts(fixture), (20, 20, 1));
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
        // That there was none a moment ago is remembered for that moment.
        let gets_it = || Ok((fixture.run_from_ns(&fifth).verdict == REDIRECT).then_some(()));
        wait_until(LIMIT, "the port is taken over", gets_it).unwrap();
        assert_eq!(fixture.nat_of(6, 40_004), nat);
    });
}
