//! The sections with plots.

use super::{
    bars::{self, Bar},
    cdf::{self, Curve},
    figure::{Breadth, Caption, Drawing, figure},
    growth,
    markup::Element,
};
use crate::{
    Metric, Path,
    render::{
        numbers::{Scale, percent, ratio},
        words,
    },
    report::{Estimate, Growth, MetricReport, Report},
};

/// All sections that the report has anything for.
pub(super) fn sections(report: &Report) -> Vec<Element> {
    let sections = [
        section(
            "Overhead over host",
            "What a path takes more than no namespace at all, half a round trip at the median, in the same round. The thin line is \
             the 95 % confidence interval; the share is that of what bridge + iptables MASQUERADE takes more.",
            overheads(report),
        ),
        section(
            "Latency",
            "The share of all transactions that took at most so long. Further left is faster; steeper is steadier.",
            distributions(report),
        ),
        section(
            "Throughput",
            "Longer is more. The dashed line is the host without a namespace, and the factor is the ratio to it.",
            throughputs(report),
        ),
        section(
            "CPU time",
            "Shorter is better. What all CPUs together spend on one transaction, at both ends and on the way between, as the kernel \
             accounts for it. The dashed line is the host without a namespace, and the factor is the ratio to it.",
            cpu_times(report),
        ),
        section("Growth", "The same path with more of something beside it.", growths(report)),
    ];
    sections.into_iter().flatten().collect()
}

/// A plot to be: what is said about it, and how it is drawn at a breadth.
struct Plot<'a> {
    caption: Caption,
    draw: Box<dyn Fn(Breadth) -> Drawing + 'a>,
}

impl<'a> Plot<'a> {
    fn new(caption: Caption, draw: impl Fn(Breadth) -> Drawing + 'a) -> Self {
        Self { caption, draw: Box::new(draw) }
    }
}

/// Two plots stand beside each other. Of an odd number the first, which is the most important, has the whole breadth, so that none
/// leaves a hole.
fn section(title: &str, about: &str, plots: Vec<Plot<'_>>) -> Option<Element> {
    let breadth = |index| if index == 0 && plots.len() % 2 == 1 { Breadth::Full } else { Breadth::Half };
    let drawn = |(index, plot): (usize, &Plot<'_>)| figure(&plot.caption, breadth(index), &plot.draw);
    let figures: Vec<Element> = plots.iter().enumerate().map(drawn).collect();
    let heading =
        Element::new("section").add(Element::new("h2").text(title)).add(Element::classed("p", "about").prose(about));
    (!figures.is_empty()).then(|| heading.add(Element::classed("div", "plots").all(figures)))
}

fn overheads(report: &Report) -> Vec<Plot<'_>> {
    let metrics = words::metrics(report).into_iter();
    metrics.filter_map(|metric| overhead(report, metric)).collect()
}

fn overhead(report: &Report, metric: Metric) -> Option<Plot<'_>> {
    let overheads: Vec<_> = report.overheads.iter().filter(|overhead| overhead.metric == metric).collect();
    let scale = Scale::micros(overheads.iter().map(|overhead| overhead.micros.high));
    let bars: Vec<Bar> = overheads
        .iter()
        .map(|overhead| Bar {
            path: overhead.path,
            value: overhead.micros,
            figure: scale.with_unit(overhead.micros.median),
            note: overhead.of_bridge.map_or_else(String::new, |share| percent(share.median)),
        })
        .collect();
    let caption = Caption {
        id: format!("overhead-{}", metric.id()),
        title: metric.title().into(),
        about: words::meaning(metric).into(),
        description: described(&bars),
    };
    (!bars.is_empty()).then(|| Plot::new(caption, move |breadth| bars::draw(&bars, None, breadth)))
}

fn distributions(report: &Report) -> Vec<Plot<'_>> {
    let metrics = words::metrics(report).into_iter();
    let drawn = metrics.filter_map(|metric| Some((metric, curves(report, metric)?)));
    let plots = drawn.map(|(metric, curves)| {
        let medians = measured(report, metric).into_iter().filter_map(|(path, found)| {
            let latency = found.latency.as_ref()?;
            let scale = Scale::micros([latency.p99.median]);
            let (half, tail) = (scale.with_unit(latency.p50.median), scale.with_unit(latency.p99.median));
            Some(format!("{}: half within {half}, 99 % within {tail}", path.title()))
        });
        let caption = Caption {
            id: format!("cdf-{}", metric.id()),
            title: metric.title().into(),
            about: if metric.is_latency() { words::meaning(metric).into() } else { "from connect to reset".into() },
            description: medians.collect::<Vec<_>>().join("; "),
        };
        Plot::new(caption, move |breadth| cdf::draw(&curves, breadth))
    });
    plots.collect()
}

fn curves(report: &Report, metric: Metric) -> Option<Vec<Curve<'_>>> {
    let of = measured(report, metric).into_iter();
    let curves: Vec<_> =
        of.filter_map(|(path, found)| Some(Curve { path, points: &found.latency.as_ref()?.cdf })).collect();
    (!curves.is_empty()).then_some(curves)
}

fn throughputs(report: &Report) -> Vec<Plot<'_>> {
    let metrics = words::metrics(report).into_iter().filter(|metric| !metric.is_latency());
    let one = |metric: Metric| {
        let found = measured(report, metric);
        let scale = Scale::of(metric, found.iter().map(|(_, found)| found.value.median));
        let bar = |(path, found): &(Path, &MetricReport)| Bar {
            path: *path,
            value: found.value,
            figure: scale.with_unit(found.value.median),
            note: found.to_host.map_or_else(String::new, |to_host| format!("× {}", ratio(to_host.median))),
        };
        beside_host("throughput", metric, words::meaning(metric).into(), found.iter().map(bar).collect())
    };
    metrics.map(one).collect()
}

fn cpu_times(report: &Report) -> Vec<Plot<'_>> {
    let one = |metric: Metric| {
        let timed = |(path, found): (Path, &MetricReport)| Some((path, found.cpu_ns?));
        let found: Vec<_> = measured(report, metric).into_iter().filter_map(timed).collect();
        let scale = Scale::nanos(found.iter().map(|(_, cpu)| cpu.median));
        let host = found.iter().find(|(path, _)| *path == Path::Host).map(|(_, cpu)| cpu.median);
        let bar = |(path, cpu): &(Path, Estimate)| Bar {
            path: *path,
            value: *cpu,
            figure: scale.with_unit(cpu.median),
            note: host.map_or_else(String::new, |host| format!("× {}", ratio(cpu.median / host))),
        };
        let bars: Vec<Bar> = found.iter().map(bar).collect();
        let about = format!("for each {}", words::transaction(metric));
        (!bars.is_empty()).then(|| beside_host("cpu", metric, about, bars))
    };
    words::metrics(report).into_iter().filter_map(one).collect()
}

/// Bars with a line where the host's ends.
fn beside_host<'a>(plot: &str, metric: Metric, about: String, bars: Vec<Bar>) -> Plot<'a> {
    let host = bars.iter().find(|bar| bar.path == Path::Host).map(|bar| bar.value.median);
    let caption = Caption {
        id: format!("{plot}-{}", metric.id()),
        title: metric.title().into(),
        about,
        description: described(&bars),
    };
    Plot::new(caption, move |breadth| bars::draw(&bars, host, breadth))
}

fn growths(report: &Report) -> Vec<Plot<'_>> {
    let groups = report.growth.chunk_by(|a, b| (&a.of, a.metric) == (&b.of, b.metric));
    groups.enumerate().filter_map(|(index, group)| grown(index, group)).collect()
}

/// How one metric changes with one thing.
fn grown(index: usize, group: &[Growth]) -> Option<Plot<'_>> {
    let first = group.first()?;
    let group: Vec<&Growth> = group.iter().collect();
    let scale = Scale::of(first.metric, group.iter().flat_map(|growth| &growth.points).map(|point| point.value.median));
    let description = group.iter().filter_map(|growth| {
        let last = growth.points.last()?;
        let value = scale.with_unit(last.value.median);
        let times = ratio(last.to_first.median);
        Some(format!("{}: {value} with {}, {times} times the first", growth.path.title(), last.count))
    });
    let caption = Caption {
        id: format!("growth-{index}"),
        title: format!("{} with {}", first.metric.title(), first.of),
        about: format!("{}, by number of {}", scale.unit(), first.of),
        description: description.collect::<Vec<_>>().join("; "),
    };
    Some(Plot::new(caption, move |breadth| growth::draw(&group, breadth)))
}

/// `metric` of every path that has it.
fn measured(report: &Report, metric: Metric) -> Vec<(Path, &MetricReport)> {
    let paths = report.paths.iter().map(|path| path.path);
    paths.filter_map(|path| words::measured(report, path, metric).map(|found| (path, found))).collect()
}

/// Bars in words.
fn described(bars: &[Bar]) -> String {
    let words =
        bars.iter().map(|bar| format!("{}: {} {}", bar.path.title(), bar.figure, bar.note).trim_end().to_owned());
    words.collect::<Vec<_>>().join("; ")
}
