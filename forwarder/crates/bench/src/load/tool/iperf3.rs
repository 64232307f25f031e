//! Streams by iperf3, as its JSON tells them.

use serde_json::Value;

use super::{Peers, Sample, Tool, Work, client, serve, unreadable, whole_seconds, words};
use crate::{
    Metric,
    load::{kind::stream::congestion, workers::LoadCpus},
};
use fwd_base::{Error, Kind, Result};

/// Sender and receiver on the CPUs that ours have, with the same congestion control, and by blocks of 128 KiB as ours, which is its
/// default.
pub(super) fn run(peers: &Peers<'_>, work: &Work, cpus: LoadCpus) -> Result<Sample> {
    let inward = work.metric == Metric::TcpStreamIn;
    let (here, there) = if inward { (cpus.receiver(), cpus.sender()) } else { (cpus.sender(), cpus.receiver()) };
    let family = if peers.listen.is_ipv6() { "--version6" } else { "--version4" };
    let (address, port) = (peers.listen.ip().to_string(), peers.listen.port().to_string());
    let argv = words(["iperf3", "--server", "--one-off", family, "--bind", &address, "--port", &port]);
    let _server = serve(peers, &argv, there, "tcp")?;
    let duration = whole_seconds(work.duration);
    let (seconds, streams) = (duration.as_secs().to_string(), work.streams.to_string());
    let (address, port) = (peers.target.ip().to_string(), peers.target.port().to_string());
    let mut argv = words(["iperf3", "--client", &address, family, "--port", &port, "--connect-timeout", "3000"]);
    // No reports in between: whoever makes one does not send meanwhile.
    argv.extend(words(["--json", "--interval", "0", "--time", &seconds, "--parallel", &streams]));
    argv.extend(congestion(cpus).into_iter().flat_map(|name| words(["--congestion", name])));
    argv.extend(inward.then(|| "--reverse".to_owned()));
    parse(&client(peers, &argv, here, duration)?.stdout)
}

fn parse(said: &str) -> Result<Sample> {
    let unreadable = || unreadable(Tool::Iperf3, said);
    let value: Value = serde_json::from_str(said).map_err(|_| unreadable())?;
    if let Some(error) = value["error"].as_str() {
        return Err(Error::new(Kind::Failed, "measure with", Tool::Iperf3.id(), error));
    }
    let per_second = value["end"]["sum_received"]["bits_per_second"].as_f64().filter(|rate| *rate > 0.0);
    let per_second = per_second.ok_or_else(unreadable)?;
    Ok(Sample { per_second, latency: None, changes: None, cpu_ns: None, lost: 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_arrived_counts() {
        let said = r#"{"end":{"sum_sent":{"bits_per_second":9e9},"sum_received":{"bits_per_second":8e9}}}"#;
        assert_eq!(parse(said).expect("figures").per_second, 8e9);
    }

    #[test]
    fn what_it_complains_of_is_passed_on() {
        let refused = parse(r#"{"error":"unable to connect to server"}"#).expect_err("an error");
        assert!(refused.why.contains("unable to connect"), "{refused}");
        for said in ["", "iperf3: oops", "{}", r#"{"end":{"sum_received":{"bits_per_second":0}}}"#] {
            assert_eq!(parse(said).expect_err("no figure").kind, Kind::Failed);
        }
    }
}
