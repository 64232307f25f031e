//! The flow cache: where its entries stand, and that they go with their flows.

use std::{collections::BTreeSet, net::SocketAddrV4, time::Duration};

use forwarder::{dataplane::Sizes, testbed::wait_until};
use forwarder_common::{
    flow::{cache, hash},
    types::direction::Direction,
    wire::l4::Proto,
};

use super::{
    fixture::{ADDRESS, Fixture, with_fixture},
    frame::{Frame, destination},
};

const REDIRECT: i32 = 7;
const LIMIT: Duration = Duration::from_secs(60);

/// Room for 128 flows.
fn small() -> Sizes {
    Sizes { max_flows: 64, max_pending: 64, ..Sizes::default() }
}

fn opens(fixture: &Fixture, port: u16, remote: u16) {
    let (inside, remote) = (SocketAddrV4::new(ADDRESS, port), SocketAddrV4::new(fixture.outside, remote));
    let run = fixture.run_from_ns(&Frame::new(Proto::Udp, inside, remote).build());
    assert_eq!(run.verdict, REDIRECT, "{inside} to {remote}");
}

#[test]
fn programs_hash_with_the_secret_of_their_host() {
    let secrets = [(); 2].map(|()| {
        let mut secret = [0; 4];
        with_fixture(&Sizes::default(), |fixture| {
            secret = fixture.dataplane.config().unwrap().secret;
            opens(fixture, 5_000, 53);
            let (inside, outside) = (SocketAddrV4::new(ADDRESS, 5_000), SocketAddrV4::new(fixture.outside, 53));
            let nat = fixture.nat_of(Proto::Udp as u8, 5_000);
            let mask = fixture.dataplane.cache_size().unwrap() - 1;
            let expected: BTreeSet<_> = [
                fixture.tuple(Proto::Udp, Direction::Outbound, inside, outside),
                fixture.tuple(Proto::Udp, Direction::Inbound, outside, nat),
            ]
            .map(|tuple| hash(&tuple, &secret))
            .map(|hash| (hash & mask, cache::entry(hash, 1)))
            .into();
            let found: BTreeSet<_> = fixture.dataplane.cache_buckets().unwrap().into_iter().collect();
            assert_eq!(found, expected);
        });
        secret
    });
    assert_ne!(secrets[0], secrets[1], "another host has another secret");
    assert!(secrets.as_flattened().iter().all(|word| *word != 0), "{secrets:x?}");
}

#[test]
fn cache_entries_go_with_their_flows() {
    const FLOWS: u16 = 20_000;
    let mut sizes = small();
    sizes.timeouts.iter_mut().for_each(|(_, seconds)| *seconds = 1);
    with_fixture(&sizes, |fixture| {
        // Most of them make room for the next ones.
        (0..FLOWS).for_each(|number| opens(fixture, 1_024 + number, 53));
        assert!(!fixture.dataplane.cache_buckets().unwrap().is_empty());
        let ended = || Ok(fixture.dataplane.flows()?.is_empty().then_some(()));
        wait_until(LIMIT, "the last flow ends", ended).unwrap();
        assert_eq!(fixture.dataplane.cache_buckets().unwrap(), []);
    });
}

#[test]
fn flows_without_a_place_in_the_cache_are_found_too() {
    // As many flows as there are slots: some buckets have more tuples than places.
    with_fixture(&small(), |fixture| {
        let flows = 0..128_u16;
        flows.clone().for_each(|number| opens(fixture, 1_024 + number, 53));
        let buckets = fixture.dataplane.cache_buckets().unwrap();
        assert!(
            buckets.iter().any(|(_, bucket)| cache::overflows(*bucket)),
            "of 256 tuples in 256 buckets some find no place"
        );
        // Twice: whoever has no place gets one by being used.
        for _ in 0..2 {
            for port in flows.clone().map(|number| 1_024 + number) {
                let nat = fixture.nat_of(Proto::Udp as u8, port);
                let reply = Frame::reply(Proto::Udp, SocketAddrV4::new(fixture.outside, 53), nat).build();
                let back = fixture.run_from_uplink(&reply);
                let inside = SocketAddrV4::new(ADDRESS, port);
                assert_eq!((back.verdict, destination(&back.packet)), (REDIRECT, inside), "the reply to {nat}");
            }
        }
    });
}
