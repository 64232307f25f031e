//! Which external ports are tried for a flow, in which order.
//!
//! The internal port itself where it lies in the range; otherwise the range holds the ephemeral ports of one namespace
//! one to one, rotated by a secret (RFC 6056 §3.3.3): the same socket gets the same port again after its flow was lost, and
//! consecutive connections of one namespace never collide with each other. Then a probe with a step of its own per flow.

/// Candidates that are tried at most.
pub const MAX_PROBES: u32 = 128;

/// Classes of the histogram of retries: none, 1, 2–3, 4–7, … 64–127, and in the last one the failures.
pub const RETRY_CLASSES: usize = 9;
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
    step: u32,
}

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
        // Steps below size / MAX_PROBES never come back to a port already tried.
        let widest = size / MAX_PROBES;
        let step = if widest < 2 { 1 } else { 1 + remainder(spread, widest) };
        Self { min, size, first, step }
    }

    /// The candidate of attempt `n`, counted from 0, in host byte order.
    #[inline(always)]
    #[must_use]
    pub const fn nth(&self, n: u32) -> u16 {
        self.min.wrapping_add(remainder(self.first.wrapping_add(n.wrapping_mul(self.step)), self.size)) as u16
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
    use std::collections::HashSet;

    #[test]
    fn internal_port_in_range_comes_first() {
        assert_eq!(Candidates::new(1024, 29999, 8080, 77, 5).nth(0), 8080);
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

    proptest! {
        #[test]
        fn candidates_stay_in_range_and_differ(min: u16, max: u16, port: u16, seed: u32, spread: u32) {
            prop_assume!(min <= max);
            let candidates = Candidates::new(min, max, port, seed, spread);
            let tried: HashSet<u16> = (0..candidates.count()).map(|n| candidates.nth(n)).collect();
            prop_assert!(tried.iter().all(|port| (min..=max).contains(port)));
            prop_assert_eq!(tried.len() as u32, candidates.count());
        }
    }
}
