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

/// One metric of one variant; each list has one entry for each round.
#[derive(Clone, Debug)]
pub(super) struct Rounds {
    /// The figure; see [`Metric`].
    pub(super) values: Vec<f64>,
    /// [`QUANTILES`], microseconds of half a round trip, or of a whole connection.
    pub(super) quantiles: Vec<[f64; QUANTILES.len()]>,
    /// All rounds together, nanoseconds of a whole round trip.
    pub(super) merged: Option<Histogram<u64>>,
    /// CPU time, nanoseconds; NaN where the kernel did not tell.
    pub(super) cpu: Vec<f64>,
    /// Share of datagrams lost.
    pub(super) lost: Vec<f64>,
}

/// Everything that was measured.
#[derive(Clone, Debug, Default)]
pub(super) struct Records(BTreeMap<(Variant, Metric), Rounds>);

impl Records {
    /// Takes the next round of a metric.
    pub(super) fn add(&mut self, variant: Variant, metric: Metric, sample: &Sample) {
        let empty =
            Rounds { values: Vec::new(), quantiles: Vec::new(), merged: None, cpu: Vec::new(), lost: Vec::new() };
        let rounds = self.0.entry((variant, metric)).or_insert(empty);
        let unit = unit(metric);
        if let Some(latency) = &sample.latency {
            rounds.quantiles.push(QUANTILES.map(|quantile| latency.value_at_quantile(quantile) as f64 / unit));
            match &mut rounds.merged {
                // Both have the same bounds: one function makes them. What did not fit would be missing from the plot alone.
                Some(merged) => drop(merged.add(latency)),
                None => rounds.merged = Some(latency.clone()),
            }
        }
        rounds.values.push(sample.figure(metric));
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
