//! Our own load and other programs measure the same: round trips as sockperf within 5 %, streams as iperf3 within 20 %. iperf3's
//! sender looks for room all the time instead of waiting for it, which costs the receiver on the same CPU (docs/benchmarks.md).
//!
//! The speed of a shared machine changes by more than that, from one second to the next. So each round has our load before and
//! after the other program's, and counts where these two agree: then the machine was the same meanwhile.

use std::{
    thread,
    time::{Duration, Instant},
};

use forwarder::{
    bench::{
        Metric, Path,
        load::{Sample, Tool, Work},
        path::{Sandbox, Scale},
        report::Estimate,
        statistics,
    },
    cpu,
};

/// How far the figures of two programs may lie apart.
const fn apart(tool: Tool) -> f64 {
    if matches!(tool, Tool::Iperf3) { 0.20 } else { 0.05 }
}

/// How far apart the two of our own may lie.
const STEADY: f64 = 0.03;
/// Rounds that count before anything is concluded.
const ENOUGH: usize = 5;
/// How long it goes on while it does not know.
const BUDGET: Duration = Duration::from_secs(60);
/// Of our own load, and at least of the other program's.
const DURATION: Duration = Duration::from_millis(250);

/// The median round trip, or bits per second.
fn figure(sample: &Sample) -> f64 {
    match &sample.latency {
        Some(latency) => latency.value_at_quantile(0.5) as f64,
        None => sample.per_second,
    }
}

/// What the rounds tell.
#[derive(Debug)]
struct Found {
    /// Of the other program's figure to ours, in the rounds that count.
    ratio: Estimate,
    rounds: usize,
    unsteady: usize,
}

impl Found {
    fn is_inside(&self, apart: f64) -> bool {
        1.0 - apart < self.ratio.low && self.ratio.high < 1.0 + apart
    }

    fn is_outside(&self, apart: f64) -> bool {
        self.ratio.high < 1.0 - apart || 1.0 + apart < self.ratio.low
    }
}

/// Measures in rounds over one path until it is known whether the two agree.
fn compare(tool: Tool, metric: Metric) -> Found {
    let sandbox = Sandbox::new(Path::FwdTc, Scale::default()).expect("a path");
    let measure = |tool: Tool| {
        let [duration, warm_up] =
            tool.times(DURATION).expect("a short time").unwrap_or([DURATION, Duration::from_millis(50)]);
        let work = Work { metric, size: 64, streams: 1, warm_up, duration };
        figure(&tool.run(&sandbox.site(), &work).unwrap_or_else(|error| panic!("{metric} by {}: {error}", tool.id())))
    };
    let began = Instant::now();
    // How steady each round was, and its ratio.
    let mut rounds: Vec<(f64, f64)> = Vec::new();
    let mut before = measure(Tool::Fwd);
    loop {
        let (theirs, after) = (measure(tool), measure(Tool::Fwd));
        rounds.push(((after / before - 1.0).abs(), theirs / (before * after).sqrt()));
        before = after;
        let over = began.elapsed() > BUDGET;
        rounds.sort_by(|one, other| one.0.total_cmp(&other.0));
        let steady = rounds.partition_point(|(change, _)| *change <= STEADY);
        if steady < ENOUGH && !over {
            continue;
        }
        // On a machine that is hardly ever steady, the steadier half.
        let count = steady.max(ENOUGH).max(rounds.len() / 2);
        let counted: Vec<f64> = rounds.iter().take(count).map(|(_, ratio)| *ratio).collect();
        let ratio = statistics::estimate(&counted).expect("there are rounds");
        let found = Found { ratio, rounds: counted.len(), unsteady: rounds.len() - counted.len() };
        if over || found.is_inside(apart(tool)) {
            return found;
        }
    }
}

/// What is not known at the end of the time is no disagreement.
#[track_caller]
fn agrees(tool: Tool, metric: Metric, found: &Found) {
    let Found { ratio: Estimate { median, low, high }, rounds, unsteady } = found;
    let text = format!(
        "{metric}: {} is {median:.3} ({low:.3}–{high:.3}) of ours in {rounds} rounds, {unsteady} left out",
        tool.id()
    );
    // For the tables of docs/benchmarks.md: `--nocapture`.
    println!("{text}");
    assert!(!found.is_outside(apart(tool)), "{text}");
}

/// Both ends take turns on one CPU, at real-time priority, as the load itself takes care of.
#[track_caller]
fn same_round_trips(metric: Metric) {
    agrees(Tool::Sockperf, metric, &compare(Tool::Sockperf, metric));
}

/// Whoever starts a load where it may use one CPU has sender and receiver take turns. How fast they are on two depends on which of
/// them sends what an acknowledgement lets go, and on what else runs there: by chance, and by much more than 5 %.
#[track_caller]
fn same_stream(metric: Metric) {
    let compare = move || {
        cpu::stay_on(*cpu::usable().expect("CPUs").last().expect("one")).expect("it may be used");
        compare(Tool::Iperf3, metric)
    };
    let found = thread::spawn(compare).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    agrees(Tool::Iperf3, metric, &found);
}

#[test]
fn sockperf_measures_the_same_round_trips_over_tcp() {
    same_round_trips(Metric::TcpRr);
}

#[test]
fn sockperf_measures_the_same_round_trips_over_udp() {
    same_round_trips(Metric::UdpRr);
}

#[test]
fn iperf3_measures_the_same_stream_from_the_namespace() {
    same_stream(Metric::TcpStreamOut);
}

#[test]
fn iperf3_measures_the_same_stream_into_the_namespace() {
    same_stream(Metric::TcpStreamIn);
}
