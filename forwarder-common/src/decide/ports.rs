//! Which external ports are tried for a flow, in which order.
//!
//! The internal port itself where it lies in the range; otherwise the range holds the ephemeral ports of one namespace
//! one to one, rotated by a secret (RFC 6056 §3.3.3): the same socket gets the same port again after its flow was lost, and
//! consecutive connections of one namespace never collide with each other. Then one candidate at random in each of the strata
//! into which the range is divided: what is taken lies in runs, because hosts number their sockets in order, and a walk with
//! a fixed step meets nothing but taken ports when it falls into step with them.

mod share;

use crate::abi::RETRY_CLASSES;

pub use share::{Shares, eviction_rank};

/// First of the ports that flows of TCP and UDP from ports below [`UNPRIVILEGED`] get, whatever the NAT range is: some servers answer
/// nobody else, as those of NFS and rlogin do (RFC 4787 REQ-3a). 512 is where `rresvport` begins; below are the ports of services.
pub const PRIVILEGED: u16 = 512;
/// The first port for which a socket needs no privilege.
pub const UNPRIVILEGED: u16 = 1024;

/// First and last external port for a flow from internal `port` (host byte order), where `min` and `max` are those of the NAT range;
/// `has_ports` says that the number is one of TCP or UDP.
#[inline(always)]
#[must_use]
pub const fn range_for(has_ports: bool, port: u16, min: u16, max: u16) -> (u16, u16) {
    if has_ports && port < UNPRIVILEGED { (PRIVILEGED, UNPRIVILEGED - 1) } else { (min, max) }
}

/// Whether a flow may have `port` (host byte order) outside, where `min` and `max` are those of the NAT range.
#[inline(always)]
#[must_use]
pub const fn may_be_external(port: u16, min: u16, max: u16) -> bool {
    let privileged = port.wrapping_sub(PRIVILEGED) < UNPRIVILEGED - PRIVILEGED;
    privileged || port >= min && port <= max
}

/// The place of an external port among all of them: those of the NAT range first.
#[inline(always)]
#[must_use]
pub const fn place(port: u16, min: u16, max: u16) -> u32 {
    let offset = (port as u32).wrapping_sub(min as u32);
    if port >= min && port <= max {
        return offset;
    }
    count(min, max)
        .wrapping_sub((UNPRIVILEGED - PRIVILEGED) as u32)
        .wrapping_add((port.wrapping_sub(PRIVILEGED)) as u32)
}

/// How many places there are.
#[inline(always)]
#[must_use]
pub const fn count(min: u16, max: u16) -> u32 {
    (max as u32).wrapping_sub(min as u32).wrapping_add(1).wrapping_add((UNPRIVILEGED - PRIVILEGED) as u32)
}

/// Candidates that are tried at most: at 90 % fill, one search in a million finds none.
pub const MAX_PROBES: u32 = 128;

/// The class of a search that found no port.
pub const EXHAUSTED: u32 = RETRY_CLASSES as u32 - 1;

/// The class of a search that found a port after `retries` failed attempts: the bits that the number needs.
#[inline(always)]
#[must_use]
pub const fn retry_class(retries: u32) -> u32 {
    let bits = u32::BITS - retries.leading_zeros();
    if bits < EXHAUSTED { bits } else { EXHAUSTED - 1 }
}

/// The sequence of candidates for one flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Candidates {
    min: u32,
    size: u32,
    first: u32,
    spread: u32,
}

/// From stratum to stratum: about the golden part of [`MAX_PROBES`], and a prime, so that all strata come by.
const STRIDE: u32 = 79;

impl Candidates {
    /// Candidates in `min..=max` (host byte order) for `port`. `seed` is the secret mixed with the endpoint, `spread` a hash
    /// of the flow.
    #[inline(always)]
    #[must_use]
    pub const fn new(min: u16, max: u16, port: u16, seed: u32, spread: u32) -> Self {
        let (min, max, port) = (min as u32, max as u32, port as u32);
        let size = if max < min { 1 } else { max.wrapping_sub(min).wrapping_add(1) };
        let first = if port >= min && port <= max {
            port.wrapping_sub(min)
        } else {
            // The sum is at most 65535 + size: no overflow.
            remainder(port.wrapping_add(remainder(seed, size)), size)
        };
        Self { min, size, first, spread }
    }

    /// The candidate of attempt `n`, counted from 0, in host byte order.
    #[inline(always)]
    #[must_use]
    pub const fn nth(&self, n: u32) -> u16 {
        let offset = if n == 0 { 0 } else { self.in_stratum(n) };
        self.min.wrapping_add(remainder(self.first.wrapping_add(offset), self.size)) as u16
    }

    /// A position in a stratum, counted from the first candidate: each `n` has one of its own, so no candidate comes twice.
    ///
    /// Strata are taken far apart, so that a few attempts leave a run of taken ports behind, however long it is.
    #[inline(always)]
    const fn in_stratum(&self, n: u32) -> u32 {
        let wide = self.size / MAX_PROBES;
        let wide = if wide == 0 { 1 } else { wide };
        let stratum = remainder(n.wrapping_mul(STRIDE), self.count());
        // There are as many strata as the stride in one case: then it would come back to the same one.
        let stratum = if self.count() == STRIDE { n } else { stratum };
        // The odd constants of MurmurHash3's finaliser.
        let mixed = (self.spread ^ n.wrapping_mul(0x9e37_79b1)).wrapping_mul(0x85eb_ca6b);
        let mixed = (mixed ^ mixed >> 16).wrapping_mul(0xc2b2_ae35);
        stratum.wrapping_mul(wide).wrapping_add(remainder(mixed >> 8, wide))
    }

    /// How many different candidates there are.
    #[inline(always)]
    #[must_use]
    pub const fn count(&self) -> u32 {
        if self.size < MAX_PROBES { self.size } else { MAX_PROBES }
    }
}

/// `a % b`, and 0 for a `b` of 0: no panic for the verifier to follow.
#[inline(always)]
const fn remainder(a: u32, b: u32) -> u32 {
    match a.checked_rem(b) {
        Some(rest) => rest,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{collections::HashSet, vec::Vec};

    #[test]
    fn internal_port_in_range_comes_first() {
        assert_eq!(Candidates::new(1024, 29999, 8080, 77, 5).nth(0), 8080);
    }

    #[test]
    fn privileged_ports_stay_privileged() {
        for port in 1..UNPRIVILEGED {
            let (min, max) = range_for(true, port, 1024, 29_999);
            let candidates = Candidates::new(min, max, port, 77, 5);
            let all: HashSet<u16> = (0..candidates.count()).map(|n| candidates.nth(n)).collect();
            assert!(all.iter().all(|port| (PRIVILEGED..UNPRIVILEGED).contains(port)), "{port}");
            assert!(port < PRIVILEGED || candidates.nth(0) == port, "{port}");
        }
        assert_eq!(range_for(true, 1024, 5000, 6000), (5000, 6000));
        assert_eq!(range_for(false, 700, 5000, 6000), (5000, 6000), "identifiers of echo are no ports");
    }

    #[test]
    fn every_external_port_has_a_place_of_its_own() {
        for (min, max) in [(1024, 29_999), (5000, 5000), (600, 700), (1, 65_535)] {
            let external: Vec<u16> = (0..=u16::MAX).filter(|port| may_be_external(*port, min, max)).collect();
            let places: HashSet<u32> = external.iter().map(|port| place(*port, min, max)).collect();
            assert_eq!(places.len(), external.len());
            assert!(places.iter().all(|place| *place < count(min, max)));
        }
    }

    #[test]
    fn ephemeral_ports_of_one_namespace_do_not_collide() {
        let first: HashSet<u16> =
            (32768..=60999).map(|port| Candidates::new(1024, 29999, port, 12345, 0).nth(0)).collect();
        assert_eq!(first.len(), 60999 - 32768 + 1);
    }

    #[test]
    fn retries_are_classed_by_powers_of_two() {
        let classes = [(0, 0), (1, 1), (2, 2), (3, 2), (4, 3), (63, 6), (64, 7), (MAX_PROBES - 1, 7)];
        for (retries, class) in classes {
            assert_eq!(retry_class(retries), class, "{retries} retries");
        }
    }

    /// Ports that `clients` clients get towards one destination, each opening sockets as Linux numbers them: every other port
    /// of 32768–60999 from a random start on. Returns how many of the range were taken when one got none.
    fn filled(min: u16, max: u16, clients: u32) -> f64 {
        let mut taken = HashSet::new();
        let size = u32::from(max - min) + 1;
        for opened in 0..size {
            let (client, number) = (opened % clients, opened / clients);
            let start = client.wrapping_mul(0x85eb_ca6b) % 28_232;
            let port = 32_768 + (start + 2 * number + number / 14_116) % 28_232;
            let spread = opened.wrapping_mul(0x9e37_79b1);
            let seed = 12345 ^ client.wrapping_mul(0x9e37_79b1);
            let candidates = Candidates::new(min, max, port as u16, seed, spread);
            let free = (0..candidates.count()).map(|n| candidates.nth(n)).find(|port| !taken.contains(port));
            match free {
                Some(port) => taken.insert(port),
                None => return f64::from(opened) / f64::from(size),
            };
        }
        1.0
    }

    #[test]
    fn run_of_taken_ports_is_left_behind_soon() {
        for (min, max) in [(1024, 29_999), (2_000, 2_999), (2_000, 2_099), (2_000, 2_078), (2_000, 2_019)] {
            let size = u32::from(max - min) + 1;
            for spread in 0..1_000_u32 {
                let candidates = Candidates::new(min, max, min, 0, spread.wrapping_mul(0x9e37_79b1));
                // Half of the range, from the first candidate on.
                let is_free = |n: &u32| u32::from(candidates.nth(*n) - min) >= size / 2;
                let attempts = (0..candidates.count()).find(is_free).expect("half of the range is free");
                assert!(attempts < 20 || size == STRIDE, "{attempts} attempts in {min}–{max}, {spread}");
            }
        }
    }

    #[test]
    fn sixteen_clients_fill_the_range() {
        for (min, max) in [(1024, 29_999), (1024, 65_535), (2_000, 2_999), (2_000, 2_099)] {
            let filled = filled(min, max, 16);
            assert!(filled > 0.9, "the first failure in {min}–{max} came at {filled}");
        }
    }

    proptest! {
        #[test]
        fn candidates_stay_in_range_and_differ(ends: [u16; 2], port: u16, seed: u32, spread: u32) {
            let (min, max) = (ends[0].min(ends[1]), ends[0].max(ends[1]));
            let candidates = Candidates::new(min, max, port, seed, spread);
            let tried: HashSet<u16> = (0..candidates.count()).map(|n| candidates.nth(n)).collect();
            prop_assert!(tried.iter().all(|port| (min..=max).contains(port)));
            prop_assert_eq!(tried.len() as u32, candidates.count());
        }
    }
}
