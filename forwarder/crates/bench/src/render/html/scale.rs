//! From values to places.

/// Maps values to pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    how: How,
    from: (f64, f64),
    to: (f64, f64),
}

/// How values are spaced.
#[derive(Clone, Copy, Debug)]
enum How {
    Linear,
    Logarithmic,
}

impl Scale {
    /// Equal differences are equal distances.
    pub(super) fn linear(from: (f64, f64), to: (f64, f64)) -> Self {
        Self { how: How::Linear, from, to }
    }

    /// Equal ratios are equal distances; both ends are above zero.
    pub(super) fn logarithmic(from: (f64, f64), to: (f64, f64)) -> Self {
        Self { how: How::Logarithmic, from: (from.0.log10(), from.1.log10()), to }
    }

    /// The place of a value.
    pub(super) fn place(&self, value: f64) -> f64 {
        let value = match self.how {
            How::Linear => value,
            How::Logarithmic => value.log10(),
        };
        let ((low, high), (start, end)) = (self.from, self.to);
        let share = if high > low { (value - low) / (high - low) } else { 0.0 };
        start + share * (end - start)
    }
}

/// Round values from zero to at least `most`, about five of them.
pub(super) fn linear_ticks(most: f64) -> Vec<f64> {
    if most <= 0.0 || !most.is_finite() {
        return vec![0.0];
    }
    let rough = most / 4.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|step| step * power).find(|step| *step >= rough);
    let step = step.unwrap_or(rough);
    let count = (most / step).ceil() as usize;
    (0..=count).map(|tick| tick as f64 * step).collect()
}

/// Within each power of ten, from close to sparse.
const STEPS: [&[f64]; 5] = [
    &[1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0],
    &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0],
    &[1.0, 2.0, 3.0, 5.0, 7.0],
    &[1.0, 2.0, 5.0],
    &[1.0],
];

/// A logarithmic axis for values of this range: from a round value that is no larger than any of them, and with at most `count`
/// round values, of which it is the first. So the first curve has a figure to its left, too.
pub(super) fn log_axis((low, high): (f64, f64), count: usize) -> ((f64, f64), Vec<f64>) {
    let start = round_values(STEPS[0], (low / 10.0, low)).last().copied().unwrap_or(low);
    let range = (start, high);
    // Sparse ones need not have the first; what would be written into its figure goes.
    let room = (high / start).log10() / count as f64;
    let ticks = |steps: &&[f64]| {
        let others = round_values(steps, range).into_iter().filter(|tick| (tick / start).log10() >= room);
        std::iter::once(start).chain(others).collect::<Vec<_>>()
    };
    let all: Vec<Vec<f64>> = STEPS.iter().map(ticks).collect();
    (range, all.iter().find(|ticks| ticks.len() <= count).or(all.last()).cloned().unwrap_or_default())
}

/// Round values within a range.
fn round_values(steps: &[f64], (low, high): (f64, f64)) -> Vec<f64> {
    let powers = low.log10().floor() as i32..=high.log10().ceil() as i32;
    let value = |step: &f64, power: i32| {
        if power < 0 { step / 10_f64.powi(-power) } else { step * 10_f64.powi(power) }
    };
    let all = powers.flat_map(|power| steps.iter().map(move |step| value(step, power)));
    all.filter(|tick| (low..=high).contains(tick)).collect()
}

/// A share of all as so many nines: half of them is 0.3, 99 % is 2, 99.9 % is 3. It shows a tail as wide as the rest.
pub(super) fn nines(share: f64) -> f64 {
    -(1.0 - share).max(1e-9).log10()
}

/// Moves labels apart that would overlap: places in their order, at least `gap` from each other, none below `most`.
pub(super) fn apart(places: &[f64], gap: f64, most: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by(|a, b| places[*a].total_cmp(&places[*b]));
    let mut moved = places.to_vec();
    let mut next = f64::NEG_INFINITY;
    for index in &order {
        moved[*index] = moved[*index].max(next);
        next = moved[*index] + gap;
    }
    let mut limit = most;
    for index in order.iter().rev() {
        moved[*index] = moved[*index].min(limit);
        limit = moved[*index] - gap;
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::{Scale, apart, linear_ticks, log_axis, nines};

    #[test]
    fn scales_put_the_ends_at_the_ends() {
        let linear = Scale::linear((0.0, 4.0), (10.0, 110.0));
        assert_eq!([0.0, 1.0, 4.0].map(|value| linear.place(value)), [10.0, 35.0, 110.0]);
        let log = Scale::logarithmic((1.0, 100.0), (0.0, 50.0));
        assert_eq!([1.0, 10.0, 100.0].map(|value| log.place(value)), [0.0, 25.0, 50.0]);
        assert_eq!(Scale::linear((3.0, 3.0), (10.0, 20.0)).place(3.0), 10.0, "one value only");
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(linear_ticks(2.86), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(linear_ticks(0.0), [0.0]);
    }

    #[test]
    fn a_logarithmic_axis_begins_with_a_figure_left_of_all_values() {
        let axis = |low, high, count| log_axis((low, high), count);
        assert_eq!(axis(6.5, 26.0, 9), ((6.0, 26.0), vec![6.0, 8.0, 9.0, 10.0, 15.0, 20.0, 25.0]));
        assert_eq!(axis(2.3, 50.0, 10), ((2.0, 50.0), vec![2.0, 3.0, 5.0, 7.0, 10.0, 20.0, 30.0, 50.0]));
        assert_eq!(axis(6.5, 2600.0, 5), ((6.0, 2600.0), vec![6.0, 100.0, 1000.0]));
        assert_eq!(axis(0.31, 0.9, 4), ((0.3, 0.9), vec![0.3, 0.5, 0.7]));
        for (low, high) in [(1.0, 10.0), (0.07, 3.0), (9.99, 10.01), (2.4, 7e6)] {
            let ((start, end), ticks) = axis(low, high, 6);
            assert!(
                start <= low && end == high && ticks.first() == Some(&start) && ticks.len() <= 6,
                "{low}: {ticks:?}"
            );
        }
    }

    #[test]
    fn nines_spread_the_tail() {
        let places = [0.0, 0.9, 0.99, 0.999].map(|share| nines(share).round());
        assert_eq!(places, [0.0, 1.0, 2.0, 3.0]);
        assert!(nines(1.0).is_finite());
    }

    #[test]
    fn labels_do_not_overlap_and_stay_inside() {
        assert_eq!(apart(&[10.0, 12.0, 100.0], 16.0, 100.0), [10.0, 26.0, 100.0]);
        assert_eq!(apart(&[95.0, 98.0], 16.0, 100.0), [84.0, 100.0]);
    }
}
