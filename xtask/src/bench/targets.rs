//! What is asked for, and where its figure is found.

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{
    Documents,
    figure::{
        Bound::{self, AtLeast, AtMost},
        Figure, Unit,
    },
};

/// The data path that is taken unless another is asked for.
const USUAL: &str = "fwd-tc";

/// A line of the table.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) what: String,
    /// What was measured, or why it was not.
    pub(super) figure: Result<Figure, String>,
    pub(super) unit: Unit,
    pub(super) least: Option<Bound>,
    pub(super) aim: Option<Bound>,
}

/// Something that is asked for.
struct Target {
    what: &'static str,
    source: &'static str,
    unit: Unit,
    least: Option<Bound>,
    aim: Option<Bound>,
    /// Finds the figure in what the source printed; of the data path given, if it is about one.
    find: Find,
}

/// How a figure is found.
enum Find {
    /// For each of fwd's data paths that was measured.
    EachPath(fn(&Value, &str) -> Result<Figure>),
    /// Once.
    Once(fn(&Value) -> Result<Figure>),
}

/// A target about each data path.
const fn path(
    what: &'static str,
    unit: Unit,
    least: Bound,
    aim: Bound,
    find: fn(&Value, &str) -> Result<Figure>,
) -> Target {
    Target { what, source: "paths", unit, least: Some(least), aim: Some(aim), find: Find::EachPath(find) }
}

/// Any other.
const fn once(
    source: &'static str,
    what: &'static str,
    unit: Unit,
    least: Option<Bound>,
    aim: Bound,
    find: fn(&Value) -> Result<Figure>,
) -> Target {
    Target { what, source, unit, least, aim: Some(aim), find: Find::Once(find) }
}

const OUT: &str = "from_ns";
const BACK: &str = "from_uplink";

/// All targets, in the order of the table.
const TARGETS: &[Target] = &[
    path(
        "TCP_RR p50, overhead over host as share of bridge + MASQUERADE's",
        Unit::Share,
        AtMost(0.33),
        AtMost(0.25),
        |report, path| overhead(report, path, "tcp-rr"),
    ),
    path(
        "UDP_RR p50, overhead over host as share of bridge + MASQUERADE's",
        Unit::Share,
        AtMost(0.33),
        AtMost(0.25),
        |report, path| overhead(report, path, "udp-rr"),
    ),
    path("TCP_RR p99 against host", Unit::Times, AtMost(1.20), AtMost(1.10), |report, path| {
        Figure::from_estimate(&metric(report, path, "tcp-rr")?["latency"]["p99_to_host"])
    }),
    path("UDP 64 B packets/s against host", Unit::Times, AtLeast(0.82), AtLeast(0.88), |report, path| {
        to_host(report, path, "udp-64")
    }),
    path("TCP_STREAM out against host", Unit::Times, AtLeast(0.95), AtLeast(1.0), |report, path| {
        to_host(report, path, "tcp-stream-out")
    }),
    path("TCP_STREAM in against host", Unit::Times, AtLeast(0.95), AtLeast(1.0), |report, path| {
        to_host(report, path, "tcp-stream-in")
    }),
    path("TCP_CRR against host", Unit::Times, AtLeast(0.86), AtLeast(0.93), |report, path| {
        to_host(report, path, "tcp-crr")
    }),
    once("packets", "established TCP out, per packet", Unit::Nanoseconds, Some(AtMost(120.0)), AtMost(75.0), |found| {
        packet(found, OUT, "TCP, established")
    }),
    once("packets", "established TCP in, per packet", Unit::Nanoseconds, Some(AtMost(120.0)), AtMost(75.0), |found| {
        packet(found, BACK, "TCP, established")
    }),
    once(
        "many-flows",
        "out, the last 1 k of 1 M flows active, against 1 k flows",
        Unit::Times,
        Some(AtMost(1.15)),
        AtMost(1.05),
        |found| of_many(found, OUT, "last 1k of 1M"),
    ),
    once(
        "many-flows",
        "out, any 1 k of 1 M flows active, against 1 k flows",
        Unit::Times,
        Some(AtMost(1.15)),
        AtMost(1.05),
        |found| of_many(found, OUT, "any 1k of 1M"),
    ),
    once(
        "many-flows",
        "in, the last 1 k of 1 M flows active, against 1 k flows",
        Unit::Times,
        Some(AtMost(1.15)),
        AtMost(1.05),
        |found| of_many(found, BACK, "last 1k of 1M"),
    ),
    once(
        "many-flows",
        "in, any 1 k of 1 M flows active, against 1 k flows",
        Unit::Times,
        Some(AtMost(1.15)),
        AtMost(1.05),
        |found| of_many(found, BACK, "any 1k of 1M"),
    ),
    once("many-flows", "out, 1 M flows hit at random, against 1 k flows", Unit::Times, None, AtMost(2.0), |found| {
        of_many(found, OUT, "1M of 1M")
    }),
    once("many-flows", "in, 1 M flows hit at random, against 1 k flows", Unit::Times, None, AtMost(2.0), |found| {
        of_many(found, BACK, "1M of 1M")
    }),
    once(
        "namespaces",
        "TCP_RR with 1000 namespaces against 1",
        Unit::Times,
        Some(AtMost(1.05)),
        AtMost(1.0),
        |report| growth(report, "namespaces"),
    ),
    once(
        "host-cost",
        "host's own TCP_RR with fwd up against without",
        Unit::Times,
        Some(AtLeast(0.98)),
        AtLeast(1.0),
        |found| host(found, "TCP_RR"),
    ),
    once(
        "host-cost",
        "host's own UDP out, 64 B, with fwd up against without",
        Unit::Times,
        Some(AtLeast(0.98)),
        AtLeast(1.0),
        |found| host(found, "UDP out, 64 B"),
    ),
    once(
        "host-cost",
        "host's own UDP in, 64 B, with fwd up against without",
        Unit::Times,
        Some(AtLeast(0.98)),
        AtLeast(1.0),
        |found| host(found, "UDP in, 64 B"),
    ),
    once(
        "control",
        "up of a further namespace, median",
        Unit::Milliseconds,
        Some(AtMost(10.0)),
        AtMost(5.0),
        |report| Figure::from_estimate(&report["further"]),
    ),
    once(
        "control-clsact",
        "up of a further namespace, median: --attach clsact",
        Unit::Milliseconds,
        Some(AtMost(10.0)),
        AtMost(5.0),
        |report| Figure::from_estimate(&report["further"]),
    ),
    once("control", "flows --json of 1 M flows", Unit::Seconds, Some(AtMost(2.0)), AtMost(1.0), |report| {
        anyhow::ensure!(report["flows"]["count"].as_f64() >= Some(1e6), "fewer than a million flows were read");
        Ok(Figure::from_estimate(&report["flows"]["json"])?.in_units_of(1000.0))
    }),
];

/// The table.
pub(super) fn rows(documents: &Documents) -> Vec<Row> {
    TARGETS.iter().flat_map(|target| rows_of(target, documents)).collect()
}

fn rows_of(target: &Target, documents: &Documents) -> Vec<Row> {
    let Target { what, source, unit, least, aim, find } = target;
    let document = documents.get(source).map(|document| &document["result"]);
    let figure = |find: &dyn Fn(&Value) -> Result<Figure>| {
        let document = document.ok_or_else(|| format!("not measured yet: ./x bench --only {source}"))?;
        find(document).map_err(|error| format!("{error:#}"))
    };
    let row = |what: String, figure| Row { what, figure, unit: *unit, least: *least, aim: *aim };
    match find {
        Find::Once(find) => vec![row((*what).into(), figure(find))],
        Find::EachPath(find) => paths(document)
            .into_iter()
            .map(|path| row(format!("{what}: {}", path.replace('-', " ")), figure(&|report| find(report, &path))))
            .collect(),
    }
}

/// The data paths of fwd that were measured, the usual one in any case.
fn paths(report: Option<&Value>) -> Vec<String> {
    let mut found = vec![USUAL.to_owned()];
    for path in report.and_then(|report| report["paths"].as_array()).into_iter().flatten() {
        let id = path["path"].as_str().unwrap_or_default();
        if id.starts_with("fwd-") && id != USUAL && path["unavailable"].is_null() {
            found.push(id.to_owned());
        }
    }
    found
}

/// The object of the array `all` whose `key` is `name`.
fn named<'a>(all: &'a Value, key: &str, name: &str) -> Result<&'a Value> {
    let found = all.as_array().into_iter().flatten().find(|one| one[key] == name);
    found.with_context(|| format!("no {key} {name:?}"))
}

fn metric<'a>(report: &'a Value, path: &str, metric: &str) -> Result<&'a Value> {
    let path = named(&report["paths"], "path", path)?;
    if let Some(why) = path["unavailable"].as_str() {
        anyhow::bail!("not available: {why}");
    }
    named(&path["metrics"], "metric", metric)
}

fn to_host(report: &Value, path: &str, id: &str) -> Result<Figure> {
    Figure::from_estimate(&metric(report, path, id)?["to_host"])
}

fn overhead(report: &Value, path: &str, metric: &str) -> Result<Figure> {
    let all = report["overheads"].as_array().into_iter().flatten();
    let found = all.into_iter().find(|one| one["path"] == path && one["metric"] == metric);
    Figure::from_estimate(&found.with_context(|| format!("no overhead of {path} in {metric}"))?["of_bridge"])
}

/// The last point of a growth against its first.
fn growth(report: &Value, of: &str) -> Result<Figure> {
    let growth = named(&report["growth"], "of", of)?;
    let last = growth["points"].as_array().and_then(|points| points.last());
    Figure::from_estimate(&last.context("the growth has no points")?["to_first"])
}

fn packet(found: &Value, program: &str, kind: &str) -> Result<Figure> {
    let mut all = found["packets"].as_array().into_iter().flatten();
    let one = all.find(|one| one["program"] == program && one["kind"] == kind);
    let one = one.with_context(|| format!("no packet {kind:?} of {program}"))?;
    Figure::from_range(&one["ns"], &one["quartiles"])
}

/// The same packets among so many flows, against among a thousand.
fn of_many(found: &Value, program: &str, flows: &str) -> Result<Figure> {
    let kind = format!("TCP, established, {flows}");
    let mut all = found.as_array().into_iter().flatten();
    let one = all.find(|one| one["program"] == program && one["kind"] == kind.as_str());
    Figure::from_estimate(&one.with_context(|| format!("no packet {kind:?} of {program}"))?["to_few"])
}

fn host(found: &Value, kind: &str) -> Result<Figure> {
    Figure::from_estimate(&named(found, "kind", kind)?["up"])
}

/// Every target has a source that exists.
#[cfg(test)]
pub(super) fn sources_exist() -> bool {
    TARGETS.iter().all(|target| super::source::SOURCES.iter().any(|source| source.name == target.source))
}
