//! Round-trip latency by ping-pong: one message there, one back, client and server on one CPU.

use std::{net::Ipv4Addr, time::Duration};

use forwarder::{
    Error, Result,
    bench::{
        Metric,
        load::{self, Peers, Work},
    },
    netns::Netns,
};

/// Short: many rounds tell more than long ones. In the warm-up neighbours are found and the flow is established.
const WORK: Work = Work {
    metric: Metric::TcpRr,
    size: 64,
    streams: 1,
    rate: None,
    warm_up: Duration::from_millis(3),
    duration: Duration::from_millis(10),
};

/// From where to where.
pub(crate) struct Path<'a> {
    /// What it is, for the reader.
    pub(crate) title: &'static str,
    /// Where the client is.
    pub(crate) client: &'a Netns,
    /// Where the server is.
    pub(crate) server: &'a Netns,
    /// The address of the server.
    pub(crate) address: Ipv4Addr,
}

/// Round trips of one protocol on one path.
pub(crate) struct RoundTrip {
    /// Median of the rounds' medians, microseconds.
    pub(crate) micros: f64,
    /// Median over the rounds of what it took more than the first path in the same round, microseconds.
    pub(crate) added: f64,
    /// Median over the rounds of its ratio to the first path in the same round.
    pub(crate) ratio: f64,
}

/// Measures every path in each of `rounds` short rounds, so that all have the same share of what else the machine does, over
/// TCP and UDP. Within a round they are compared with the first.
pub(crate) fn compare(paths: &[Path<'_>], rounds: usize) -> Result<Vec<[RoundTrip; 2]>> {
    let mut seen: Vec<[Vec<f64>; 2]> = paths.iter().map(|_| Default::default()).collect();
    for _ in 0..rounds {
        for (path, [tcp, udp]) in paths.iter().zip(&mut seen) {
            tcp.push(median_of(path, Metric::TcpRr)?);
            udp.push(median_of(path, Metric::UdpRr)?);
        }
    }
    let Some([first_tcp, first_udp]) = seen.first() else { return Ok(Vec::new()) };
    Ok(seen.iter().map(|[tcp, udp]| [against(tcp, first_tcp), against(udp, first_udp)]).collect())
}

/// Summarises the rounds of one path, each beside the first path's.
fn against(path: &[f64], first: &[f64]) -> RoundTrip {
    let pairs = || path.iter().zip(first);
    RoundTrip {
        micros: median(path.to_vec()),
        added: median(pairs().map(|(path, first)| path - first).collect()),
        ratio: median(pairs().map(|(path, first)| path / first).collect()),
    }
}

/// The median round trip of one run, microseconds.
fn median_of(path: &Path<'_>, metric: Metric) -> Result<f64> {
    let peers = Peers::direct(path.client, path.server, (path.address, 0));
    let sample = load::run(&peers, &Work { metric, ..WORK }).map_err(|mut error: Error| {
        error.object = format!("{} ({})", error.object, path.title);
        error
    })?;
    Ok(sample.latency.map_or(f64::NAN, |latency| latency.value_at_quantile(0.5) as f64 / 1e3))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
