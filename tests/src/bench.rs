//! `fwd bench`: a whole comparison in short, what is left of it, and what it refuses.

use std::fs;

use forwarder::{
    bench::{Family, Metric, Path, report::Report},
    netns,
    testbed::{Output, Process, wait_until},
};
use nix::sys::signal::Signal;

use crate::fwd::{Fwd, LIMIT, binary};

/// What this kernel has.
const HERE: [Path; 6] =
    [Path::Host, Path::VethFloor, Path::FwdTc, Path::Routed, Path::NftMasquerade, Path::BridgeMasquerade];

/// Namespaces and directories of the testbeds of a process.
fn left_by(pid: u32) -> Vec<String> {
    let names = netns::named().expect("a list").into_iter().map(|name| name.to_string());
    let entries = fs::read_dir("/run").expect("a directory").flatten();
    let directories = entries.filter_map(|entry| Some(entry.file_name().to_str()?.strip_prefix("fwd-")?.to_owned()));
    names.chain(directories).filter(|name| name.starts_with(&format!("fwdt{pid}x"))).collect()
}

/// Runs `fwd bench ARGS…` to its end, and makes sure that it has taken everything away.
#[track_caller]
fn run(fwd: &Fwd, args: &[&str]) -> Output {
    let process = Process::spawn(fwd.command(&[&["bench"], args].concat())).expect("fwd starts");
    let pid = process.id();
    let output = process.wait(LIMIT).expect("it comes to its end");
    assert_eq!(left_by(pid), Vec::<String>::new(), "{args:?}");
    assert!(!fwd.pins().exists(), "it keeps away from the run directory of the host");
    output
}

#[track_caller]
fn report(fwd: &Fwd, args: &[&str]) -> Report {
    let output = run(fwd, &[args, &["--json"]].concat());
    assert!(output.status.success(), "{args:?}: {}\n{}", output.status, output.stderr);
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", output.stdout))
}

#[test]
fn every_path_is_measured_or_says_what_is_missing() {
    let fwd = Fwd::new();
    let report = report(&fwd, &["--rounds", "2", "--duration", "50ms"]);
    assert_eq!(report.paths.iter().map(|path| path.path).collect::<Vec<_>>(), Path::ALL);
    for path in &report.paths {
        let name = path.path;
        let Some(reason) = &path.unavailable else {
            assert!(HERE.contains(&name) || name.is_fwd(), "{name} is here");
            assert_eq!(path.metrics.iter().map(|it| it.metric).collect::<Vec<_>>(), Metric::USUAL, "{name}");
            for metric in &path.metrics {
                assert!(metric.value.median > 0.0 && metric.rounds.len() == 2, "{name}: {metric:?}");
                assert!(metric.to_host.is_some() && (0.0..=1.0).contains(&metric.lost), "{name}: {metric:?}");
                let timed = metric.metric.is_latency() || metric.metric == Metric::TcpCrr;
                assert_eq!(metric.latency.is_some(), timed, "{name}: {metric:?}");
            }
            continue;
        };
        assert!(!HERE.contains(&name), "{name}: {reason}");
        assert!(path.metrics.is_empty() && reason.len() > 20, "{name}: {reason}");
    }
    let missing = |path| report.paths.iter().find(|it| it.path == path).and_then(|it| it.unavailable.clone());
    assert!(
        missing(Path::FwdNetkit).is_some_and(|reason| reason.contains("does not have netkit")),
        "this kernel has none"
    );
    assert!(missing(Path::NftFlowtable).is_some_and(|reason| reason.contains("flow table")), "this kernel has none");
    for path in HERE.into_iter().filter(|path| *path != Path::Host) {
        for metric in [Metric::TcpRr, Metric::UdpRr] {
            let overhead = report.overheads.iter().find(|it| it.path == path && it.metric == metric);
            assert!(overhead.is_some(), "{path} {metric}");
        }
    }
    assert!(report.growth.is_empty() && !report.environment.offloads.is_empty() && report.took > 1.0);
    assert!(report.warnings.iter().any(|warning| warning.contains("2 rounds are few")), "{:?}", report.warnings);
}

/// Each of `measured` has a figure of every metric, and each but the host an overhead.
#[track_caller]
fn is_whole(report: &Report, measured: &[Path]) {
    for name in measured {
        let path = report.paths.iter().find(|path| path.path == *name).expect("it was asked for");
        assert_eq!(path.unavailable, None, "{name}");
        assert_eq!(path.metrics.iter().map(|it| it.metric).collect::<Vec<_>>(), Metric::USUAL, "{name}");
        for metric in &path.metrics {
            assert!(metric.value.median > 0.0 && metric.to_host.is_some(), "{name}: {metric:?}");
        }
        let has_overhead = report.overheads.iter().any(|it| it.path == *name && it.of_bridge.is_some());
        assert!(has_overhead || *name == Path::Host, "{name}: {:?}", report.overheads);
    }
}

#[test]
fn rates_are_measured_when_they_are_named_and_distributions_are_logged() {
    let fwd = Fwd::new();
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("bench.hlog");
    let metrics = "tcp-rr,udp-throughput,udp-establish,tcp-establish,tcp-teardown";
    let asked = ["--paths", "host,fwd-tc,nft-masquerade", "--metrics", metrics, "--rounds", "1", "--duration", "200ms"];
    let report = report(&fwd, &[&asked[..], &["--export-hdr", log.to_str().expect("UTF-8")]].concat());
    for path in &report.paths {
        assert_eq!(path.metrics.len(), 5, "{}: {:?}", path.path, path.unavailable);
        for metric in &path.metrics {
            assert!(
                metric.value.median > 0.0 && metric.to_host.is_some() && metric.lost == 0.0,
                "{}: {metric:?}",
                path.path
            );
        }
        let variation =
            path.metrics[0].latency.as_ref().and_then(|latency| latency.variation).expect("round trips vary");
        assert!(variation.above_least.median > 0.0 && variation.in_a_row.is_some(), "{variation:?}");
    }
    let log = fs::read_to_string(log).expect("it was written");
    let tags: Vec<&str> = log.lines().filter_map(|line| line.strip_prefix("Tag=")?.split(',').next()).collect();
    assert_eq!(tags, ["host/tcp-rr", "fwd-tc/tcp-rr", "nft-masquerade/tcp-rr"], "{log}");
}

#[test]
fn requests_at_a_fixed_rate_have_their_times_from_when_they_were_due() {
    let fwd = Fwd::new();
    let asked = ["--paths", "host,fwd-tc", "--rounds", "1", "--duration", "200ms"];
    // Far more than any machine answers: each request waits for all before it.
    let report = report(&fwd, &[&asked[..], &["--rate", "1000000"]].concat());
    assert_eq!(report.settings.rate, Some(1_000_000));
    for path in &report.paths {
        assert_eq!(path.metrics.iter().map(|it| it.metric).collect::<Vec<_>>(), [Metric::TcpRr, Metric::UdpRr]);
        let slowest = path.metrics.iter().filter_map(|it| it.latency.as_ref()).map(|it| it.max.median);
        // Half of nearly 200 ms.
        assert!(slowest.clone().count() == 2 && slowest.into_iter().all(|max| max > 80_000.0), "{:?}", path.metrics);
        let said = format!("{} did not keep up with --rate 1000000", path.path.title());
        assert!(report.warnings.iter().any(|warning| warning.contains(&said)), "{:?}", report.warnings);
    }
}

#[test]
fn two_builds_are_compared_in_turn() {
    let program = binary().with_file_name("fwd-bench-against");
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(&program);
        command.arg(binary()).arg(binary()).args(arguments);
        Process::spawn(command).expect("it is built beside fwd").wait(LIMIT).expect("it comes to its end")
    };
    let output = run(&["--json", "2", "--", "--paths", "host,veth-floor", "--metrics", "udp-rr", "--duration", "20ms"]);
    assert!(output.status.success(), "{}", output.stderr);
    let compared: serde_json::Value = serde_json::from_str(&output.stdout).expect("JSON");
    assert_eq!(compared["pairs"], 2, "{compared}");
    let rows = compared["rows"].as_array().expect("rows");
    assert_eq!(rows.iter().map(|row| row["path"].as_str()).collect::<Vec<_>>(), [Some("host"), Some("veth-floor")]);
    assert!(rows.iter().all(|row| row["ratio"]["median"].as_f64() > Some(0.0)), "{compared}");
    // What `fwd bench` refuses is passed on.
    let output = run(&["1", "--", "--paths", "nowhere"]);
    assert!(output.stderr.contains("nowhere") && output.status.code() == Some(1), "{}", output.stderr);
}

#[test]
fn paths_are_measured_over_ipv6() {
    let fwd = Fwd::new();
    let report = report(&fwd, &["--family", "6", "--rounds", "2", "--duration", "50ms"]);
    let paths = [Path::Host, Path::FwdTc, Path::BridgeMasquerade];
    assert_eq!(report.paths.iter().map(|path| path.path).collect::<Vec<_>>(), paths);
    assert_eq!((report.settings.family, report.settings.published), (Family::V6, false));
    is_whole(&report, &paths);
}

#[test]
fn ways_in_to_a_published_port_are_measured() {
    let fwd = Fwd::new();
    let report = report(&fwd, &["--published", "--rounds", "2", "--duration", "50ms"]);
    assert_eq!(report.paths.iter().map(|path| path.path).collect::<Vec<_>>(), Path::PUBLISHED);
    assert_eq!((report.settings.family, report.settings.published), (Family::V4, true));
    let (proxy, paths) = Path::PUBLISHED.split_last().expect("some");
    is_whole(&report, paths);
    let proxied = report.paths.iter().find(|path| path.path == *proxy).expect("it was asked for");
    let missing = proxied.unavailable.as_ref().is_some_and(|why| why.contains("docker-proxy: it is not installed"));
    assert_eq!(missing, proxied.metrics.is_empty(), "{:?}", proxied.unavailable);
}

#[test]
fn ways_in_to_a_published_port_are_measured_over_ipv6() {
    let fwd = Fwd::new();
    let asked = ["--published", "--family", "6", "--rounds", "2", "--duration", "50ms", "--paths", "host,fwd-tc"];
    let report = report(&fwd, &asked);
    assert_eq!((report.settings.family, report.settings.published), (Family::V6, true));
    for path in &report.paths {
        assert_eq!(path.metrics.iter().map(|it| it.metric).collect::<Vec<_>>(), Metric::USUAL, "{}", path.path);
    }
    assert_eq!(report.overheads.iter().map(|it| it.path).collect::<Vec<_>>(), [Path::FwdTc; 2]);
}

#[test]
fn growth_is_measured_from_one_namespace_and_no_flow_on() {
    let fwd = Fwd::new();
    let args = ["--paths", "fwd-tc,bridge-masquerade", "--metrics", "udp-rr", "--rounds", "2", "--duration", "20ms"];
    let report = report(&fwd, &[&args[..], &["--namespaces", "12", "--flows", "2000"]].concat());
    let growth: Vec<_> = report
        .growth
        .iter()
        .map(|it| (it.of.as_str(), it.path, it.points.iter().map(|point| point.count).collect::<Vec<_>>()))
        .collect();
    let (namespaces, flows) = (vec![1, 10, 12], vec![0, 1000, 2000]);
    assert_eq!(
        growth,
        [
            ("namespaces", Path::FwdTc, namespaces.clone()),
            ("namespaces", Path::BridgeMasquerade, namespaces),
            ("flows", Path::FwdTc, flows.clone()),
            ("flows", Path::BridgeMasquerade, flows),
        ]
    );
    for growth in &report.growth {
        assert_eq!(growth.metric, Metric::UdpRr);
        assert_eq!(growth.points[0].to_first.median, 1.0);
    }
    // Nothing to compare with.
    assert!(report.overheads.is_empty() && report.paths.iter().all(|path| path.metrics[0].to_host.is_none()));
}

#[test]
fn an_interrupted_comparison_leaves_nothing_behind() {
    let fwd = Fwd::new();
    let process =
        Process::spawn(fwd.command(&["bench", "--metrics", "udp-rr", "--rounds", "1000"])).expect("fwd starts");
    let pid = process.id();
    let measuring = || Ok(process.stderr().contains("measuring").then_some(()));
    wait_until(LIMIT, "the measuring has begun", measuring).expect("it begins");
    assert!(left_by(pid).len() > 10, "its namespaces are there meanwhile");
    process.signal(Signal::SIGINT).expect("it runs");
    let output = process.wait(LIMIT).expect("it ends");
    assert!(!output.status.success(), "{output:?}");
    // What was measured until then is shown, if anything was.
    let said =
        if output.stdout.is_empty() { "interrupted before the first figure" } else { "it was interrupted: 0 of 1000" };
    assert!(format!("{}{}", output.stdout, output.stderr).contains(said), "{output:?}");
    assert_eq!(left_by(pid), Vec::<String>::new());
}

#[test]
fn interrupted_measuring_of_commands_leaves_nothing_behind() {
    let fwd = Fwd::new();
    for namespaces in [30, 50] {
        let args = ["bench", "control", "--sizes", "300", "--rounds", "1", "--flows", "0"];
        let process = Process::spawn(fwd.command(&args)).expect("fwd starts");
        let pid = process.id();
        // Taking so many away takes longer than the next command needs to make a further one.
        let grown = || Ok((left_by(pid).len() > 4 + namespaces).then_some(()));
        wait_until(LIMIT, "some namespaces are up", grown).expect("they come");
        process.signal(Signal::SIGINT).expect("it runs");
        let output = process.wait(LIMIT).expect("it ends");
        assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
        assert_eq!(left_by(pid), Vec::<String>::new());
    }
}

#[test]
fn a_table_is_for_people_and_progress_is_not_part_of_it() {
    let fwd = Fwd::new();
    let args = ["--quick", "--paths", "host,veth-floor,nft-flowtable", "--metrics", "tcp-rr", "--color", "never"];
    let output = run(&fwd, &args);
    assert!(output.status.success(), "{output:?}");
    for words in ["veth floor", "nft flowtable: cannot make", "5 rounds"] {
        assert!(output.stdout.contains(words), "{words:?} is missing: {}", output.stdout);
    }
    assert!(output.stderr.contains("measuring: 0 of 10 done") && !output.stdout.contains("done"), "{output:?}");
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_set_up() {
    let fwd = Fwd::new();
    fwd.expect_error(&["bench", "--paths", "fwd-tx"], 2, &["fwd-tx", "fwd-tc"]);
    fwd.expect_error(&["bench", "--family", "5"], 2, &["--family", "4", "6"]);
    fwd.expect_error(&["bench", "--published", "--family", "6", "--flows", "7"], 2, &["over IPv4"]);
    fwd.expect_error(&["bench", "--published", "--paths", "routed"], 2, &["nft-dnat"]);
    fwd.expect_error(&["bench", "--metrics", "latency"], 2, &["latency", "tcp-rr", "udp-mtu"]);
    fwd.expect_error(&["bench", "--rounds", "0"], 2, &["--rounds", "10000"]);
    fwd.expect_error(&["bench", "--duration", "5"], 2, &["--duration", "250ms"]);
    fwd.expect_error(&["bench", "--namespaces", "1001"], 2, &["1000"]);
    fwd.expect_error(&["bench", "--quick", "--rounds", "3"], 2, &["--quick"]);
    fwd.expect_error(&["bench", "--rate", "9", "--metrics", "udp-64"], 2, &["--rate", "tcp-rr,udp-rr"]);
    // Where this machine has none of the paths, that is the error.
    fwd.expect_error(&["bench", "--paths", "nft-flowtable"], 5, &["flow table", "nft_flow_offload"]);
}

#[test]
fn commands_are_timed_with_one_namespace_and_with_a_few_in_two_networks() {
    let fwd = Fwd::new();
    let output =
        run(&fwd, &["control", "--sizes", "3,1", "--networks", "2", "--rounds", "1", "--flows", "500", "--json"]);
    assert!(output.status.success(), "{}\n{}", output.status, output.stderr);
    let report: serde_json::Value = serde_json::from_str(&output.stdout).expect("JSON");
    let sizes = report["sizes"].as_array().expect("an array");
    assert_eq!(sizes.iter().map(|size| size["namespaces"].as_u64()).collect::<Vec<_>>(), [Some(1), Some(3)]);
    for size in sizes {
        for command in ["up", "up_library", "down", "down_all"] {
            let times = &size[command];
            let [median, p90, max] = ["median", "p90", "max"].map(|key| times[key].as_f64().expect("a number"));
            assert!(0.0 < median && median <= max && p90 <= max, "{command}: {times}");
        }
        assert!(size["table_bytes"].as_u64() > Some(1 << 20), "{size}");
    }
    assert_eq!(report["flows"]["count"], 500);
    assert!(sizes[0]["up_pool"].is_null() && sizes[1]["up_pool"]["median"].as_f64() > Some(0.0), "{report}");
    assert_eq!(report["further"], sizes[1]["up"]);
}
