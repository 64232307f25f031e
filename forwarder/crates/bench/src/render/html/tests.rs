mod colours;
mod places;

use std::collections::HashSet;

use super::html;
use crate::{
    Metric, Path,
    render::sample,
    report::{Estimate, Report},
};

/// The page, after checks that hold for every report.
#[track_caller]
fn page(report: &Report) -> String {
    let page = html(report);
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let document = roxmltree::Document::parse_with_options(&page, options).expect("well-formed");
    let mut ids = HashSet::new();
    for node in document.descendants().filter(roxmltree::Node::is_element) {
        if let Some(id) = node.attribute("id") {
            assert!(ids.insert(id), "{id} twice");
        }
        assert!(!["script", "link", "img", "iframe", "object"].contains(&node.tag_name().name()), "{node:?}");
    }
    for svg in document.descendants().filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "svg"))) {
        let names = svg.attribute("aria-labelledby").unwrap_or_default();
        assert_eq!(names.split(' ').filter(|name| ids.contains(name)).count(), 2, "title and description: {names}");
    }
    for wrong in ["NaN", "inf\"", "inf ", "-0\"", "http://", "https://", "url(", "@import"] {
        let found = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!found.contains(wrong), "{wrong} is in the page");
    }
    page
}

/// `report` with every figure replaced.
fn all_figures(mut report: Report, figure: f64) -> Report {
    let estimate = Estimate { median: figure, low: figure, high: figure };
    for metric in report.paths.iter_mut().flat_map(|path| &mut path.metrics) {
        metric.value = estimate;
        (metric.to_host, metric.cpu_ns) = (Some(estimate), Some(estimate));
        if let Some(latency) = &mut metric.latency {
            (latency.p50, latency.p99, latency.max) = (estimate, estimate, estimate);
            latency.cdf.iter_mut().for_each(|point| point[0] = figure);
        }
    }
    for overhead in &mut report.overheads {
        (overhead.micros, overhead.of_bridge) = (estimate, Some(estimate));
    }
    for point in report.growth.iter_mut().flat_map(|growth| &mut growth.points) {
        (point.value, point.to_first) = (estimate, estimate);
    }
    report
}

#[test]
fn the_page_has_every_path_and_metric_in_plots_and_tables() {
    let report = sample::report();
    let page = page(&report);
    for path in Path::ALL {
        assert!(page.contains(&format!(">{}<", path.title())), "{path}");
    }
    for metric in [Metric::TcpRr, Metric::UdpRr] {
        for plot in ["overhead", "cdf"] {
            assert!(page.contains(&format!("id=\"{plot}-{metric}-wide-title\"")), "{plot} of {metric}");
        }
    }
    for metric in Metric::USUAL.into_iter().filter(|metric| !metric.is_latency()) {
        assert!(page.contains(&format!("id=\"throughput-{metric}-narrow-title\"")), "{metric}");
    }
    for metric in Metric::USUAL {
        assert!(page.contains(&format!("id=\"cpu-{metric}-wide-title\"")), "{metric}");
    }
    assert!(page.contains("id=\"growth-1-wide-title\""), "namespaces and flows");
    assert!(page.contains("0.98 µs</span> to TCP"), "the headline");
    assert!(
        page.contains("was stolen") && page.contains("IBPB before exit") && page.contains("this kernel has no netkit")
    );
}

#[test]
fn names_cannot_break_out() {
    let mut report = sample::report();
    report.environment.cpu = "</p><script>alert('x')</script>\u{0}".into();
    report.warnings = vec!["a < b & c > \"d\" ]]>".into()];
    report.paths[4].unavailable = Some("<b>".into());
    report.growth[0].of = "\"><svg onload=1>".into();
    let page = page(&report);
    assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"), "{page}");
}

#[test]
fn another_program_that_made_the_load_is_named_at_the_top() {
    let mut report = sample::report();
    assert!(!page(&report).contains("load by"));
    report.settings.with = "sockperf".into();
    report.settings.with_version = Some("sockperf 3.7".into());
    report.settings.left_out = vec![Metric::TcpCrr, Metric::Udp64];
    for path in &mut report.paths {
        path.metrics.retain(|metric| metric.metric.is_latency());
        path.metrics.iter_mut().for_each(|metric| metric.cpu_ns = None);
    }
    let page = page(&report);
    let (before, after) = page
        .split_once("load by sockperf 3.7, which leaves out TCP_CRR, UDP <span class=\"whole\">64 B</span>")
        .expect("it says so");
    assert!(before.len() < after.len() && !after.contains("id=\"cpu-"), "at the top");
}

#[test]
fn many_warnings_are_a_click_away() {
    let report = Report { warnings: (0..7).map(|number| format!("warning {number}")).collect(), ..sample::report() };
    let page = page(&report);
    let (before, after) = page.split_once("<summary>3 more</summary>").expect("details");
    assert!(before.contains("warning 3") && !before.contains("warning 4") && after.contains("warning 6"));
}

#[test]
fn odd_figures_draw_a_page_nonetheless() {
    for figure in [0.0, -1.0, 1.0, 1e12, f64::NAN, f64::INFINITY] {
        page(&all_figures(sample::report(), figure));
    }
}

#[test]
fn a_report_of_nothing_is_a_page() {
    let mut report = sample::report();
    report.paths.iter_mut().for_each(|path| path.metrics.clear());
    let report = Report { overheads: vec![], growth: vec![], warnings: vec![], ..report };
    assert!(page(&report).contains("Data paths side by side"));
}
