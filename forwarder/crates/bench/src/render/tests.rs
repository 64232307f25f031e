use insta::assert_snapshot;
use serde_json::Value;

use super::{markdown, sample, words};
use crate::{Metric, Path, report::Report};
use fwd_render::{Look, View as _};

/// The text on a terminal, after a check that no line is wider than it.
#[track_caller]
fn text(report: &Report, width: Option<u16>) -> String {
    let mut out = Vec::new();
    let look = Look { color: false, width, fwd: "fwd".into() };
    report.text(&look, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    for line in text.lines().filter(|line| !line.contains("warning: ") && !is_fact(line)) {
        assert!(line.chars().count() <= width.map_or(usize::MAX, usize::from), "wider than {width:?}: {line}");
    }
    text
}

/// Facts are copied by those who look at them: terminals break them, `fwd` does not.
fn is_fact(line: &str) -> bool {
    ["kernel ", "CPU ", "pinned ", "measured ", "fwd netkit: ", "nft flowtable: "]
        .iter()
        .any(|label| line.trim_start().starts_with(label))
}

/// One path, one metric, and nothing to compare with: what a live endpoint gives.
fn alone() -> Report {
    let mut report = sample::report();
    report.paths.retain(|path| path.path == Path::FwdTc);
    for path in &mut report.paths {
        path.metrics.retain(|metric| metric.metric == Metric::TcpRr);
        path.metrics.iter_mut().for_each(|metric| metric.to_host = None);
        path.metrics
            .iter_mut()
            .filter_map(|metric| metric.latency.as_mut())
            .for_each(|latency| latency.p99_to_host = None);
    }
    Report { overheads: vec![], growth: vec![], warnings: vec![], ..report }
}

#[test]
fn the_headline_comes_first_and_the_warnings_last() {
    let text = text(&sample::report(), None);
    assert_snapshot!(text);
    assert!(
        text.starts_with("fwd tc adds 0.98 µs to TCP and 0.85 µs to UDP over host: 34 % and 36 % of what"),
        "{text}"
    );
    assert!(text.lines().last().is_some_and(|line| line.starts_with("warning: ")), "{text}");
}

#[test]
fn a_headline_says_no_more_than_is_known() {
    let mut report = sample::report();
    let overhead = report.overheads.iter_mut().find(|overhead| overhead.path == Path::FwdTc).expect("measured");
    (overhead.micros.low, overhead.micros.high) = (-1.5, 3.0);
    let text = text(&report, None);
    let headline = text.lines().next().unwrap_or_default();
    let said =
        "fwd tc adds -1.50 – 3.00 µs to TCP and 0.81–0.89 µs to UDP over host: the machine was too noisy to tell more.";
    assert_eq!(headline, said);
    assert!(text.contains("\nfwd xdp adds 1.66 µs to TCP"), "the other is clear: {text}");
}

#[test]
fn narrow_terminals_get_more_and_narrower_tables() {
    assert_snapshot!(text(&sample::report(), Some(80)));
    for width in [50, 60, 100, 120, 150] {
        text(&sample::report(), Some(width));
    }
}

/// What is typed and stands in JSON (`fwd-tc`) is no second name for what a reader sees as `fwd tc`.
#[test]
fn paths_and_metrics_have_one_name_in_a_report() {
    let report = sample::report();
    let ids = Path::ALL.map(Path::id).into_iter().chain(Metric::ALL.map(Metric::id));
    let ids: Vec<_> = ids.filter(|id| id.contains('-')).collect();
    let terminals = [50, 60, 80, 100, 120, 150].map(|width| text(&report, Some(width)));
    for shown in terminals.into_iter().chain([text(&report, None), markdown(&report)]) {
        for id in &ids {
            assert!(!shown.contains(id), "{id} in {shown}");
        }
    }
    for path in Path::ALL {
        assert!(path.title().contains(words::short(path)), "the short name of {path} is none of its own");
    }
}

#[test]
fn what_was_measured_alone_is_compared_with_nothing() {
    let text = text(&alone(), Some(80));
    assert_snapshot!(text);
    assert!(!text.contains("HOST") && !text.contains("bridge"), "{text}");
}

#[test]
fn a_bridge_that_was_not_measured_is_not_compared_with() {
    let mut report = sample::report();
    report.overheads.iter_mut().for_each(|overhead| overhead.of_bridge = None);
    let text = text(&report, None);
    assert!(text.starts_with("fwd tc adds 0.98 µs to TCP and 0.85 µs to UDP over host.\n"), "{text}");
    assert!(!text.contains("BRIDGE'S"), "{text}");
}

#[test]
fn another_program_that_made_the_load_is_named() {
    let mut report = alone();
    report.settings.with = "sockperf".into();
    report.settings.left_out = vec![Metric::TcpStreamIn];
    for shown in [text(&report, None), markdown(&report)] {
        assert!(shown.contains("load by") && shown.contains("sockperf, which leaves out TCP"), "{shown}");
    }
    assert!(!text(&alone(), None).contains("load by"));
}

#[test]
fn cpus_are_those_of_what_was_measured() {
    let mut report = sample::report();
    let pinned = |report: &Report| {
        text(report, None).lines().find(|line| line.trim_start().starts_with("pinned ")).unwrap_or_default().to_owned()
    };
    let streams = "a stream's sender on CPU 0, its receiver on CPU 1";
    assert_eq!(pinned(&report).trim(), format!("pinned        client and server on CPU 1; {streams}"));
    assert!(pinned(&alone()).ends_with("client and server on CPU 1"));
    for path in &mut report.paths {
        path.metrics.retain(|metric| metric.metric == Metric::TcpStreamOut);
    }
    assert!(pinned(&report).ends_with(&format!(" {streams}")), "{}", pinned(&report));
}

#[test]
fn markdown_has_the_same_tables() {
    let page = markdown(&sample::report());
    assert_snapshot!(page);
    for table in page.split("\n\n").filter(|block| block.starts_with('|')) {
        let bars = |line: &str| line.replace("\\|", "").matches('|').count();
        let columns = bars(table.lines().next().unwrap_or_default());
        table.lines().for_each(|line| assert_eq!(bars(line), columns, "{line}"));
    }
}

#[test]
fn markdown_escapes_what_is_not_ours() {
    let mut report = sample::report();
    report.environment.cpu = "a|b <script> *c*\n| d".into();
    report.warnings = vec!["`x`\n# y".into()];
    let page = markdown(&report);
    assert!(page.contains(r"a\|b \<script\> \*c\* \| d"), "{page}");
    assert!(page.contains("- \\`x\\` \\# y\n"), "{page}");
}

/// The keys of `value` and of what is in it.
fn keys(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => object.iter().for_each(|(key, value)| {
            found.push(key.clone());
            keys(value, found);
        }),
        Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
        _ => {}
    }
}

#[test]
fn docs_name_every_key() {
    let docs = include_str!("../../../../../docs/json.md");
    let section = docs.split_once("\n## bench\n").and_then(|(_, rest)| rest.split("\n## ").next()).unwrap();
    let mut found = Vec::new();
    keys(&serde_json::to_value(sample::report()).unwrap(), &mut found);
    let missing: Vec<_> = found.iter().filter(|key| !section.contains(&format!("| `{key}` |"))).collect();
    assert!(missing.is_empty(), "docs/json.md does not name {missing:?}");
}
