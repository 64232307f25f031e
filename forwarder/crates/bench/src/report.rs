//! What a run of `fwd bench` found out: the document of `--json`, from which tables and pages are made.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::{Family, Metric, Path};

/// Version of the document.
pub const SCHEMA: u32 = 1;

/// A whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Version of `fwd`.
    pub fwd: String,
    /// When it began, UTC, RFC 3339.
    pub started: String,
    /// How long it took, seconds.
    pub took: f64,
    /// The machine.
    pub environment: Environment,
    /// What was asked for.
    pub settings: Settings,
    /// Of [`Path::Live`]: from which namespace to which server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<Ends>,
    /// Each path in the order in which they are shown, those that this machine does not have too.
    pub paths: Vec<PathReport>,
    /// What each path takes more than [`Path::Host`].
    pub overheads: Vec<Overhead>,
    /// How a metric grows with namespaces or flows.
    pub growth: Vec<Growth>,
    /// What makes these figures doubtful, for the reader.
    pub warnings: Vec<String>,
}

/// Where a live path begins and ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ends {
    /// The namespace, as it was given; `host` if none was.
    pub from: String,
    /// The server's address and port.
    pub to: String,
}

/// The machine and what of it may change the figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// `uname -r`.
    pub kernel: String,
    /// `uname -m`.
    pub machine: String,
    /// The model of the CPU.
    pub cpu: String,
    /// CPUs that this process may use.
    pub cpus: usize,
    /// CPU of client and server where they take turns, which is one: in all loads but streams. Of a live path only the client's.
    pub pinned: [usize; 2],
    /// CPU of sender and receiver of a stream, which work at the same time. Of a live path only this machine's end.
    #[serde(default)]
    pub pinned_streams: [usize; 2],
    /// Name of the hypervisor, if the CPU says that there is one.
    pub hypervisor: Option<String>,
    /// How the frequency is governed, if the kernel does that.
    pub governor: Option<String>,
    /// The clock.
    pub clock_source: Option<String>,
    /// Vulnerabilities and what the kernel does about them, those that affect this CPU.
    pub mitigations: Vec<[String; 2]>,
    /// Offloads of the sandbox's interfaces that are on.
    pub offloads: Vec<String>,
    /// Share of the time that the hypervisor took away during the run, 0 to 1.
    pub steal: f64,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// By which protocol: 4 or 6.
    #[serde(default)]
    pub family: Family,
    /// Whether the client is outside, and the server behind a published port.
    #[serde(default)]
    pub published: bool,
    /// Rounds, each over all paths and metrics.
    pub rounds: usize,
    /// How often the sandboxes were set up: once for each round, or once for all.
    #[serde(default = "one")]
    pub setups: usize,
    /// Seconds of each measurement.
    pub duration: f64,
    /// Seconds before it.
    pub warm_up: f64,
    /// Bytes of a request and of its reply.
    pub size: usize,
    /// TCP connections at once in a stream.
    pub streams: usize,
    /// Requests per second at fixed times, of round trips; none where the next is sent when the last is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
    /// Namespaces that are up, of which one is measured.
    pub namespaces: usize,
    /// Flows that are in the table beside the measured one.
    pub flows: usize,
    /// Who makes the load: `fwd`, `iperf3` or `sockperf`.
    pub with: String,
    /// Its version, if that is another program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with_version: Option<String>,
    /// What it cannot measure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<Metric>,
}

/// Reports of before had no more.
const fn one() -> usize {
    1
}

/// A median over the rounds with a 95 % bootstrap confidence interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The median.
    pub median: f64,
    /// Where the interval begins.
    pub low: f64,
    /// Where it ends.
    pub high: f64,
}

/// One path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PathReport {
    /// Which.
    pub path: Path,
    /// Why it was not measured.
    pub unavailable: Option<String>,
    /// What was measured.
    pub metrics: Vec<MetricReport>,
}

/// One metric of one path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricReport {
    /// Which.
    pub metric: Metric,
    /// Half the round trip at the median in microseconds, or a rate per second; see [`Metric`].
    pub value: Estimate,
    /// The same of each round.
    pub rounds: Vec<f64>,
    /// Ratio to [`Path::Host`] in the same round.
    pub to_host: Option<Estimate>,
    /// The distribution, of what has one.
    pub latency: Option<Latency>,
    /// CPU time for each round trip, connection, datagram or kilobyte, nanoseconds.
    pub cpu_ns: Option<Estimate>,
    /// Share of the datagrams that were lost, 0 to 1.
    pub lost: f64,
}

/// Half round trips (connections: from connect to reset), microseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Half of them take at most this.
    pub p50: Estimate,
    /// Nine of ten.
    pub p90: Estimate,
    /// 99 of a hundred.
    pub p99: Estimate,
    /// 999 of a thousand.
    pub p999: Estimate,
    /// The slowest of a round.
    pub max: Estimate,
    /// How much they differ; none in reports of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variation: Option<Variation>,
    /// The 99th percentile's ratio to [`Path::Host`]'s in the same round.
    pub p99_to_host: Option<Estimate>,
    /// The distribution over all rounds: microseconds, and the share that took at most so long, rising.
    pub cdf: Vec<[f64; 2]>,
    /// The same as it was kept, nanoseconds of whole round trips or connections: for logs of histograms, and not in the document.
    #[serde(skip)]
    pub times: Option<Histogram<u64>>,
}

/// Delay variation, microseconds of half round trips (connections: from connect to reset).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Variation {
    /// The 99.9th percentile above the least of a round: RFC 8219, section 7.3.1; RFC 5481, section 4.2.
    pub above_least: Estimate,
    /// The 99th percentile above the median.
    pub above_median: Estimate,
    /// The 99th percentile of how far two in a row lie apart, either way: RFC 3393; RFC 8219, section 7.3.2.
    pub in_a_row: Option<Estimate>,
}

/// What a path takes more than [`Path::Host`] in the same round.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Overhead {
    /// Which path.
    pub path: Path,
    /// Of which metric, one that is a latency.
    pub metric: Metric,
    /// Microseconds of half the round trip at the median.
    pub micros: Estimate,
    /// As a share of what [`Path::BridgeMasquerade`] ([`Path::NftDnat`] to a published port) takes more in the same round, where that was
    /// measured.
    pub of_bridge: Option<Estimate>,
}

/// How a metric of a path changes with the number of something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Growth {
    /// Of what there are more: `namespaces` or `flows`.
    pub of: String,
    /// Which path.
    pub path: Path,
    /// Which metric.
    pub metric: Metric,
    /// Rising.
    pub points: Vec<GrowthPoint>,
}

/// With so many.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GrowthPoint {
    /// How many.
    pub count: usize,
    /// The metric.
    pub value: Estimate,
    /// Its ratio to the first point's in the same round.
    pub to_first: Estimate,
}
