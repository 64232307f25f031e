//! The tables of a report, whatever they are written as: paths are rows, and columns come in blocks that stay together.

use super::{
    numbers::{NOTHING, Scale, grouped, percent, percents, ratio, ratios},
    words,
};
use crate::{
    Metric, Path,
    report::{Estimate, Growth, Latency, MetricReport, Report, Variation},
};

/// A table.
#[derive(Debug)]
pub(super) struct Sheet {
    /// What it shows.
    pub(super) title: String,
    /// More about that.
    pub(super) about: String,
    /// The rows.
    pub(super) paths: Vec<Path>,
    /// The columns.
    pub(super) blocks: Vec<Block>,
}

/// Columns that stay together.
#[derive(Debug)]
pub(super) struct Block {
    /// What all of them are about; may be empty.
    pub(super) title: String,
    /// The columns.
    pub(super) columns: Vec<Column>,
}

/// A column.
#[derive(Debug)]
pub(super) struct Column {
    /// Its own title.
    pub(super) title: String,
    /// What it holds.
    pub(super) is: Is,
    /// A cell for each path of the sheet.
    pub(super) cells: Vec<String>,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Is {
    /// What one looks for.
    Figure,
    /// The confidence interval of the column before it, which a narrow terminal does without.
    Interval,
}

/// Makes a cell of what was measured, if it was.
type Cell<'a> = &'a dyn Fn(Path) -> Option<String>;

impl Sheet {
    /// A sheet with those of `report`'s paths that have a cell in any block.
    fn new(report: &Report, title: impl Into<String>, about: impl Into<String>, has: impl Fn(Path) -> bool) -> Self {
        let paths = report.paths.iter().map(|path| path.path).filter(|path| has(*path)).collect();
        Self { title: title.into(), about: about.into(), paths, blocks: Vec::new() }
    }

    /// Adds columns, those that have no cell left out.
    fn block(&mut self, title: impl Into<String>, columns: &[(&str, Is, Cell<'_>)]) {
        let column = |(title, is, cell): &(&str, Is, Cell<'_>)| {
            let cells = self.paths.iter().map(|path| cell(*path).unwrap_or_else(|| NOTHING.into())).collect();
            Column { title: (*title).into(), is: *is, cells }
        };
        let columns: Vec<Column> = columns.iter().map(column).collect();
        let is_empty = |column: &Column| column.cells.iter().all(|cell| cell == NOTHING);
        let columns: Vec<Column> = columns.into_iter().filter(|column| !is_empty(column)).collect();
        if !columns.is_empty() {
            self.blocks.push(Block { title: title.into(), columns });
        }
    }
}

/// All tables, the most important first.
pub(super) fn sheets(report: &Report) -> Vec<Sheet> {
    let metrics = words::metrics(report);
    let group = |of: &[Metric]| metrics.iter().copied().filter(|metric| of.contains(metric)).collect::<Vec<_>>();
    let mut sheets = vec![overheads(report)];
    let latencies = group(&[Metric::TcpRr, Metric::UdpRr]);
    sheets.push(values(report, "Latency", "half a round trip", &latencies));
    sheets.extend(metrics.iter().map(|metric| percentiles(report, *metric)));
    sheets.push(variations(report, &metrics));
    let tcp = group(&[Metric::TcpCrr, Metric::TcpStreamOut, Metric::TcpStreamIn]);
    sheets.push(values(report, "TCP throughput", "connections, and bits one way", &tcp));
    sheets.push(values(report, "UDP throughput", "datagrams that arrive", &group(&[Metric::Udp64, Metric::UdpMtu])));
    let rates = [Metric::UdpThroughput, Metric::UdpEstablish, Metric::TcpEstablish, Metric::TcpTeardown];
    sheets.push(values(
        report,
        "Rates",
        "the highest without loss, and flows set up and taken down on one CPU",
        &group(&rates),
    ));
    sheets.push(cpu(report, &metrics));
    sheets.extend(report.growth.chunk_by(|a, b| (&a.of, a.metric) == (&b.of, b.metric)).filter_map(growth));
    sheets.retain(|sheet| !sheet.paths.is_empty() && !sheet.blocks.is_empty());
    sheets
}

/// What each path takes more than the host.
fn overheads(report: &Report) -> Sheet {
    let metrics: Vec<_> = words::metrics(report)
        .into_iter()
        .filter(|metric| report.overheads.iter().any(|o| o.metric == *metric))
        .collect();
    let has = |path| metrics.iter().any(|metric| words::overhead(report, path, *metric).is_some());
    let mut sheet = Sheet::new(report, "Overhead over host", "half a round trip, and its share of the bridge's", has);
    for metric in metrics {
        let of = |path| words::overhead(report, path, metric);
        let scale = Scale::micros(report.overheads.iter().filter(|o| o.metric == metric).map(|o| o.micros.high));
        sheet.block(
            format!("{} {}", metric.title(), scale.unit()),
            &[
                ("more", Is::Figure, &|path| Some(scale.figure(of(path)?.micros.median))),
                ("95 %", Is::Interval, &|path| Some(scale.interval(of(path)?.micros))),
                ("of bridge's", Is::Figure, &|path| Some(percent(of(path)?.of_bridge?.median))),
                ("95 %", Is::Interval, &|path| Some(percents(of(path)?.of_bridge?))),
            ],
        );
    }
    sheet
}

/// Median, interval and ratio to host of each of `metrics`.
fn values(report: &Report, title: &str, about: &str, metrics: &[Metric]) -> Sheet {
    let has = |path| metrics.iter().any(|metric| words::measured(report, path, *metric).is_some());
    let mut sheet = Sheet::new(report, title, about, has);
    for metric in metrics {
        let of = |path| words::measured(report, path, *metric);
        let scale = Scale::of(*metric, all(report, *metric).map(|found| found.value.median));
        sheet.block(
            format!("{} {}", metric.title(), scale.unit()),
            &[
                ("median", Is::Figure, &|path| Some(scale.figure(of(path)?.value.median))),
                ("95 %", Is::Interval, &|path| Some(scale.interval(of(path)?.value))),
                ("× host", Is::Figure, &|path| Some(ratio(of(path)?.to_host?.median))),
                ("95 %", Is::Interval, &|path| Some(ratios(of(path)?.to_host.filter(|_| path != Path::Host)?))),
                ("lost", Is::Figure, &|path| of(path).map(|of| of.lost).filter(|lost| *lost >= 0.0005).map(percent)),
            ],
        );
    }
    sheet
}

/// The distribution of `metric`, if it has one.
fn percentiles(report: &Report, metric: Metric) -> Sheet {
    let of = |path| words::measured(report, path, metric).and_then(|found| found.latency.as_ref());
    let what = if metric.is_latency() { "half a round trip" } else { "from connect to reset" };
    let title = format!("Percentiles of {}", metric.title());
    let mut sheet = Sheet::new(report, title, format!("{what}, µs"), |path| of(path).is_some());
    type Of = fn(&Latency) -> Estimate;
    let columns: [(&str, Of); 5] =
        [("p50", |l| l.p50), ("p90", |l| l.p90), ("p99", |l| l.p99), ("p99.9", |l| l.p999), ("max", |l| l.max)];
    let cell = |percentile: Of| {
        let found = all(report, metric).filter_map(|found| found.latency.as_ref());
        let scale = Scale::micros(found.map(|latency| percentile(latency).median));
        move |path| Some(scale.figure(percentile(of(path)?).median))
    };
    for (title, percentile) in columns {
        sheet.block("", &[(title, Is::Figure, &cell(percentile))]);
    }
    sheet.block(
        "",
        &[
            ("p99 × host", Is::Figure, &|path| Some(ratio(of(path)?.p99_to_host?.median))),
            ("95 %", Is::Interval, &|path| Some(ratios(of(path)?.p99_to_host.filter(|_| path != Path::Host)?))),
        ],
    );
    sheet
}

/// How much the times of each of `metrics` differ.
fn variations(report: &Report, metrics: &[Metric]) -> Sheet {
    let of = |path, metric| words::measured(report, path, metric)?.latency.as_ref()?.variation;
    let has = |path| metrics.iter().any(|metric| of(path, *metric).is_some());
    let about =
        "the 99.9th percentile above the least, the 99th above the median, and p99 of how far two in a row lie apart";
    let mut sheet = Sheet::new(report, "Delay variation", about, has);
    type Of = fn(&Variation) -> Option<Estimate>;
    let columns: [(&str, Of); 3] = [
        ("p99.9 – min", |it| Some(it.above_least)),
        ("p99 – p50", |it| Some(it.above_median)),
        ("in a row", |it| it.in_a_row),
    ];
    for metric in metrics {
        let found = || all(report, *metric).filter_map(|found| found.latency.as_ref()?.variation);
        let scale = Scale::micros(found().map(|it| it.above_least.median));
        let cells = columns.map(|(_, which)| move |path| Some(scale.figure(which(&of(path, *metric)?)?.median)));
        let column = |index: usize| (columns[index].0, Is::Figure, &cells[index] as Cell<'_>);
        sheet.block(format!("{} {}", metric.title(), scale.unit()), &[column(0), column(1), column(2)]);
    }
    sheet
}

/// CPU time.
fn cpu(report: &Report, metrics: &[Metric]) -> Sheet {
    let of = |path, metric| words::measured(report, path, metric).and_then(|found| found.cpu_ns);
    let has = |path| metrics.iter().any(|metric| of(path, *metric).is_some());
    let mut sheet = Sheet::new(report, "CPU time", "of all CPUs for each transaction, ns", has);
    for metric in metrics {
        let scale = Scale::nanos(all(report, *metric).filter_map(|found| Some(found.cpu_ns?.median)));
        let figure = |path| Some(scale.figure(of(path, *metric)?.median));
        sheet.block(metric.title(), &[(words::transaction(*metric), Is::Figure, &figure)]);
    }
    sheet
}

/// How a metric changes with the number of something: one sheet for all paths.
fn growth(of: &[Growth]) -> Option<Sheet> {
    let first = of.first()?;
    let scale = Scale::of(first.metric, of.iter().flat_map(|growth| &growth.points).map(|point| point.value.median));
    let mut counts: Vec<usize> = of.iter().flat_map(|growth| &growth.points).map(|point| point.count).collect();
    counts.sort_unstable();
    counts.dedup();
    let mut sheet = Sheet {
        title: format!("{} with {}", first.metric.title(), first.of),
        about: format!("in {}, and the ratio of the last to the first", scale.unit()),
        paths: of.iter().map(|growth| growth.path).collect(),
        blocks: Vec::new(),
    };
    let points = |path| of.iter().find(|growth| growth.path == path).map(|growth| &growth.points);
    for count in counts {
        let point = |path| points(path)?.iter().find(|point| point.count == count);
        sheet.block("", &[(&grouped(count), Is::Figure, &|path| Some(scale.figure(point(path)?.value.median)))]);
    }
    let last = |path| points(path)?.last().map(|point| point.to_first);
    sheet.block(
        "",
        &[
            ("ratio", Is::Figure, &|path| Some(ratio(last(path)?.median))),
            ("95 %", Is::Interval, &|path| Some(ratios(last(path)?))),
        ],
    );
    Some(sheet)
}

/// `metric` of every path that has it.
fn all(report: &Report, metric: Metric) -> impl Iterator<Item = &MetricReport> {
    report.paths.iter().flat_map(|path| &path.metrics).filter(move |found| found.metric == metric)
}
