//! Whether our own load and a program that others wrote say the same about the same paths.
//!
//! What a program spends on itself for each message or block is part of its figures, and differs with program and machine. What has
//! to agree everywhere is what the figures are for: how much longer one path takes than another, how their rates compare, and which
//! is the better one.

use std::time::Duration;

use serde::Serialize;

use super::{
    Comparison, Metric, Path, environment,
    load::{Tool, Work},
    path::{Sandbox, Scale},
    plan::in_turn,
    report::{Environment, Estimate},
    run::persistently,
    statistics,
};
use fwd_base::Result;

/// Our own load runs so long before it counts.
const WARM_UP: Duration = Duration::from_millis(50);

/// What to compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Paths, the first of which the others are compared with.
    pub paths: Vec<Path>,
    /// Metrics that another program measures, too.
    pub metrics: Vec<Metric>,
    /// How often; each time in sandboxes of its own.
    pub rounds: usize,
    /// How long our own load is measured, and the other program's at least.
    pub duration: Duration,
}

/// All that was compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// The machine.
    pub environment: Environment,
    /// Each metric by itself.
    pub metrics: Vec<Agreement>,
}

/// One metric by two programs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Agreement {
    /// Which.
    pub metric: Metric,
    /// The other program and its version.
    pub with: String,
    /// In the order of the options.
    pub paths: Vec<Compared>,
    /// Pairs of paths that the two put in opposite orders, and both are sure.
    pub contradictions: Vec<[Path; 2]>,
}

/// One path by two programs: microseconds of half a round trip at the median, or bits per second.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// Which.
    pub path: Path,
    /// By our own load.
    pub ours: Estimate,
    /// By the other program.
    pub theirs: Estimate,
    /// Theirs to ours in the same round.
    pub ratio: Estimate,
    /// Beside the first path in the same round, by our own load.
    pub ours_beside: Option<Beside>,
    /// The same by the other program.
    pub theirs_beside: Option<Beside>,
}

/// A path beside the first one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Beside {
    /// What it has more.
    pub difference: Estimate,
    /// Its ratio.
    pub ratio: Estimate,
}

/// Measures, and tells `follow` the round, metric and path that come next.
///
/// # Errors
/// A path could not be set up, a program is missing, or a load found no answer.
pub fn run(options: &Options, follow: &mut dyn FnMut(usize, Metric, Path)) -> Result<Check> {
    let Options { paths, metrics, rounds, duration } = options;
    let mut all = Vec::new();
    for metric in metrics {
        let version = other(*metric).version()?.unwrap_or_default();
        all.push((*metric, version, vec![Both::default(); paths.len()]));
    }
    for round in 1..=*rounds {
        let sandboxes = paths.iter().map(|path| Sandbox::new(*path, Scale::default(), Comparison::default()));
        let sandboxes = sandboxes.collect::<Result<Vec<_>>>()?;
        for (metric, _, both) in &mut all {
            for place in in_turn(round, paths.len()) {
                follow(round, *metric, paths[place]);
                both[place].measure(&sandboxes[place], *metric, *duration)?;
            }
        }
    }
    let agreement = |(metric, version, both): (Metric, String, Vec<Both>)| agreement(metric, version, paths, &both);
    Ok(Check { environment: environment::gather(), metrics: all.into_iter().filter_map(agreement).collect() })
}

/// Who else measures it.
fn other(metric: Metric) -> Tool {
    if metric.is_latency() { Tool::Sockperf } else { Tool::Iperf3 }
}

/// The figures of one path, one for each round.
#[derive(Clone, Debug, Default)]
struct Both {
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

impl Both {
    fn measure(&mut self, sandbox: &Sandbox, metric: Metric, duration: Duration) -> Result<()> {
        for tool in [Tool::Fwd, other(metric)] {
            let [duration, warm_up] = tool.times(duration)?.unwrap_or([duration, WARM_UP]);
            let work = Work { metric, size: 64, streams: 1, rate: None, warm_up, duration };
            let sample = persistently(tool, &sandbox.peers(), &work)?;
            let figures = if tool == Tool::Fwd { &mut self.ours } else { &mut self.theirs };
            figures.push(sample.figure(metric));
        }
        Ok(())
    }
}

/// None without a round.
fn agreement(metric: Metric, with: String, paths: &[Path], both: &[Both]) -> Option<Agreement> {
    let first = both.first()?;
    let compared = |(place, both): (usize, &Both)| {
        let beside = |these: &[f64], those: &[f64]| {
            let difference = statistics::paired(these, those, |this, that| this - that)?;
            let ratio = statistics::ratio(these, those)?;
            (place > 0).then_some(Beside { difference, ratio })
        };
        Some(Compared {
            path: *paths.get(place)?,
            ours: statistics::estimate(&both.ours)?,
            theirs: statistics::estimate(&both.theirs)?,
            ratio: statistics::ratio(&both.theirs, &both.ours)?,
            ours_beside: beside(&both.ours, &first.ours),
            theirs_beside: beside(&both.theirs, &first.theirs),
        })
    };
    Some(Agreement {
        metric,
        with,
        paths: both.iter().enumerate().filter_map(compared).collect(),
        contradictions: contradictions(paths, both),
    })
}

/// Of an order that a program is sure of, the larger figure is larger by this share at least, in nearly every round.
const MARGIN: f64 = 0.05;

fn contradictions(paths: &[Path], both: &[Both]) -> Vec<[Path; 2]> {
    let sure = |more: &[f64], less: &[f64]| statistics::ratio(more, less).is_some_and(|ratio| ratio.low > 1.0 + MARGIN);
    let mut found = Vec::new();
    for (one, first) in paths.iter().zip(both) {
        for (other, second) in paths.iter().zip(both) {
            if sure(&first.ours, &second.ours) && sure(&second.theirs, &first.theirs) {
                found.push([*one, *other]);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATHS: [Path; 2] = [Path::Host, Path::BridgeMasquerade];

    fn of(ours: [&[f64]; 2], theirs: [&[f64]; 2]) -> Agreement {
        let both: Vec<_> = ours
            .into_iter()
            .zip(theirs)
            .map(|(ours, theirs)| Both { ours: ours.to_vec(), theirs: theirs.to_vec() })
            .collect();
        agreement(Metric::TcpStreamOut, "iperf 3".into(), &PATHS, &both).expect("rounds")
    }

    #[test]
    fn what_a_program_spends_on_itself_contradicts_nothing() {
        let agreement = of([&[10.0, 11.0, 10.0], &[8.0, 8.8, 8.0]], [&[5.0, 5.5, 5.0], &[4.0, 4.4, 4.0]]);
        assert_eq!(agreement.contradictions, Vec::<[Path; 2]>::new());
        assert!((agreement.paths[0].ratio.median - 0.5).abs() < 1e-9 && agreement.paths[0].ours_beside.is_none());
        let [ours, theirs] = [agreement.paths[1].ours_beside, agreement.paths[1].theirs_beside].map(Option::unwrap);
        assert!((ours.ratio.median - 0.8).abs() < 1e-9 && (theirs.ratio.median - 0.8).abs() < 1e-9);
        assert!((ours.difference.median + 2.0).abs() < 1e-9 && (theirs.difference.median + 1.0).abs() < 1e-9);
    }

    #[test]
    fn opposite_orders_are_told_where_both_are_sure() {
        let (more, less, open) = ([10.0, 11.0, 10.5], [7.0, 7.5, 7.2], [7.0, 14.0, 10.0]);
        assert_eq!(of([&less, &more], [&more, &less]).contradictions, [[Path::BridgeMasquerade, Path::Host]]);
        assert!(of([&less, &more], [&open, &less]).contradictions.is_empty());
        assert!(of([&open, &more], [&more, &less]).contradictions.is_empty());
    }
}
