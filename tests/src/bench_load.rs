//! The load of `fwd bench` over real paths: it measures each of them, and says who did not answer.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use forwarder::{
    Error, Kind,
    bench::{
        Metric,
        load::{self, Peers, Sample, Work},
    },
    netns::Netns,
    testbed::{Process, wait_until},
};
use nix::sys::signal::Signal;

use crate::fwd::{Fwd, LIMIT, binary, inside};

const WORK: Work = Work {
    metric: Metric::TcpRr,
    size: 64,
    streams: 2,
    rate: None,
    warm_up: Duration::from_millis(50),
    duration: Duration::from_millis(200),
};

/// From `client` to the first address of the internet.
fn outward(fwd: &Fwd, client: &Netns, metric: Metric) -> Result<Sample, Error> {
    let peers = Peers::direct(client, fwd.internet(0), (fwd.uplink(0).outside[0], 0));
    load::run(&peers, &Work { metric, ..WORK })
}

#[test]
fn every_metric_is_measured_from_the_host_and_from_a_namespace() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    for metric in Metric::ALL {
        for (whence, client) in [("the host", &**fwd.host()), ("a namespace", &*pod)] {
            let sample =
                outward(&fwd, client, metric).unwrap_or_else(|error| panic!("{metric} from {whence}: {error}"));
            assert!(sample.per_second > 100.0, "{metric} from {whence}: {}", sample.per_second);
            assert!(sample.lost < 0.5, "{metric} from {whence}: {}", sample.lost);
            let has_cpu = sample.cpu_ns.is_some_and(|cpu| cpu > 0.0);
            assert_eq!(has_cpu, Metric::USUAL.contains(&metric), "{metric} from {whence}: {:?}", sample.cpu_ns);
            let counted = sample.latency.map(|latency| latency.len());
            assert_eq!(counted.is_some_and(|count| count > 10), has_latency(metric), "{metric}: {counted:?}");
        }
    }
}

fn has_latency(metric: Metric) -> bool {
    metric.is_latency() || metric == Metric::TcpCrr
}

#[test]
fn datagrams_of_the_mtu_are_whole_packets() {
    let fwd = Fwd::new();
    inside(fwd.internet(0), &["nft", "add", "table", "inet", "seen"]);
    let hook = "{ type filter hook prerouting priority 0; }";
    inside(fwd.internet(0), &["nft", "add", "chain", "inet", "seen", "here", hook]);
    // With a chain at this hook, conntrack's defragmentation is not loaded: fragments are seen as such.
    for rule in ["meta l4proto udp ip length != { 44, 1500 } counter drop", "ip frag-off & 0x3fff != 0 counter drop"] {
        inside(fwd.internet(0), &["nft", "add", "rule", "inet", "seen", "here", rule]);
    }
    let sample = outward(&fwd, fwd.host(), Metric::UdpMtu).expect("nothing is dropped");
    assert!(sample.lost < 0.5, "{}", sample.lost);
    let seen = inside(fwd.internet(0), &["nft", "list", "ruleset"]);
    assert_eq!(seen.matches("packets 0 bytes 0").count(), 2, "{seen}");
}

#[test]
fn a_path_that_loses_what_is_sent_is_an_error_that_says_who_is_silent() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    inside(fwd.internet(0), &["nft", "add", "table", "ip", "deaf"]);
    let hook = "{ type filter hook input priority 0; }";
    inside(fwd.internet(0), &["nft", "add", "chain", "ip", "deaf", "here", hook]);
    let outside = fwd.uplink(0).outside[0].to_string();
    inside(fwd.internet(0), &["nft", "add", "rule", "ip", "deaf", "here", "ip", "daddr", &outside, "drop"]);
    for metric in Metric::ALL {
        let before = Instant::now();
        let error = outward(&fwd, &pod, metric).expect_err("everything is dropped");
        assert_eq!(error.kind, Kind::Failed, "{metric}: {error}");
        assert!(error.object.contains(&outside), "{metric}: {error}");
        // Beside the loads of other tests, each of which has its turn first.
        assert!(before.elapsed() < LIMIT, "{metric}: {error}");
    }
}

/// `fwd bench --serve` in the internet.
struct Server {
    process: Process,
    /// Where it listens.
    address: String,
    token: String,
}

fn serve(fwd: &Fwd, args: &[&str]) -> Server {
    let address = format!("{}:5210", fwd.uplink(0).outside[0]);
    let internet = fwd.internet(0).name().as_str();
    let mut command = Command::new(binary());
    command.args(["--host-netns", internet, "bench", "--serve", &address]).args(args);
    let process = Process::spawn(command).expect("fwd starts");
    // As its user passes it on.
    let pasted = || {
        let said = process.stderr();
        let hint = said.split_once(&format!("fwd bench --target {address} --token ")).map(|(_, token)| token);
        Ok(hint.filter(|token| token.contains('\n')).and_then(|token| token.lines().next()).map(str::to_owned))
    };
    let token = wait_until(LIMIT, "the server serves", pasted);
    let token = token.unwrap_or_else(|error| panic!("{error}: {}", process.stderr()));
    Server { process, address, token }
}

#[test]
fn a_live_path_is_measured_against_a_server_elsewhere() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let Server { process, address, token } = serve(&fwd, &["--once"]);
    let target = ["bench", "--ns", &pod.name, "--target", &address, "--token", &token];
    let report = fwd.json(&[&target[..], &["--rounds", "2", "--duration", "100ms"]].concat());
    assert_eq!((&report["live"]["from"], &report["live"]["to"]), (&pod.name.as_str().into(), &address.as_str().into()));
    assert_eq!(report["paths"].as_array().map(Vec::len), Some(1), "{report}");
    let metrics = report["paths"][0]["metrics"].as_array().expect("metrics");
    assert_eq!(metrics.len(), Metric::USUAL.len(), "{report}");
    for metric in metrics {
        assert!(metric["value"]["median"].as_f64().is_some_and(|value| value > 0.0), "{metric}");
        assert_eq!(metric["rounds"].as_array().map(Vec::len), Some(2), "{metric}");
    }
    let ended = process.wait(LIMIT).expect("--once ends it");
    assert!(ended.status.success(), "{}", ended.stderr);
    // What the server saw is the uplink's address: the path goes through fwd.
    assert!(ended.stderr.contains(&format!("{}:", fwd.uplink(0).address)), "{}", ended.stderr);
}

#[test]
fn a_server_ends_when_its_time_is_over() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let Server { process, address, token } = serve(&fwd, &["--duration", "2s"]);
    assert!(process.stderr().contains("Ctrl-C, or in 2s"), "{}", process.stderr());
    // Nor does a client keep it.
    let target = ["bench", "--ns", &pod.name, "--target", &address, "--token", &token];
    let args = [&target[..], &["--metrics", "tcp-rr", "--duration", "30m"]].concat();
    let client = Process::spawn(fwd.command(&args)).expect("fwd starts");
    assert!(process.wait(LIMIT).expect("it ends").status.success());
    assert!(!client.wait(LIMIT).expect("it ends with its server").status.success());
    fwd.expect_error(&["bench", "--serve", "--duration", "10ms"], 2, &["1s", "--duration 1h"]);
}

/// The value of a line of /proc/PID/status.
fn status(task: &Path, key: &str) -> Option<String> {
    let text = fs::read_to_string(task.join("status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    Some(line.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[test]
fn a_server_keeps_no_rights_and_serves_nobody_in_real_time() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let Server { process, address, token } = serve(&fwd, &[]);
    let target = ["bench", "--ns", &pod.name, "--target", &address, "--token", &token];
    let args = [&target[..], &["--metrics", "udp-64", "--duration", "5m"]].concat();
    let client = Process::spawn(fwd.command(&args)).expect("fwd starts");
    // While a client floods it.
    let of = |pid: u32| {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        tasks.map(|task| task.path()).collect::<Vec<_>>()
    };
    let loads = |pid: u32| of(pid).into_iter().any(|task| status(&task, "Name").as_deref() == Some("load"));
    let at_work = || Ok((loads(process.id()) && loads(client.id())).then_some(()));
    wait_until(LIMIT, "both ends are at work", at_work).unwrap_or_else(|error| panic!("{error}: {}", client.stderr()));
    let tasks = of(process.id());
    assert!(tasks.len() > 2, "{tasks:?}");
    for task in tasks {
        let has = |key| status(&task, key).unwrap_or_else(|| panic!("{} has {key}", task.display()));
        for (key, none) in [("Uid", "65534 65534 65534 65534"), ("Gid", "65534 65534 65534 65534"), ("Groups", "")] {
            assert_eq!(has(key), none, "{key} of {}", task.display());
        }
        for key in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(has(key).trim_matches('0'), "", "{key} of {}", task.display());
        }
        assert_eq!(has("NoNewPrivs"), "1");
    }
    for task in of(process.id()).into_iter().chain(of(client.id())) {
        // Field 41 of proc_pid_stat(5), the 39th behind the name in brackets: 0 is SCHED_OTHER.
        let stat = fs::read_to_string(task.join("stat")).expect("it runs");
        let policy = stat.rsplit_once(')').and_then(|(_, fields)| fields.split_whitespace().nth(38));
        assert_eq!(policy, Some("0"), "{stat}");
    }
    client.signal(Signal::SIGKILL).expect("it runs");
    process.signal(Signal::SIGINT).expect("it runs");
    assert!(process.wait(LIMIT).expect("Ctrl-C ends it").status.success());
}

#[test]
fn a_server_serves_who_knows_its_token() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let Server { process, address, token } = serve(&fwd, &["--max-time", "1m", "--max-rate", "1k"]);
    let target = ["bench", "--ns", &pod.name, "--target", &address, "--metrics", "tcp-stream-in"];
    fwd.expect_error(&target, 1, &["token", "--token TOKEN"]);
    fwd.expect_error(&[&target[..], &["--token", "aaaa-aaaa-aaaa-aaaa"]].concat(), 1, &["token is wrong"]);
    // Too long and too fast for it.
    let known = [&target[..], &["--token", &token, "--duration"]].concat();
    for (duration, word) in [("2m", "for 1m and no longer"), ("30s", "--max-rate is 0.001 Mbit/s")] {
        let client = fwd.command(&[&known[..], &[duration]].concat());
        let output = Process::spawn(client).expect("fwd starts").wait(LIMIT).expect("it is sent away");
        assert_eq!(output.status.code(), Some(1), "{}", output.stderr);
        assert!(output.stderr.contains(word) && output.stderr.contains("--max-rate)"), "{}", output.stderr);
    }
    let told = process.stderr();
    for word in ["one client at a time, for 1m and 0.001 Mbit/s at most", "as nobody", "it gave no token"] {
        assert!(told.contains(word), "{word}: {told}");
    }
    fwd.expect_error(&["bench", "--serve", "--max-rate", "fast"], 2, &["--max-rate 500M"]);
    fwd.expect_error(&["bench", "--serve", "1000"], 1, &["0.0.0.0:1001", "from 1023 on"]);
}

#[test]
fn a_live_path_without_a_server_is_an_error_with_a_remedy() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let server = serve(&fwd, &[]).process;
    let wrong = format!("{}:5209", fwd.uplink(0).outside[0]);
    fwd.expect_error(&["bench", "--ns", &pod.name, "--target", &wrong], 1, &[&wrong, "fwd bench --serve"]);
    fwd.expect_error(&["bench", "--ns", "nowhere", "--target", &wrong], 3, &["nowhere"]);
    fwd.expect_error(&["bench", "--ns", &pod.name, "--target", "192.0.2.1:port"], 2, &["192.0.2.1:port", "5210"]);
    server.signal(Signal::SIGINT).expect("it runs");
    assert!(server.wait(LIMIT).expect("Ctrl-C ends it").status.success());
}

#[test]
fn a_live_text_names_both_ends() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let Server { process: _serving, address, token } = serve(&fwd, &[]);
    let target = ["bench", "--ns", &pod.name, "--target", &address, "--token", &token];
    let text = fwd.ok(&[&target[..], &["--quick", "--metrics", "tcp-rr,udp-64"]].concat());
    for word in [pod.name.as_str(), &address, "TCP_RR", "UDP 64 B"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}
