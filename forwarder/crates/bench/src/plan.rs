//! What is measured in which order.

use super::{Metric, Options, Path, path::Scale};

/// Fewer flows than this are no point of a growth, unless no more are asked for.
const LEAST_FLOWS: usize = 1_000;

/// One bar of the comparison: a path with so much beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Variant {
    /// Which path.
    pub path: Path,
    /// What there is beside the measured connection.
    pub scale: Scale,
}

/// A variant and what is measured over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Task {
    /// Which variant.
    pub(super) variant: Variant,
    /// What, in the order of [`Metric::ALL`].
    pub(super) metrics: Vec<Metric>,
}

/// Everything that is measured: each path with all that is asked for, then the points of each growth. What two of them need is
/// set up once.
#[must_use]
pub(super) fn tasks(options: &Options) -> Vec<Task> {
    let main = Scale { namespaces: options.namespaces, flows: options.flows };
    let mut tasks: Vec<Task> = Vec::new();
    let mut add = |path, scale, metrics: &[Metric]| {
        let variant = Variant { path, scale };
        match tasks.iter_mut().find(|task| task.variant == variant) {
            Some(task) => {
                task.metrics =
                    Metric::ALL.into_iter().filter(|it| task.metrics.contains(it) || metrics.contains(it)).collect()
            }
            None => tasks.push(Task { variant, metrics: metrics.to_vec() }),
        }
    };
    let paths = || options.way.paths().iter().copied().filter(|path| options.paths.contains(path));
    for path in paths() {
        add(path, main, &options.metrics);
    }
    let Some(metric) = grown(&options.metrics) else { return tasks };
    for path in paths().filter(|path| grows(*path)) {
        for scale in series(main) {
            add(path, scale, &[metric]);
        }
    }
    tasks
}

/// The scales of both growths, where something grows.
fn series(main: Scale) -> Vec<Scale> {
    let namespaces = by_namespaces(main.namespaces).into_iter();
    namespaces.chain(by_flows(main.flows)).collect()
}

/// With how many namespaces a growth is measured; nothing where there is one.
#[must_use]
pub(super) fn by_namespaces(most: usize) -> Vec<Scale> {
    let scale = |namespaces| Scale { namespaces, ..Scale::default() };
    if most > 1 { counts(most).into_iter().map(scale).collect() } else { Vec::new() }
}

/// With how many flows, beginning with none.
#[must_use]
pub(super) fn by_flows(most: usize) -> Vec<Scale> {
    let scale = |flows| Scale { flows, ..Scale::default() };
    // The first tens are as good as nothing.
    let enough = |count: &usize| *count == 0 || *count >= LEAST_FLOWS.min(most);
    if most > 0 { [0].into_iter().chain(counts(most)).filter(enough).map(scale).collect() } else { Vec::new() }
}

/// The metric whose growth is measured: one.
#[must_use]
pub(super) fn grown(metrics: &[Metric]) -> Option<Metric> {
    Metric::ALL.into_iter().find(|metric| metrics.contains(metric))
}

/// Whether the growth of a path is measured: those of `fwd`, and what they are compared with.
#[must_use]
pub(super) fn grows(path: Path) -> bool {
    path.is_fwd() || matches!(path, Path::BridgeMasquerade | Path::NftDnat)
}

/// One measurement: an index into the tasks, and a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Which task.
    pub(super) task: usize,
    /// Which of its metrics.
    pub(super) metric: Metric,
}

/// The measurements of one round. A metric is measured over all variants at once, so that what is compared lies close together in
/// time, and in another order in each round, so that none is always the one after the same other.
#[must_use]
pub(super) fn round(number: usize, tasks: &[Task]) -> Vec<Step> {
    let mut steps = Vec::new();
    for (place, metric) in Metric::ALL.into_iter().enumerate() {
        let order = in_turn(number * Metric::ALL.len() + place, tasks.len()).into_iter();
        let measured = order.filter(|task| tasks[*task].metrics.contains(&metric));
        steps.extend(measured.map(|task| Step { task, metric }));
    }
    steps
}

/// The order of `count` things in a turn: by chance, but always the same of the same turn.
#[must_use]
pub(super) fn in_turn(turn: usize, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    fastrand::Rng::with_seed(turn as u64).shuffle(&mut order);
    order
}

/// From 1 to `most` in tens: what a growth is measured at.
#[must_use]
pub(super) fn counts(most: usize) -> Vec<usize> {
    let mut counts: Vec<usize> =
        std::iter::successors(Some(1_usize), |count| count.checked_mul(10)).take_while(|count| *count < most).collect();
    counts.push(most);
    counts
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn tasks(metrics: &[Metric]) -> Vec<Task> {
        let task = |path| Task { variant: Variant { path, scale: Scale::default() }, metrics: metrics.to_vec() };
        Path::ALL.map(task).to_vec()
    }

    proptest! {
        #[test]
        fn a_round_has_each_measurement_once(number in 0..10_000_usize, some in prop::sample::subsequence(Metric::ALL.to_vec(), 1..=Metric::ALL.len())) {
            let tasks = tasks(&some);
            let steps = round(number, &tasks);
            let distinct: BTreeSet<_> = steps.iter().map(|step| (step.task, step.metric)).collect();
            prop_assert_eq!(distinct.len(), tasks.len() * some.len());
            prop_assert_eq!(steps.len(), distinct.len());
        }

        #[test]
        fn what_is_compared_is_measured_together(number in 0..10_000_usize) {
            let steps = round(number, &tasks(&Metric::ALL));
            let changes = steps.windows(2).filter(|pair| pair[0].metric != pair[1].metric).count();
            prop_assert_eq!(changes, Metric::ALL.len() - 1);
        }

        #[test]
        fn growth_begins_at_one_and_ends_at_the_most(most in 1..2_000_000_usize) {
            let counts = counts(most);
            prop_assert_eq!((counts.first(), counts.last()), (Some(&1), Some(&most)));
            prop_assert!(counts.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }

    #[test]
    fn no_path_has_a_place_of_its_own() {
        let tasks = tasks(&[Metric::TcpRr]);
        let mut places: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for number in 0..200 {
            for (place, step) in round(number, &tasks).iter().enumerate() {
                places.entry(step.task).or_default().insert(place);
            }
        }
        assert!(places.values().all(|places| places.len() == tasks.len()), "{places:?}");
    }

    #[test]
    fn growth_goes_in_tens() {
        assert_eq!(counts(1), [1]);
        assert_eq!(counts(250), [1, 10, 100, 250]);
        assert_eq!(counts(1000), [1, 10, 100, 1000]);
    }
}
