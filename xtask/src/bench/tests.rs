use clap::Parser;
use serde_json::json;

use super::{
    Arguments, Documents,
    figure::{Bound, Figure, Verdict},
    page,
    source::SOURCES,
    targets,
};
use crate::{term, workspace::Workspace};

fn figure(median: f64) -> Figure {
    Figure { median, low: median * 0.9, high: median * 1.1 }
}

/// What sources print, with one figure of each shape.
fn documents() -> Documents {
    let estimate = json!({ "median": 0.31, "low": 0.30, "high": 0.32 });
    let path = |id: &str, unavailable: Option<&str>| json!({ "path": id, "unavailable": unavailable, "metrics": [{ "metric": "udp-64", "to_host": estimate }] });
    let paths = json!({
        "paths": [path("host", None), path("fwd-tc", None), path("fwd-xdp", None), path("fwd-netkit", Some("no netkit"))],
        "overheads": [{ "path": "fwd-tc", "metric": "tcp-rr", "of_bridge": estimate }],
        "growth": [],
    });
    let packet = |program: &str, kind: &str, ns: f64| json!({ "program": program, "kind": kind, "ns": ns, "quartiles": [ns, ns] });
    let packets = json!({ "packets": [
        packet("from_ns", "TCP, established", 70.0),
        packet("from_uplink", "TCP, established", 130.0),
    ]});
    let ratio = json!({ "median": 3.0, "low": 3.0, "high": 3.0 });
    let many = json!([{ "program": "from_ns", "kind": "TCP, established, 1M of 1M", "to_few": ratio }]);
    let control = json!({ "flows": { "count": 1_000_000, "json": { "median": 900.0, "low": 800.0, "high": 1000.0 } } });
    let stored = |result| json!({ "command": "x", "commit": "c", "date": "d", "kernel": "k", "result": result });
    [("paths", stored(paths)), ("packets", stored(packets)), ("control", stored(control)), ("many-flows", stored(many))]
        .into()
}

#[track_caller]
fn row(what: &str) -> String {
    let text = page::markdown(&targets::rows(&documents()), &documents());
    text.lines()
        .find(|line| line.starts_with(&format!("| {what} |")))
        .unwrap_or_else(|| panic!("{what}: {text}"))
        .into()
}

#[test]
fn verdicts_follow_from_the_figures() {
    let (least, aim) = (Some(Bound::AtMost(120.0)), Some(Bound::AtMost(75.0)));
    assert_eq!(Verdict::of(figure(75.0), least, aim), Verdict::Aim);
    assert_eq!(Verdict::of(figure(76.0), least, aim), Verdict::Reached);
    assert_eq!(Verdict::of(figure(121.0), least, aim), Verdict::Missed);
    assert_eq!(Verdict::of(figure(3.0), None, Some(Bound::AtMost(2.0))), Verdict::Told);
    let (least, aim) = (Some(Bound::AtLeast(0.82)), Some(Bound::AtLeast(0.88)));
    assert_eq!(Verdict::of(figure(0.81), least, aim), Verdict::Missed);
    assert_eq!(Verdict::of(figure(0.88), least, aim), Verdict::Aim);
    assert_eq!(Verdict::of(figure(f64::NAN), least, aim), Verdict::Missed, "no figure is no success");
}

#[test]
fn what_the_interval_leaves_open_is_said() {
    let (least, aim) = (Some(Bound::AtMost(0.33)), Some(Bound::AtMost(0.25)));
    let show = |figure| Verdict::of(figure, least, aim).show(figure, least, aim);
    assert_eq!(show(figure(0.34)), "missed, but within the error");
    assert_eq!(show(figure(0.40)), "missed");
    assert_eq!(show(figure(0.26)), "reached, the aim within the error");
}

#[test]
fn every_source_gets_its_rows() {
    assert!(targets::sources_exist());
    assert_eq!(
        row("TCP_RR p50, overhead over host as share of bridge + MASQUERADE's: fwd tc"),
        "| TCP_RR p50, overhead over host as share of bridge + MASQUERADE's: fwd tc | 31 % (30–32) | ≤ 33 % | ≤ 25 % | reached |"
    );
    assert!(row("UDP 64 B packets/s against host: fwd xdp").ends_with("| ≥ 0.82 × | ≥ 0.88 × | **missed** |"));
    assert!(row("flows --json of 1 M flows").contains("| 0.90 s (0.80–1.00) | ≤ 2 s | ≤ 1 s | aim reached |"));
    assert!(row("established TCP out, per packet").contains("| 70 ns (70–70) | ≤ 120 ns | ≤ 75 ns | aim reached |"));
    assert!(
        row("out, 1 M flows hit at random, against 1 k flows")
            .contains("| 3.000 × (3.000–3.000) | report | ≤ 2.00 × | aim missed |")
    );
}

#[test]
fn what_was_not_measured_is_said_to_be_so() {
    assert!(row("TCP_CRR against host: fwd tc").ends_with("| no metric \"tcp-crr\" |"));
    assert!(row("up of a further namespace, median").ends_with("| no number \"median\" in null |"));
    let namespaces = row("TCP_RR with 1000 namespaces against 1");
    assert!(namespaces.ends_with("| not measured yet: ./x bench --only namespaces |"), "{namespaces}");
    let all = page::markdown(&targets::rows(&documents()), &documents());
    assert!(!all.contains("netkit"), "a path that this machine does not have has no rows: {all}");
}

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
}

#[test]
fn only_what_is_named_is_measured() {
    let names = |line: &str| -> Vec<&str> {
        let Line { arguments } = Line::try_parse_from(line.split(' ')).expect("names");
        arguments.chosen().into_iter().map(|source| source.name).collect()
    };
    assert_eq!(names("bench").len(), SOURCES.len());
    assert_eq!(names("bench --only packets,paths").len(), 2);
    let error = Line::try_parse_from(["bench", "--only", "nothing"]).expect_err("there is none").to_string();
    assert!(error.contains("nothing") && error.contains("host-cost"), "{error}");
}

#[test]
fn a_table_replaces_the_one_before() {
    let page = "before\n<!-- ./x bench writes from here -->\nold\n<!-- ./x bench writes to here -->\nafter\n";
    let once = page::with_table(page, "new\n").expect("marks");
    assert!(
        once.starts_with("before\n")
            && once.ends_with("\nafter\n")
            && once.contains("\nnew\n")
            && !once.contains("old")
    );
    assert_eq!(page::with_table(&once, "new\n").expect("marks"), once);
    assert!(page::with_table("no marks", "new").is_err());
}

#[test]
fn the_page_shows_what_the_stored_figures_say() {
    let workspace = Workspace::find().expect("a workspace");
    let documents = super::documents(&workspace).expect("stored figures");
    let before = std::fs::read_to_string(workspace.root.join(page::FILE)).expect("the page");
    let rows = targets::rows(&documents);
    let after = page::with_table(&before, &page::markdown(&rows, &documents)).expect("marks");
    assert!(after == before, "docs/benchmarks.md does not show what docs/benchmarks has: ./x bench --table");
    assert!(page::text(&rows, term::out()).lines().count() > rows.len());
}
