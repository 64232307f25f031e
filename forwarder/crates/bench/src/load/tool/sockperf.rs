//! Round trips by sockperf: ping-pong with its full log, a time for each round trip.

use std::{net::SocketAddr, time::Duration};

use super::{Peers, Sample, Tool, Work, client, serve, unreadable, whole_seconds, words};
use crate::{
    Metric,
    load::{time::times::Times, workers::LoadCpus},
};
use fwd_base::{Error, Kind, Result};

/// Bytes of its smallest message.
pub(super) const SMALLEST: usize = 14;
/// It leaves out what happens in the first part of its time, and in all so much.
const WARM_UP: Duration = Duration::from_millis(400);
const LEFT_OUT: Duration = Duration::from_millis(500);
/// It has room in memory for every round trip that there might be: gigabytes for a minute.
const LONGEST: Duration = Duration::from_secs(59);

/// See [`Tool::times`].
pub(super) fn times(duration: Duration) -> Result<[Duration; 2]> {
    if duration > LONGEST {
        let why = format!("it keeps every round trip in memory: it can measure for {LONGEST:?}, not for {duration:?}");
        let error = Error::new(Kind::Usage, "measure with", Tool::Sockperf.id(), why);
        return Err(error.remedy("give more --rounds instead of a long --duration"));
    }
    Ok([lasts(duration) - LEFT_OUT, WARM_UP])
}

/// The time to give it, for that much to count.
fn lasts(duration: Duration) -> Duration {
    whole_seconds(duration + LEFT_OUT)
}

/// Both ends take turns on one CPU, as ours do; each is one thread that blocks.
pub(super) fn run(peers: &Peers<'_>, work: &Work, cpus: LoadCpus) -> Result<Sample> {
    let lasts = lasts(work.duration);
    let (affinity, tcp) = (cpus.in_turn(), work.metric == Metric::TcpRr);
    let common = |verb: &str, at: SocketAddr| {
        let mut argv = words(["sockperf", verb, "--ip", &at.ip().to_string(), "--port", &at.port().to_string()]);
        argv.extend(tcp.then(|| "--tcp".to_owned()));
        argv
    };
    let _server = serve(peers, &common("server", peers.listen), affinity, if tcp { "tcp" } else { "udp" })?;
    let mut argv = common("ping-pong", peers.target);
    let (size, seconds) = (work.size.to_string(), lasts.as_secs().to_string());
    argv.extend(words(["--msg-size", &size, "--time", &seconds, "--full-rtt", "--full-log", "/dev/stdout"]));
    let said = client(peers, &argv, affinity, lasts)?;
    parse(&format!("{}{}", said.stdout, said.stderr))
}

/// The log has lines `packet, txTime(sec), rxTime(sec), rtt(usec)`; what is between them is for people.
fn parse(said: &str) -> Result<Sample> {
    let mut times = Times::new()?;
    let (mut first, mut last) = (f64::NAN, f64::NAN);
    for line in said.lines() {
        let fields: Vec<f64> = line.split(", ").map_while(|field| field.trim().parse().ok()).collect();
        let &[_, sent, received, micros] = fields.as_slice() else { continue };
        times.record((micros * 1e3) as u64)?;
        first = if first.is_nan() { sent } else { first };
        last = received;
    }
    let per_second = times.took.len() as f64 / (last - first);
    if !(per_second.is_finite() && per_second > 0.0) {
        return Err(unreadable(Tool::Sockperf, said));
    }
    Ok(Sample { per_second, latency: Some(times.took), changes: Some(times.changes), cpu_ns: None, lost: 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_of_the_log_is_a_round_trip() {
        let said = "sockperf: Test ended\npacket, txTime(sec), rxTime(sec), rtt(usec)\n0, 2.000000000, 2.000040000, 40.000\n\
                    1, 2.000050000, 2.000100000, 50.000\n------------------------------\n";
        let sample = parse(said).expect("two round trips");
        assert!((sample.per_second - 20_000.0).abs() < 1.0, "{}", sample.per_second);
        let latency = sample.latency.expect("a distribution");
        assert_eq!((latency.len(), latency.min() / 100, latency.max() / 100), (2, 400, 500));
        assert!(parse("sockperf: ERROR: Can't connect").is_err());
    }
}
