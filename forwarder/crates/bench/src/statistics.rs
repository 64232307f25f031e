//! From rounds to figures: medians with bootstrap confidence intervals, ratios within a round, distributions.
//!
//! The same rounds always give the same figures: the resampling is seeded.

use hdrhistogram::Histogram;

use super::report::Estimate;

/// Samples that are drawn from the rounds.
const RESAMPLES: usize = 2_000;
/// What the interval leaves out at each end: 95 % remain.
const TAIL: f64 = 0.025;
const SEED: u64 = 0x6677_6462_656e_6368;
/// Points of a distribution below its 99th percentile, and for each further nine.
const BODY_POINTS: u32 = 198;
const TAIL_POINTS: u32 = 20;

/// The median; 0 of nothing.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    middle(&mut values.to_vec())
}

/// The median and its 95 % interval by the percentile bootstrap: the rounds are drawn with replacement, as many as there are,
/// and the interval covers the medians of 95 % of the draws. None of nothing.
#[must_use]
pub fn estimate(rounds: &[f64]) -> Option<Estimate> {
    if rounds.is_empty() {
        return None;
    }
    let mut chance = fastrand::Rng::with_seed(SEED);
    let mut draw = vec![0.0; rounds.len()];
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            draw.fill_with(|| rounds[chance.usize(..rounds.len())]);
            middle(&mut draw)
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    let at = |share: f64| medians[((RESAMPLES - 1) as f64 * share).round() as usize];
    Some(Estimate { median: median(rounds), low: at(TAIL), high: at(1.0 - TAIL) })
}

/// Of what `relate` makes of two measurements of the same round; rounds of which it makes nothing finite are left out.
#[must_use]
pub fn paired(these: &[f64], those: &[f64], relate: impl Fn(f64, f64) -> f64) -> Option<Estimate> {
    let related: Vec<f64> =
        these.iter().zip(those).map(|(this, that)| relate(*this, *that)).filter(|value| value.is_finite()).collect();
    estimate(&related)
}

/// The ratio of two measurements of the same round.
#[must_use]
pub fn ratio(these: &[f64], those: &[f64]) -> Option<Estimate> {
    paired(these, those, |this, that| this / that)
}

/// How far the middle half of the rounds lies apart, as a share of the median; 0 of fewer than two.
#[must_use]
pub fn spread(rounds: &[f64]) -> f64 {
    let mut sorted = rounds.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| sorted.get(((sorted.len().saturating_sub(1)) as f64 * share).round() as usize).copied();
    match (at(0.25), at(0.75), median(rounds)) {
        (Some(low), Some(high), middle) if middle != 0.0 => (high - low) / middle.abs(),
        _ => 0.0,
    }
}

/// A distribution as points: the value in units of `unit`, and the share that is at most so much; both rising.
///
/// Half a percent apart up to the 99th percentile, then as many points for each further nine, as far as there are values.
#[must_use]
pub fn cumulative(histogram: &Histogram<u64>, unit: f64) -> Vec<[f64; 2]> {
    if histogram.is_empty() {
        return Vec::new();
    }
    let body = (0..BODY_POINTS).map(|step| f64::from(step) / 200.0);
    let tail = (0..).map(|step: u32| 1.0 - 10_f64.powf(-2.0 - f64::from(step) / f64::from(TAIL_POINTS)));
    let resolution = 1.0 / histogram.len() as f64;
    let shares = body.chain(tail.take_while(|share| 1.0 - share > resolution)).chain([1.0]);
    let mut points: Vec<[f64; 2]> = Vec::new();
    for share in shares {
        let value = histogram.value_at_quantile(share);
        let point = [value as f64 / unit, histogram.quantile_below(value)];
        match points.last_mut() {
            Some(last) if last[0] >= point[0] => {}
            _ => points.push(point),
        }
    }
    points
}

fn middle(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    match (values.get(values.len().wrapping_sub(1) / 2), values.get(values.len() / 2)) {
        (Some(low), Some(high)) => f64::midpoint(*low, *high),
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rounds() -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec(0.1..1e9_f64, 1..30)
    }

    proptest! {
        // Each case draws thousands of samples.
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn intervals_contain_the_median_and_lie_within_the_rounds(rounds in rounds()) {
            let Estimate { median, low, high } = estimate(&rounds).expect("there are rounds");
            let least = rounds.iter().copied().fold(f64::INFINITY, f64::min);
            let most = rounds.iter().copied().fold(0.0, f64::max);
            prop_assert!(least <= low && low <= median && median <= high && high <= most);
        }

        #[test]
        fn estimates_scale_with_the_unit(rounds in rounds(), factor in 0.001..1e3_f64) {
            let scaled: Vec<f64> = rounds.iter().map(|value| value * factor).collect();
            let (one, other) = (estimate(&rounds).expect("rounds"), estimate(&scaled).expect("rounds"));
            for (one, other) in [(one.median, other.median), (one.low, other.low), (one.high, other.high)] {
                prop_assert!((one * factor - other).abs() <= 1e-9 * other);
            }
        }

        #[test]
        fn the_order_of_rounds_does_not_move_the_median(mut rounds in rounds()) {
            let before = median(&rounds);
            rounds.reverse();
            prop_assert_eq!(before, median(&rounds));
        }

        #[test]
        fn what_disturbs_a_round_as_a_whole_leaves_ratios_alone(
            rounds in prop::collection::vec((0.1..1e6_f64, 0.5..2.0_f64), 1..20)
        ) {
            // A path that always takes 1.25 times as long, on a machine that is now fast, now slow.
            let host: Vec<f64> = rounds.iter().map(|(value, noise)| value * noise).collect();
            let path: Vec<f64> = host.iter().map(|value| value * 1.25).collect();
            let ratio = ratio(&path, &host).expect("there are rounds");
            for value in [ratio.median, ratio.low, ratio.high] {
                prop_assert!((value - 1.25).abs() < 1e-9);
            }
        }

        #[test]
        fn distributions_rise_to_one(values in prop::collection::vec(1..1_000_000_u64, 1..3000)) {
            let mut histogram = Histogram::<u64>::new(3).expect("a histogram");
            values.iter().for_each(|value| histogram.record(*value).expect("it fits"));
            let points = cumulative(&histogram, 1.0);
            prop_assert!(points.windows(2).all(|pair| pair[0][0] < pair[1][0] && pair[0][1] <= pair[1][1]));
            prop_assert_eq!(points.last().expect("a point")[1], 1.0);
            let most = values.iter().max().copied().expect("a value");
            prop_assert!((points.last().expect("a point")[0] / most as f64 - 1.0).abs() < 0.002);
        }
    }

    #[test]
    fn medians_of_few_rounds() {
        assert_eq!(median(&[]), 0.0);
        assert_eq!(median(&[3.0]), 3.0);
        assert_eq!(median(&[4.0, 1.0]), 2.5);
        assert_eq!(median(&[4.0, 1.0, 100.0]), 4.0);
        assert_eq!(estimate(&[]), None);
        assert_eq!(estimate(&[3.0]), Some(Estimate { median: 3.0, low: 3.0, high: 3.0 }));
    }

    #[test]
    fn intervals_cover_the_true_median_about_as_often_as_they_say() {
        let mut chance = fastrand::Rng::with_seed(7);
        let covered = (0..200).filter(|_| {
            // Skewed, as times are: the square of a uniform number has the median 0.25.
            let rounds: Vec<f64> = (0..25).map(|_| chance.f64().powi(2)).collect();
            let Estimate { low, high, .. } = estimate(&rounds).expect("there are rounds");
            (low..=high).contains(&0.25)
        });
        let share = covered.count() as f64 / 200.0;
        assert!((0.89..=0.99).contains(&share), "{share}");
    }

    #[test]
    fn intervals_are_the_same_every_time() {
        let rounds = [1.0, 2.0, 8.0, 3.0, 5.0];
        assert_eq!(estimate(&rounds), estimate(&rounds));
    }

    #[test]
    fn a_round_that_makes_no_sense_is_left_out() {
        let estimate = ratio(&[1.0, 6.0, 6.0], &[0.0, 2.0, 3.0]).expect("two rounds are left");
        assert_eq!(estimate.median, 2.5);
        assert_eq!(ratio(&[1.0], &[0.0]), None);
    }

    #[test]
    fn spread_is_of_the_middle_half() {
        assert_eq!(spread(&[]), 0.0);
        assert_eq!(spread(&[5.0]), 0.0);
        assert_eq!(spread(&[10.0, 10.0, 10.0, 10.0, 99.0]), 0.0);
        assert_eq!(spread(&[8.0, 9.0, 10.0, 11.0, 12.0]), 0.2);
    }
}
