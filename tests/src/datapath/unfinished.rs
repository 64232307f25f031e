//! Slots whose end a map has refused: nothing is lost, and the expiry timer goes on with them.

use std::{net::SocketAddrV4, time::Duration};

use forwarder::{
    dataplane::{Contents, Sizes},
    testbed::wait_until,
};
use forwarder_common::{
    abi::{Timeout, endpoint_flags},
    wire::l4::Proto,
};

use super::{
    fixture::{ADDRESS, Fixture, with_endpoints, with_fixture},
    frame::{Frame, source},
};

const REDIRECT: i32 = 7;
const LIMIT: Duration = Duration::from_secs(30);

/// Room for four flows, which end after a second.
fn small() -> Sizes {
    let mut sizes = Sizes { max_flows: 2, max_pending: 2, ..Sizes::default() };
    sizes.timeouts.iter_mut().filter(|(which, _)| *which == Timeout::UdpHalfOpen).for_each(|(_, time)| *time = 1);
    sizes
}

#[track_caller]
fn opens(fixture: &Fixture, port: u16) -> SocketAddrV4 {
    opens_to(fixture, port, 53)
}

#[track_caller]
fn opens_to(fixture: &Fixture, port: u16, remote: u16) -> SocketAddrV4 {
    let (inside, remote) = (SocketAddrV4::new(ADDRESS, port), SocketAddrV4::new(fixture.outside, remote));
    let out = fixture.run_from_ns(&Frame::new(Proto::Udp, inside, remote).build());
    assert_eq!(out.verdict, REDIRECT, "{inside}");
    source(&out.packet)
}

#[track_caller]
fn comes_to(fixture: &Fixture, what: &str, expected: Contents) {
    let found = || Ok((fixture.dataplane.contents()? == expected).then_some(()));
    let result = wait_until(LIMIT, what, found);
    assert!(result.is_ok(), "{what}: {:?}", fixture.dataplane.contents());
}

/// As many flows as there are slots; there is room for two mappings.
#[track_caller]
fn assert_every_slot_serves(fixture: &Fixture) {
    for remote in [53, 54] {
        (6_000..6_002).for_each(|port| _ = opens_to(fixture, port, remote));
    }
    assert_eq!(fixture.dataplane.contents().unwrap().flows, 4);
}

#[test]
fn slot_that_the_queue_refuses_is_offered_again() {
    with_fixture(&small(), |fixture| {
        opens(fixture, 5_000);
        fixture.dataplane.fill_queue().unwrap();
        comes_to(fixture, "the flow ends, and its slot stays", Contents { unfinished: 1, ..Contents::default() });
        fixture.dataplane.empty_queue().unwrap();
        comes_to(fixture, "the slot is given back", Contents::default());
        assert_every_slot_serves(fixture);
    });
}

#[test]
fn tuples_that_the_index_keeps_are_taken_out_later() {
    with_fixture(&small(), |fixture| {
        let nat = opens(fixture, 5_000);
        fixture.dataplane.leave_unfinished().unwrap();
        comes_to(fixture, "the tuples go", Contents::default());
        assert_eq!(opens(fixture, 5_000), nat, "the port is free");
        comes_to(fixture, "the flow ends", Contents::default());
        assert_every_slot_serves(fixture);
    });
}

#[test]
fn mapping_that_is_kept_ends_later() {
    with_endpoints(&small(), &[endpoint_flags::NAT_EIM], |fixture| {
        for released in [false, true] {
            let nat = opens(fixture, 5_000);
            assert_eq!(fixture.dataplane.contents().unwrap().mappings, 1);
            // Perhaps the flow's part in the use of the port was given back already.
            if released {
                fixture.dataplane.release_ports().unwrap();
            }
            fixture.dataplane.leave_unfinished().unwrap();
            comes_to(fixture, "the mapping goes", Contents::default());
            assert_eq!(opens(fixture, 5_000), nat, "the port is free");
            comes_to(fixture, "the flow ends", Contents::default());
        }
        assert_every_slot_serves(fixture);
    });
}
