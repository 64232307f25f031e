//! Our own load and other programs measure the same: what a path has more than another one, and which is the better one.
//!
//! Not the same figures: what a program spends on itself for each message differs from machine to machine. `./x bench --check`
//! compares those, and docs/benchmarks.md has them. Here the difference is one that is set, and larger than what any machine adds:
//! a way that takes 25 ms, a link of 100 Mbit/s.

use std::{net::Ipv4Addr, time::Duration};

use forwarder::{
    bench::{
        Metric, Path,
        check::{self, Options},
        load::{Peers, Tool, Work},
    },
    netns::Netns,
    testbed::Delay,
};

use crate::fwd::{Fwd, inside};

/// From the router to the far host.
const ONE_WAY: Duration = Duration::from_millis(25);
/// Bits per second.
const BOTTLENECK: f64 = 100e6;
/// How far two programs may lie apart: half a round trip and a whole one, or bits and bytes, lie further.
const APART: std::ops::Range<f64> = 0.7..1.4;

fn peers<'a>(client: &'a Netns, server: &'a Netns, address: Ipv4Addr) -> Peers<'a> {
    Peers::direct(client, server, (address, 0))
}

/// Microseconds of half a round trip at the median, or bits per second.
#[track_caller]
fn figure(tool: Tool, metric: Metric, peers: &Peers<'_>) -> f64 {
    let usual = [Duration::from_millis(500), Duration::from_millis(200)];
    let [duration, warm_up] = tool.times(usual[0]).expect("a short time").unwrap_or(usual);
    let work = Work { metric, size: 64, streams: 1, rate: None, warm_up, duration };
    let sample = tool.run(peers, &work).unwrap_or_else(|error| panic!("{metric} by {}: {error}", tool.id()));
    sample.figure(metric)
}

/// Measures `paths` by both programs in turn until what they tell of them, and the truth, lie close together. Other work on the machine makes a
/// round trip longer and a stream slower, never the other way round: of each path the best figure so far counts.
#[track_caller]
fn agree<const PATHS: usize>(
    metric: Metric,
    theirs: Tool,
    paths: [&Peers<'_>; PATHS],
    truth: f64,
    told: fn([f64; PATHS]) -> f64,
) {
    const ROUNDS: usize = 10;
    let (worst, better): (f64, fn(f64, f64) -> f64) = match metric {
        Metric::TcpRr | Metric::UdpRr => (f64::INFINITY, f64::min),
        _ => (0., f64::max),
    };
    let mut best = [Tool::Fwd, theirs].map(|tool| (tool, [worst; PATHS]));
    for _ in 0..ROUNDS {
        for (tool, figures) in &mut best {
            for (so_far, peers) in figures.iter_mut().zip(paths) {
                *so_far = better(*so_far, figure(*tool, metric, peers));
            }
        }
        let [ours, theirs] = best.map(|(_, figures)| told(figures));
        if APART.contains(&(theirs / ours)) && APART.contains(&(ours / truth)) {
            return;
        }
    }
    panic!("{metric}: {best:?}, of {truth}, after {ROUNDS} rounds");
}

/// What a way to a host far away takes longer than one to the router.
#[track_caller]
fn same_difference(metric: Metric) {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let far = Delay::start(&fwd, ONE_WAY).expect("a far host");
    let near = peers(&pod, fwd.internet(0), fwd.uplink(0).outside[0]);
    let far = peers(&pod, &far.host, far.address);
    let truth = ONE_WAY.as_secs_f64() * 1e6;
    agree(metric, Tool::Sockperf, [&far, &near], truth, |[far, near]| far - near);
}

#[test]
fn sockperf_measures_the_same_difference_over_tcp() {
    same_difference(Metric::TcpRr);
}

#[test]
fn sockperf_measures_the_same_difference_over_udp() {
    same_difference(Metric::UdpRr);
}

/// What goes through a link that is slower than any CPU.
#[track_caller]
fn same_bottleneck(metric: Metric) {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let slow = |ifname| {
        ["tc", "qdisc", "add", "dev", ifname, "root", "tbf", "rate", "100mbit", "burst", "64kb", "latency", "50ms"]
    };
    inside(fwd.host(), &slow("eth0"));
    inside(fwd.internet(0), &slow("inet0"));
    let peers = peers(&pod, fwd.internet(0), fwd.uplink(0).outside[0]);
    agree(metric, Tool::Iperf3, [&peers], BOTTLENECK, |[rate]| rate);
}

#[test]
fn iperf3_measures_the_same_bottleneck_from_the_namespace() {
    same_bottleneck(Metric::TcpStreamOut);
}

#[test]
fn iperf3_measures_the_same_bottleneck_into_the_namespace() {
    same_bottleneck(Metric::TcpStreamIn);
}

#[test]
fn nobody_is_sure_of_the_opposite_order_of_paths() {
    let options = Options {
        // The two that lie furthest apart. The others, and streams, which change by more from one second to the next than paths differ,
        // are for `./x bench --check`.
        paths: vec![Path::Host, Path::BridgeMasquerade],
        metrics: vec![Metric::TcpRr],
        rounds: 5,
        duration: Duration::from_millis(250),
    };
    // What one and the same pair is said to be the other way round in each of the runs is no chance: other work on the machine may make one
    // program sure of what it does not see again.
    const RUNS: usize = 3;
    let contradicted = || {
        let check = check::run(&options, &mut |_, _, _| {}).expect("all paths are here");
        check.metrics.into_iter().find(|agreement| !agreement.contradictions.is_empty())
    };
    let all: Option<Vec<_>> = (0..RUNS).map(|_| contradicted()).collect();
    assert!(all.is_none(), "{all:#?}");
}
