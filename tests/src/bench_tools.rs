//! `fwd bench --with`: the same paths, measured by other programs.

use forwarder::{
    bench::{Metric, Path, report::Report},
    testbed::{Output, Process},
};

use crate::fwd::{Fwd, LIMIT};

fn run(fwd: &Fwd, args: &[&str]) -> Output {
    let process = Process::spawn(fwd.command(&[&["bench", "--rounds", "1"], args].concat())).expect("fwd starts");
    process.wait(LIMIT).expect("it comes to its end")
}

/// Measures host and fwd with another program, and makes sure that the report has `metrics` and says who measured.
#[track_caller]
fn measures(tool: &str, metrics: &[Metric]) {
    let fwd = Fwd::new();
    let output = run(&fwd, &["--with", tool, "--paths", "host,fwd-tc", "--json"]);
    assert!(output.status.success(), "{}\n{}", output.status, output.stderr);
    let report: Report = serde_json::from_str(&output.stdout).expect("a report");
    assert_eq!(report.settings.with, tool);
    assert!(report.settings.with_version.is_some_and(|version| version.contains('.')), "{}", output.stdout);
    let left_out: Vec<_> = Metric::USUAL.into_iter().filter(|metric| !metrics.contains(metric)).collect();
    assert_eq!(report.settings.left_out, left_out);
    assert!(report.settings.duration >= 0.5, "{}", report.settings.duration);
    for path in &report.paths {
        assert_eq!(path.metrics.iter().map(|it| it.metric).collect::<Vec<_>>(), metrics, "{}", path.path);
        for metric in &path.metrics {
            assert!(metric.value.median > 0.0 && metric.to_host.is_some(), "{}: {metric:?}", path.path);
            let (timed, counted) = (metric.metric.is_latency(), metric.latency.is_some());
            assert_eq!((counted, metric.cpu_ns), (timed, None), "{}: {metric:?}", path.path);
        }
    }
    assert_eq!(report.overheads.iter().any(|it| it.path == Path::FwdTc), metrics.contains(&Metric::TcpRr));
}

#[test]
fn sockperf_measures_round_trips() {
    measures("sockperf", &[Metric::TcpRr, Metric::UdpRr]);
}

#[test]
fn iperf3_measures_streams() {
    measures("iperf3", &[Metric::TcpStreamOut, Metric::TcpStreamIn]);
}

#[test]
fn a_table_says_who_measured_and_what_is_left_out() {
    let fwd = Fwd::new();
    let args = ["--with", "iperf3", "--paths", "host", "--metrics", "tcp-stream-out", "--streams", "2"];
    let output = run(&fwd, &args);
    let line = output.stdout.lines().find(|line| line.contains("load by")).expect("a line about it");
    for word in ["iperf 3", "leaves out TCP_RR", "UDP MTU"] {
        assert!(line.contains(word), "{word} is missing: {line}");
    }
    assert!(!line.contains("TCP_STREAM"), "{line}");
}

#[test]
fn what_a_program_does_not_measure_is_refused() {
    let fwd = Fwd::new();
    fwd.expect_error(
        &["bench", "--with", "iperf3", "--metrics", "udp-64"],
        2,
        &["udp-64", "iperf3", "tcp-stream-out,tcp-stream-in"],
    );
    fwd.expect_error(&["bench", "--with", "netperf"], 2, &["--with netperf", "iperf3", "sockperf"]);
    fwd.expect_error(&["bench", "--with", "sockperf", "--duration", "2m"], 2, &["59s", "--rounds"]);
}

#[test]
fn a_program_that_is_missing_is_named_with_what_to_install() {
    let fwd = Fwd::new();
    for tool in ["iperf3", "sockperf"] {
        let mut command = fwd.command(&["bench", "--with", tool]);
        command.env("PATH", "/nowhere");
        let output = Process::spawn(command).expect("fwd starts").wait(LIMIT).expect("it ends at once");
        assert_eq!(output.status.code(), Some(5), "{}", output.stderr);
        for word in ["not installed", &format!("apt install {tool}")] {
            assert!(output.stderr.contains(word), "{word}: {}", output.stderr);
        }
    }
}
