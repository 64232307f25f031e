//! The load of `fwd bench` over real paths: it measures each of them, and says who did not answer.

use std::{
    net::SocketAddrV4,
    process::Command,
    time::{Duration, Instant},
};

use forwarder::{
    Error, Kind,
    bench::{
        Metric,
        load::{self, Sample, Site, Work},
    },
    lab::{Process, wait_until},
    netns::Netns,
};
use nix::sys::signal::Signal;

use crate::fwd::{Fwd, LIMIT, binary, inside};

const WORK: Work = Work {
    metric: Metric::TcpRr,
    size: 64,
    streams: 2,
    warm_up: Duration::from_millis(50),
    duration: Duration::from_millis(200),
};

/// From `client` to the first address of the internet.
fn outward(fwd: &Fwd, client: &Netns, metric: Metric) -> Result<Sample, Error> {
    let address = SocketAddrV4::new(fwd.uplink(0).outside[0], 0);
    load::run(&Site { client, server: fwd.internet(0), address }, &Work { metric, ..WORK })
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
            assert!(sample.cpu_ns.is_some_and(|cpu| cpu > 0.0), "{metric} from {whence}: {:?}", sample.cpu_ns);
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
    for rule in ["meta l4proto udp ip length != 1500 counter drop", "ip frag-off & 0x3fff != 0 counter drop"] {
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
        assert!(before.elapsed() < Duration::from_secs(30), "{metric}: {error}");
    }
}

/// `fwd bench --serve` in the internet, and where it listens.
fn serve(fwd: &Fwd, args: &[&str]) -> (Process, String) {
    let address = format!("{}:5210", fwd.uplink(0).outside[0]);
    let internet = fwd.internet(0).name().as_str();
    let mut command = Command::new(binary());
    command.args(["--host-netns", internet, "bench", "--serve", &address]).args(args);
    let server = Process::spawn(command).expect("fwd starts");
    let serves = || Ok(server.stderr().contains("serving on").then_some(()));
    wait_until(LIMIT, "the server serves", serves).unwrap_or_else(|error| panic!("{error}: {}", server.stderr()));
    (server, address)
}

#[test]
fn a_live_path_is_measured_against_a_server_elsewhere() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let (server, address) = serve(&fwd, &["--once"]);
    let report = fwd.json(&["bench", "--ns", &pod.name, "--target", &address, "--rounds", "2", "--duration", "100ms"]);
    assert_eq!((&report["live"]["from"], &report["live"]["to"]), (&pod.name.as_str().into(), &address.as_str().into()));
    assert_eq!(report["paths"].as_array().map(Vec::len), Some(1), "{report}");
    let metrics = report["paths"][0]["metrics"].as_array().expect("metrics");
    assert_eq!(metrics.len(), Metric::ALL.len(), "{report}");
    for metric in metrics {
        assert!(metric["value"]["median"].as_f64().is_some_and(|value| value > 0.0), "{metric}");
        assert_eq!(metric["rounds"].as_array().map(Vec::len), Some(2), "{metric}");
    }
    let ended = server.wait(LIMIT).expect("--once ends it");
    assert!(ended.status.success(), "{}", ended.stderr);
    // What the server saw is the uplink's address: the path goes through fwd.
    assert!(ended.stderr.contains(&format!("{}:", fwd.uplink(0).address)), "{}", ended.stderr);
}

#[test]
fn a_server_ends_when_its_time_is_over() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let (server, address) = serve(&fwd, &["--duration", "2s"]);
    assert!(server.stderr().contains("Ctrl-C, or in 2s"), "{}", server.stderr());
    // Nor does a client keep it.
    let args = ["bench", "--ns", &pod.name, "--target", &address, "--metrics", "tcp-rr", "--duration", "1h"];
    let client = Process::spawn(fwd.command(&args)).expect("fwd starts");
    assert!(server.wait(LIMIT).expect("it ends").status.success());
    assert!(!client.wait(LIMIT).expect("it ends with its server").status.success());
    fwd.expect_error(&["bench", "--serve", "--duration", "10ms"], 2, &["1s", "--duration 1h"]);
}

#[test]
fn a_live_path_without_a_server_is_an_error_with_a_remedy() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let (server, _) = serve(&fwd, &[]);
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
    let (_server, address) = serve(&fwd, &[]);
    let args = ["bench", "--ns", &pod.name, "--target", &address, "--quick", "--metrics", "tcp-rr,udp-64"];
    let text = fwd.ok(&args);
    for word in [pod.name.as_str(), &address, "TCP_RR", "UDP 64 B"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}
