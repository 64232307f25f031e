//! Latencies of many packets: quantiles of a log-linear histogram.

use forwarder_common::{
    abi::LatencyTally,
    latency::{BUCKETS, bounds},
};

/// What was measured of one direction, in some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    /// Packets chosen to be measured, where that is known: on the way out.
    pub started: u64,
    /// Packets measured.
    pub measured: u64,
    /// Packets left out because another one under way looked the same.
    pub ambiguous: u64,
    /// Packets that the measured ones stand for.
    pub packets: u64,
    /// Sum of their latencies, nanoseconds.
    pub sum_ns: u64,
    /// The longest, nanoseconds.
    pub max_ns: u64,
    /// Packets by latency; see [`bounds`].
    buckets: Vec<u64>,
}

impl Default for Distribution {
    fn default() -> Self {
        Self { started: 0, measured: 0, ambiguous: 0, packets: 0, sum_ns: 0, max_ns: 0, buckets: vec![0; BUCKETS] }
    }
}

impl From<&LatencyTally> for Distribution {
    fn from(tally: &LatencyTally) -> Self {
        let LatencyTally { started, measured, ambiguous, packets, sum_ns, max_ns, _pad, buckets } = tally;
        Self {
            started: *started,
            measured: *measured,
            ambiguous: *ambiguous,
            packets: *packets,
            sum_ns: *sum_ns,
            max_ns: (*max_ns).into(),
            buckets: buckets.to_vec(),
        }
    }
}

impl Distribution {
    /// What was added since `earlier`. The longest is known to the width of a bucket only, unless it is the longest of all.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let less = |now: u64, before: u64| now.saturating_sub(before);
        let buckets: Vec<u64> =
            self.buckets.iter().zip(&earlier.buckets).map(|(now, before)| less(*now, *before)).collect();
        let longest = buckets.iter().rposition(|count| *count > 0).map_or(0, |last| bounds(last).1.min(self.max_ns));
        Self {
            started: less(self.started, earlier.started),
            measured: less(self.measured, earlier.measured),
            ambiguous: less(self.ambiguous, earlier.ambiguous),
            packets: less(self.packets, earlier.packets),
            sum_ns: less(self.sum_ns, earlier.sum_ns),
            max_ns: if self.max_ns > earlier.max_ns { self.max_ns } else { longest },
            buckets,
        }
    }

    /// Adds what was measured elsewhere.
    pub fn add(&mut self, other: &Self) {
        self.started += other.started;
        self.measured += other.measured;
        self.ambiguous += other.ambiguous;
        self.packets += other.packets;
        self.sum_ns += other.sum_ns;
        self.max_ns = self.max_ns.max(other.max_ns);
        for (own, other) in self.buckets.iter_mut().zip(&other.buckets) {
            *own += other;
        }
    }

    /// Packets chosen that did not arrive, or not yet. Packets arrive that began before the time that this is about: never
    /// negative.
    #[must_use]
    pub fn unmatched(&self) -> u64 {
        self.started.saturating_sub(self.measured + self.ambiguous)
    }

    /// The latency that a share of the packets does not exceed, nanoseconds: within 1/64, and never above the longest. None
    /// without packets.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<u64> {
        let counted: u64 = self.buckets.iter().sum();
        if counted == 0 {
            return None;
        }
        let rank = ((counted as f64 * share).ceil() as u64).clamp(1, counted);
        let mut below = 0;
        let found = self.buckets.iter().position(|count| {
            below += count;
            below >= rank
        })?;
        let (low, high) = bounds(found);
        Some((low + (high - low) / 2).min(self.max_ns))
    }

    /// The mean, nanoseconds; none without packets.
    #[must_use]
    pub fn mean(&self) -> Option<u64> {
        self.sum_ns.checked_div(self.packets)
    }

    /// The buckets that have packets: smallest and largest latency, nanoseconds, and how many packets.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64, u64)> {
        let filled = self.buckets.iter().enumerate().filter(|(_, count)| **count > 0);
        filled.map(|(index, count)| {
            let (low, high) = bounds(index);
            (low, high, *count)
        })
    }
}

#[cfg(test)]
mod tests {
    use forwarder_common::latency::bucket;
    use proptest::prelude::*;

    use super::*;

    fn of(latencies: &[u64]) -> Distribution {
        let mut all = Distribution::default();
        for &ns in latencies {
            all.started += 1;
            all.measured += 1;
            all.packets += 1;
            all.sum_ns += ns;
            all.max_ns = all.max_ns.max(ns);
            all.buckets[bucket(ns)] += 1;
        }
        all
    }

    #[test]
    fn nothing_has_no_quantile() {
        let nothing = Distribution::default();
        assert_eq!((nothing.quantile(0.5), nothing.mean(), nothing.buckets().count()), (None, None, 0));
    }

    #[test]
    fn what_came_before_does_not_count() {
        let before = of(&[1000, 2_000_000]);
        let mut now = before.clone();
        now.add(&of(&[5000, 5001, 5002]));
        let since = now.since(&before);
        assert_eq!((since.measured, since.packets, since.unmatched()), (3, 3, 0));
        assert!((4900..5100).contains(&since.quantile(0.5).unwrap()));
        assert!((5002..5200).contains(&since.max_ns), "{}", since.max_ns);
        now.add(&of(&[3_000_000]));
        assert_eq!(now.since(&before).max_ns, 3_000_000, "the longest of all is exact");
    }

    #[test]
    fn packets_that_never_arrive_are_unmatched() {
        let mut all = of(&[100; 5]);
        all.started += 3;
        all.ambiguous = 1;
        assert_eq!(all.unmatched(), 2);
        all.started = 0;
        assert_eq!(all.unmatched(), 0, "they began before");
    }

    proptest! {
        #[test]
        fn quantiles_are_those_of_the_sorted_values(
            mut values in proptest::collection::vec(1u64..10_000_000, 1..300), share in 0.0f64..=1.0,
        ) {
            let found = of(&values).quantile(share).unwrap();
            values.sort_unstable();
            let rank = ((values.len() as f64 * share).ceil() as usize).clamp(1, values.len());
            let exact = values[rank - 1];
            prop_assert!(found.abs_diff(exact) <= exact / 32 + 1, "{found} is not {exact}");
            prop_assert!(found <= *values.last().unwrap());
        }
    }
}
