//! What the rounds gave, as they came.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::{
    Metric,
    load::{HALF_ROUND_TRIP, Sample},
    plan::Variant,
};

/// Quantiles that are kept of each round.
pub(super) const QUANTILES: [f64; 5] = [0.5, 0.9, 0.99, 0.999, 1.0];
/// Of delay variation.
const MOST_CHANGES: f64 = 0.99;
const MOST_DELAYS: f64 = 0.999;

/// One metric of one variant; each list has one entry for each round.
#[derive(Clone, Debug, Default)]
pub(super) struct Rounds {
    /// The figure; see [`Metric`].
    pub(super) values: Vec<f64>,
    /// Round trips, connections, datagrams or bits per second, also where that is not the figure.
    pub(super) per_second: Vec<f64>,
    /// [`QUANTILES`], microseconds of half a round trip, or of a whole connection.
    pub(super) quantiles: Vec<[f64; QUANTILES.len()]>,
    /// How much the times of a round differ.
    pub(super) variation: Vec<Variation>,
    /// All rounds together, nanoseconds of a whole round trip.
    pub(super) merged: Option<Histogram<u64>>,
    /// CPU time, nanoseconds; NaN where the kernel did not tell.
    pub(super) cpu: Vec<f64>,
    /// Share of datagrams lost.
    pub(super) lost: Vec<f64>,
}

/// How much the times of one round differ, in the units of its quantiles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Variation {
    /// The 99.9th percentile above the least: the packet delay variation of RFC 8219, section 7.3.1, and of RFC 5481.
    pub(super) above_least: f64,
    /// The 99th percentile above the median.
    pub(super) above_median: f64,
    /// The 99th percentile of how far two in a row lie apart (RFC 3393; RFC 8219, section 7.3.2); NaN of fewer than two.
    pub(super) in_a_row: f64,
}

impl Variation {
    fn of(latency: &Histogram<u64>, changes: Option<&Histogram<u64>>, unit: f64) -> Self {
        let at = |share| latency.value_at_quantile(share);
        let changes = changes.filter(|changes| !changes.is_empty());
        Self {
            above_least: at(MOST_DELAYS).saturating_sub(latency.min()) as f64 / unit,
            above_median: at(0.99).saturating_sub(at(0.5)) as f64 / unit,
            in_a_row: changes.map_or(f64::NAN, |changes| changes.value_at_quantile(MOST_CHANGES) as f64 / unit),
        }
    }
}

/// Everything that was measured.
#[derive(Clone, Debug, Default)]
pub(super) struct Records(BTreeMap<(Variant, Metric), Rounds>);

impl Records {
    /// Takes the next round of a metric.
    pub(super) fn add(&mut self, variant: Variant, metric: Metric, sample: &Sample) {
        let rounds = self.0.entry((variant, metric)).or_default();
        let unit = unit(metric);
        if let Some(latency) = &sample.latency {
            rounds.quantiles.push(QUANTILES.map(|quantile| latency.value_at_quantile(quantile) as f64 / unit));
            rounds.variation.push(Variation::of(latency, sample.changes.as_ref(), unit));
            match &mut rounds.merged {
                // Both have the same bounds: one function makes them. What did not fit would be missing from the plot alone.
                Some(merged) => drop(merged.add(latency)),
                None => rounds.merged = Some(latency.clone()),
            }
        }
        rounds.values.push(sample.figure(metric));
        rounds.per_second.push(sample.per_second);
        rounds.cpu.push(sample.cpu_ns.unwrap_or(f64::NAN));
        rounds.lost.push(sample.lost);
    }

    /// How often a metric of a variant was measured.
    #[must_use]
    pub(super) fn rounds(&self, variant: Variant, metric: Metric) -> usize {
        self.of(variant, metric).map_or(0, |rounds| rounds.values.len())
    }

    /// What was measured of a metric of a variant.
    #[must_use]
    pub(super) fn of(&self, variant: Variant, metric: Metric) -> Option<&Rounds> {
        self.0.get(&(variant, metric))
    }
}

/// Nanoseconds in the unit in which a metric's times are shown: microseconds of half a round trip, or of a connection.
#[must_use]
pub(super) const fn unit(metric: Metric) -> f64 {
    if metric.is_latency() { HALF_ROUND_TRIP } else { 1_000.0 }
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;

    use super::Variation;

    fn histogram(values: impl IntoIterator<Item = u64>) -> Histogram<u64> {
        let mut histogram = Histogram::new_with_bounds(1, 1_000_000, 3).expect("bounds");
        values.into_iter().for_each(|value| histogram.record(value).expect("it fits"));
        histogram
    }

    #[test]
    fn variation_is_told_against_the_least_the_median_and_the_one_before() {
        // A thousand times of 100, but for 20 of 300 and one of 900.
        let latency = histogram([100; 979].into_iter().chain([300; 20]).chain([900]));
        let changes = histogram([0; 960].into_iter().chain([200; 39]));
        let Variation { above_least, above_median, in_a_row } = Variation::of(&latency, Some(&changes), 2.0);
        assert_eq!((above_least, above_median, in_a_row), (100.0, 100.0, 100.0));
    }

    #[test]
    fn one_exchange_alone_does_not_vary() {
        let Variation { above_least, above_median, in_a_row } =
            Variation::of(&histogram([7]), Some(&histogram([])), 1.0);
        assert_eq!((above_least, above_median), (0.0, 0.0));
        assert!(in_a_row.is_nan());
    }
}
