//! From what the rounds gave to the report.

use super::{
    Comparison, GROWS_WITH, Metric, Path,
    path::Scale,
    plan::{self, Task, Variant},
    record::{self, Records, Rounds, unit},
    report::{Growth, GrowthPoint, Latency, MetricReport, Overhead, PathReport, Variation},
    statistics,
};
use fwd_base::Error;

/// A path that could not be set up.
#[derive(Debug)]
pub(super) struct Failed {
    /// Which.
    pub(super) variant: Variant,
    /// Why.
    pub(super) error: Error,
}

/// Each path that was asked for, in the order in which those of the way are shown.
#[must_use]
pub(super) fn paths(
    way: Comparison,
    asked: &[Path],
    main: Scale,
    tasks: &[Task],
    records: &Records,
    failed: &[Failed],
) -> Vec<PathReport> {
    let report = |path| {
        let variant = Variant { path, scale: main };
        let metrics = tasks.iter().find(|task| task.variant == variant).map_or(&[][..], |task| &task.metrics);
        let host = Variant { path: Path::Host, scale: main };
        let of = |metric: &Metric| metric_report(*metric, records.of(variant, *metric)?, records.of(host, *metric));
        let failed = failed.iter().find(|failed| failed.variant == variant);
        PathReport {
            path,
            unavailable: failed.map(|failed| reason(&failed.error)),
            metrics: metrics.iter().filter_map(of).collect(),
        }
    };
    way.paths().iter().copied().filter(|path| asked.contains(path)).map(report).collect()
}

/// Why a path is not there, and what would help, as a sentence.
fn reason(error: &Error) -> String {
    match &error.remedy {
        Some(remedy) => format!("{error}; {remedy}"),
        None => error.to_string(),
    }
}

/// What the rounds of one metric come to, beside the host's.
pub(super) fn metric_report(metric: Metric, rounds: &Rounds, host: Option<&Rounds>) -> Option<MetricReport> {
    let cpu: Vec<f64> = rounds.cpu.iter().copied().filter(|cpu| cpu.is_finite()).collect();
    Some(MetricReport {
        metric,
        value: statistics::estimate(&rounds.values)?,
        rounds: rounds.values.clone(),
        to_host: host.and_then(|host| statistics::ratio(&rounds.values, &host.values)),
        latency: latency(metric, rounds, host),
        cpu_ns: statistics::estimate(&cpu),
        lost: statistics::median(&rounds.lost),
    })
}

fn latency(metric: Metric, rounds: &Rounds, host: Option<&Rounds>) -> Option<Latency> {
    let column = |rounds: &Rounds, which: usize| -> Vec<f64> {
        rounds.quantiles.iter().filter_map(|quantiles| quantiles.get(which).copied()).collect()
    };
    let estimate = |which| statistics::estimate(&column(rounds, which));
    Some(Latency {
        p50: estimate(0)?,
        p90: estimate(1)?,
        p99: estimate(2)?,
        p999: estimate(3)?,
        max: estimate(4)?,
        variation: variation(rounds),
        p99_to_host: host.and_then(|host| statistics::ratio(&column(rounds, 2), &column(host, 2))),
        cdf: statistics::cumulative(rounds.merged.as_ref()?, unit(metric)),
        times: rounds.merged.clone(),
    })
}

fn variation(rounds: &Rounds) -> Option<Variation> {
    let of = |which: fn(&record::Variation) -> f64| {
        let values: Vec<f64> = rounds.variation.iter().map(which).filter(|value| value.is_finite()).collect();
        statistics::estimate(&values)
    };
    Some(Variation {
        above_least: of(|it| it.above_least)?,
        above_median: of(|it| it.above_median)?,
        in_a_row: of(|it| it.in_a_row),
    })
}

/// What each path takes more than the host in the same round, in all metrics that are times.
#[must_use]
pub(super) fn overheads(way: Comparison, main: Scale, tasks: &[Task], records: &Records) -> Vec<Overhead> {
    let values =
        |path, metric| records.of(Variant { path, scale: main }, metric).map(|rounds| rounds.values.as_slice());
    let overhead = |path, metric| {
        let (host, these) = (values(Path::Host, metric)?, values(path, metric)?);
        let more: Vec<f64> = these.iter().zip(host).map(|(this, host)| this - host).collect();
        let of_bridge = values(way.bridge(), metric).and_then(|bridge| {
            let most: Vec<f64> = bridge.iter().zip(host).map(|(bridge, host)| bridge - host).collect();
            // A round in which the bridge took no more than the host says nothing about shares.
            statistics::paired(&more, &most, |more, most| if most > 0.0 { more / most } else { f64::NAN })
        });
        Some(Overhead { path, metric, micros: statistics::estimate(&more)?, of_bridge })
    };
    let measured = tasks.iter().map(|task| task.variant).filter(|variant| variant.scale == main);
    measured
        .filter(|variant| variant.path != Path::Host)
        .flat_map(|variant| {
            let times = Metric::ALL.into_iter().filter(|metric| metric.is_latency());
            times.filter_map(move |metric| overhead(variant.path, metric))
        })
        .collect()
}

/// How the paths of `fwd`, and what they are compared with, change with the number of namespaces and of flows.
#[must_use]
pub(super) fn growth(main: Scale, tasks: &[Task], records: &Records) -> Vec<Growth> {
    let namespaces = plan::by_namespaces(main.namespaces).into_iter().map(|scale| (scale.namespaces, scale)).collect();
    let flows = plan::by_flows(main.flows).into_iter().map(|scale| (scale.flows, scale)).collect();
    let [by_namespaces, by_flows] = GROWS_WITH;
    let series: [(&str, Vec<(usize, Scale)>); 2] = [(by_namespaces, namespaces), (by_flows, flows)];
    let metric = Metric::ALL.into_iter().find(|metric| tasks.iter().any(|task| task.metrics.contains(metric)));
    let Some(metric) = metric else { return Vec::new() };
    let mut all = Vec::new();
    for (of, scales) in series {
        for path in Path::every().filter(|path| plan::grows(*path)) {
            let points = points(path, metric, &scales, records);
            if points.len() > 1 {
                all.push(Growth { of: of.into(), path, metric, points });
            }
        }
    }
    all
}

fn points(path: Path, metric: Metric, scales: &[(usize, Scale)], records: &Records) -> Vec<GrowthPoint> {
    let rounds = |scale| records.of(Variant { path, scale }, metric);
    let Some(first) = scales.iter().find_map(|(_, scale)| rounds(*scale)) else { return Vec::new() };
    let point = |(count, scale): &(usize, Scale)| {
        let rounds = rounds(*scale)?;
        Some(GrowthPoint {
            count: *count,
            value: statistics::estimate(&rounds.values)?,
            to_first: statistics::ratio(&rounds.values, &first.values)?,
        })
    };
    scales.iter().filter_map(point).collect()
}
