//! Where things are in a drawing: by what the page says itself, with letters as wide as they can be.

use roxmltree::{Document, Node};

use super::page;
use crate::{
    Path,
    render::{
        html::figure::{bold_width_of, width_of},
        sample::{self, about},
    },
    report::Report,
};

const SVG: &str = "http://www.w3.org/2000/svg";

/// A report with paths that a kernel with all features has, and one whose figures vary much.
fn reports() -> [Report; 3] {
    let (all, mut noisy) = (sample::of_all_paths(), sample::report());
    for metric in noisy.paths.iter_mut().flat_map(|path| &mut path.metrics) {
        metric.value = about(metric.value.median, 0.6);
        metric.cpu_ns = metric.cpu_ns.map(|cpu| about(cpu.median, 0.6));
    }
    for overhead in &mut noisy.overheads {
        overhead.micros = about(overhead.micros.median, 1.7);
    }
    [sample::report(), all, noisy]
}

/// Runs `check` over all drawings of all reports, with what is to be told if it fails.
#[track_caller]
fn drawings(check: impl Fn(Node<'_, '_>, &str)) {
    for report in reports() {
        let page = page(&report);
        let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
        let document = Document::parse_with_options(&page, options).expect("well-formed");
        for svg in document.descendants().filter(|node| node.has_tag_name((SVG, "svg"))) {
            check(svg, svg.attribute("aria-labelledby").unwrap_or_default());
        }
    }
}

fn classes<'a>(node: Node<'a, '_>) -> impl Iterator<Item = &'a str> {
    node.attribute("class").unwrap_or_default().split(' ')
}

/// The descendants of this class.
fn of_class<'a, 'i>(svg: Node<'a, 'i>, class: &'static str) -> impl Iterator<Item = Node<'a, 'i>> {
    svg.descendants().filter(move |node| classes(*node).any(|found| found == class))
}

fn number(node: Node<'_, '_>, name: &str) -> f64 {
    node.attribute(name).and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{name} of {node:?}"))
}

/// From where to where a text goes.
fn extent(text: Node<'_, '_>) -> (f64, f64) {
    let letters: String = text.descendants().filter_map(|node| node.text().filter(|_| node.is_text())).collect();
    let bold = classes(text).any(|class| class == "value" || class.starts_with("p-fwd-"));
    // Ticks are written smaller.
    let size = if classes(text).any(|class| class == "tick") { 12.0 / 13.0 } else { 1.0 };
    let (width, x) = (size * if bold { bold_width_of(&letters) } else { width_of(&letters) }, number(text, "x"));
    match classes(text).find(|class| ["end", "middle"].contains(class)) {
        Some("end") => (x - width, x),
        Some(_) => (x - width / 2.0, x + width / 2.0),
        None => (x, x + width),
    }
}

#[test]
fn no_label_leaves_its_drawing() {
    drawings(|svg, which| {
        let width: f64 =
            svg.attribute("viewBox").and_then(|area| area.split(' ').nth(2)?.parse().ok()).expect("a width");
        for text in svg.descendants().filter(|node| node.has_tag_name((SVG, "text"))) {
            let (from, to) = extent(text);
            assert!(from >= 0.0 && to <= width, "{which}: {:?} from {from} to {to}", text.text());
        }
    });
}

#[test]
fn whiskers_end_before_figures() {
    drawings(|svg, which| {
        for figure in of_class(svg, "value") {
            let near = |whisker: &Node<'_, '_>| (number(*whisker, "y1") - number(figure, "y")).abs() < 14.0;
            for whisker in of_class(svg, "whisker").filter(near) {
                assert!(number(whisker, "x2") + 4.0 <= extent(figure).0, "{which}: {figure:?}, {whisker:?}");
            }
        }
    });
}

#[test]
fn no_line_crosses_a_name() {
    drawings(|svg, which| {
        for name in of_class(svg, "name") {
            let ((from, to), baseline) = (extent(name), number(name, "y"));
            for reference in of_class(svg, "reference").chain(of_class(svg, "axis")) {
                let [x1, x2, y1, y2] = ["x1", "x2", "y1", "y2"].map(|end| number(reference, end));
                let beside = x1.max(x2) < from || x1.min(x2) > to;
                // Of the letters, those without a tail.
                let apart = y1.max(y2) < baseline - 9.0 || y1.min(y2) > baseline;
                assert!(beside || apart, "{which}: {:?}, {reference:?}", name.text());
            }
        }
    });
}

#[test]
fn every_curve_has_a_figure_to_its_left() {
    let start = |curve: Node<'_, '_>| {
        let path = curve.attribute("d").unwrap_or_default().trim_start_matches('M');
        path.split(' ').next().and_then(|x| x.parse::<f64>().ok()).expect("a start")
    };
    drawings(|svg, which| {
        if !which.starts_with("cdf-") {
            return;
        }
        let ticks = of_class(svg, "middle").map(|tick| number(tick, "x"));
        let first = ticks.fold(f64::INFINITY, f64::min);
        for curve in of_class(svg, "curve").filter(|node| node.has_tag_name((SVG, "path"))) {
            assert!(first <= start(curve), "{which}: {curve:?}");
        }
    });
}

#[test]
fn plots_in_two_columns_leave_no_hole() {
    let mut few = sample::report();
    few.paths.iter_mut().for_each(|path| path.metrics.retain(|metric| metric.metric.is_latency()));
    for report in reports().into_iter().chain([few]) {
        let page = page(&report);
        let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
        let document = Document::parse_with_options(&page, options).expect("well-formed");
        for plots in document.descendants().filter(|node| classes(*node).any(|class| class == "plots")) {
            let halves = plots.children().filter(|figure| classes(*figure).any(|class| class == "half")).count();
            assert_eq!(halves % 2, 0, "{plots:?}");
        }
    }
}

#[test]
fn no_line_ends_within_a_figure_of_the_title() {
    let mut report = sample::report();
    let overhead = report.overheads.iter_mut().find(|overhead| overhead.path == Path::FwdTc).expect("measured");
    (overhead.micros.low, overhead.micros.high) = (-1.5, 3.0);
    let page = page(&report);
    let title = page.split_once("<h1>").and_then(|(_, rest)| rest.split_once("</h1>")).expect("a title").0;
    let whole = |text: &str| format!("<span class=\"whole\">{text}</span>");
    let said = format!(
        "{} adds {} to TCP and {} to UDP over host",
        whole("fwd tc"),
        whole("-1.50 – 3.00 µs"),
        whole("0.81–0.89 µs")
    );
    assert_eq!(title, said);
    assert!(include_str!("../style.css").contains(".whole { white-space: nowrap; }"));
}
