//! The timer that ends idle flows: it holds no CPU for long, however many slots there are and however many flows end at once.

use std::{net::SocketAddrV4, time::Duration};

use forwarder::{dataplane::Sizes, testbed::wait_until};
use forwarder_common::{abi::SLICE_LIMIT_NS, wire::l4::Proto};

use super::{
    fixture::{ADDRESS, Fixture, with_fixture},
    frame::Frame,
};

const LIMIT: Duration = Duration::from_secs(600);
const REDIRECT: i32 = 7;
/// Flows that end at about the same time, one in each slot of a large table.
const FLOWS: u32 = 60_000;

/// How often it is tried: a CPU that is not ours may be taken away in the middle of slices.
const ROUNDS: usize = 5;

#[test]
fn slices_are_short_on_a_large_table_of_which_all_ends_at_once() {
    let mut sizes = Sizes { max_flows: 262_144, max_pending: 131_072, ..Sizes::default() };
    for (_, seconds) in &mut sizes.timeouts {
        *seconds = 5;
    }
    with_fixture(&sizes, |fixture| {
        let mut rounds = (0..ROUNDS).map(|_| late_of_all(fixture));
        assert!(rounds.any(|(late, slices)| u64::from(late) * 2 <= slices), "most slices took too long each time");
    });
}

/// How many slices took too long of those in which a table's flows end.
fn late_of_all(fixture: &Fixture) -> (u32, u64) {
    for number in 0..FLOWS {
        // Few enough towards each destination for the ports to suffice.
        let port = 1024 + u16::try_from(number % 20_000).expect("a port");
        let remote = SocketAddrV4::new(fixture.outside, 53 + u16::try_from(number / 20_000).expect("few"));
        let frame = Frame::new(Proto::Udp, SocketAddrV4::new(ADDRESS, port), remote).build();
        assert_eq!(fixture.run_from_ns(&frame).verdict, REDIRECT, "{number}");
    }
    let before = fixture.dataplane.expiry().unwrap();
    let (_, endpoint) = fixture.dataplane.endpoints().unwrap()[0];
    let own = || fixture.dataplane.endpoint_flows(&endpoint);
    let begun = own().unwrap().pending;
    let none = || Ok(own().map(|flows| (flows.established, flows.pending))?.eq(&(0, 0)).then_some(()));
    wait_until(LIMIT, "every flow ends", none).unwrap();
    let after = fixture.dataplane.expiry().unwrap();
    let (slices, late) = (after.slices - before.slices, after.late - before.late);
    println!(
        "{begun} flows ended in {slices} slices, {late} of them longer than {} µs; the longest ever {} µs",
        SLICE_LIMIT_NS / 1000,
        after.longest_ns / 1000
    );
    assert!(after.ended - before.ended >= u64::from(begun));
    // Were all ended at once, there would be one slice.
    assert!(slices >= u64::from(begun) / 192, "{begun} flows ended in {slices} slices");
    (late, slices)
}
