//! What a report says in words: names, the headline, what was not measured, and where.

use std::time::Duration;

use super::numbers::{Scale, grouped, percent};
use crate::{
    Comparison, Family, Metric, Path,
    report::{Ends, Environment, Estimate, MetricReport, Overhead, Report, Settings},
};
use fwd_render::units;

/// Whether a path is one of fwd's.
pub(super) fn is_own(path: Path) -> bool {
    path.id().starts_with("fwd-")
}

/// A path's name where there is little room.
pub(super) const fn short(path: Path) -> &'static str {
    match path {
        Path::Routed => "routed",
        Path::NftMasquerade => "nft masquerade",
        Path::BridgeMasquerade => "bridge",
        Path::NftDnat => "nft DNAT",
        Path::DockerProxy => "docker-proxy",
        _ => path.title(),
    }
}

/// What a metric is.
pub(super) const fn meaning(metric: Metric) -> &'static str {
    match metric {
        Metric::TcpRr => "request and reply over one TCP connection, half the round trip",
        Metric::UdpRr => "request and reply over UDP, half the round trip",
        Metric::TcpCrr => "TCP connections opened, used for one request, and reset",
        Metric::TcpStreamOut => "TCP one way, from the client",
        Metric::TcpStreamIn => "TCP one way, to the client",
        Metric::Udp64 => "UDP datagrams of 64 bytes from the client that arrive",
        Metric::UdpMtu => "UDP datagrams as long as the MTU allows that arrive",
        Metric::UdpThroughput => {
            "the highest rate of UDP datagrams of the size asked for at which every one arrives (RFC 2544)"
        }
        Metric::UdpEstablish => "new UDP flows, each asked and answered once (RFC 9693)",
        Metric::TcpEstablish => "TCP connections set up until both ends have them",
        Metric::TcpTeardown => "TCP connections taken down by both ends",
    }
}

/// What the CPU time of a metric is counted for.
pub(super) const fn transaction(metric: Metric) -> &'static str {
    match metric {
        Metric::TcpRr | Metric::UdpRr => "round trip",
        Metric::TcpCrr | Metric::TcpEstablish | Metric::TcpTeardown => "connection",
        Metric::UdpEstablish => "flow",
        Metric::TcpStreamOut | Metric::TcpStreamIn => "kilobyte",
        Metric::Udp64 | Metric::UdpMtu | Metric::UdpThroughput => "datagram",
    }
}

/// What was measured of `metric` over `path`.
pub(super) fn measured(report: &Report, path: Path, metric: Metric) -> Option<&MetricReport> {
    let path = report.paths.iter().find(|candidate| candidate.path == path)?;
    path.metrics.iter().find(|candidate| candidate.metric == metric)
}

/// The overhead of `path` in `metric`.
pub(super) fn overhead(report: &Report, path: Path, metric: Metric) -> Option<&Overhead> {
    report.overheads.iter().find(|overhead| overhead.path == path && overhead.metric == metric)
}

/// The metrics that any path has, in the order in which they are shown.
pub(super) fn metrics(report: &Report) -> Vec<Metric> {
    let any = |metric| report.paths.iter().any(|path| path.metrics.iter().any(|found| found.metric == metric));
    Metric::ALL.into_iter().filter(|metric| any(*metric)).collect()
}

/// One sentence for each of fwd's paths: what it adds to the host, and as a share of what the bridge adds.
pub(super) fn headline(report: &Report) -> Vec<String> {
    Path::ALL.into_iter().filter(|path| is_own(*path)).filter_map(|path| headline_of(report, path)).collect()
}

fn headline_of(report: &Report, path: Path) -> Option<String> {
    let latencies = [(Metric::TcpRr, "TCP"), (Metric::UdpRr, "UDP")];
    let found: Vec<_> = latencies
        .into_iter()
        .filter_map(|(metric, name)| overhead(report, path, metric).map(|overhead| (name, overhead)))
        .collect();
    if found.is_empty() {
        return None;
    }
    let told = found.iter().all(|(_, overhead)| is_told(overhead.micros));
    let adds = found.iter().map(|(name, overhead)| {
        let scale = Scale::micros([overhead.micros.high]);
        let micros = if told {
            scale.with_unit(overhead.micros.median)
        } else {
            format!("{} µs", scale.interval(overhead.micros))
        };
        format!("{micros} to {name}")
    });
    let adds = adds.collect::<Vec<_>>().join(" and ");
    let shares = found.iter().filter_map(|(_, overhead)| overhead.of_bridge.map(|share| percent(share.median)));
    let shares = shares.collect::<Vec<_>>();
    let more = match shares.as_slice() {
        _ if !told => ": the machine was too noisy to tell more".into(),
        [] => String::new(),
        shares => format!(": {} of what {} adds", shares.join(" and "), way(report).bridge().title()),
    };
    Some(format!("{} adds {adds} over host{more}.", path.title()))
}

/// Whether a median says enough: the interval is narrower than it, and does not reach zero.
fn is_told(estimate: Estimate) -> bool {
    estimate.low > 0.0 && estimate.high - estimate.low <= estimate.median
}

/// Which way packets went.
fn way(report: &Report) -> Comparison {
    let Settings { family, published, .. } = report.settings;
    Comparison { family, published }
}

/// Path and reason of what was not measured.
pub(super) fn unavailable(report: &Report) -> impl Iterator<Item = (Path, &str)> {
    report.paths.iter().filter_map(|path| path.unavailable.as_deref().map(|why| (path.path, why)))
}

/// How it was measured, in one line.
pub(super) fn settings(report: &Report) -> String {
    let Settings {
        family, published, rounds, setups, duration, warm_up, size, streams, rate, namespaces, flows, ..
    } = &report.settings;
    let each = if *setups > 1 { ", each set up anew" } else { "" };
    let mut parts = vec![
        format!("{}{each}", units::counted(u64::try_from(*rounds).unwrap_or(u64::MAX), "round")),
        format!("{duration} s each after {warm_up} s to warm up"),
        format!("{size} bytes"),
    ];
    if *published {
        parts.insert(0, "in to a published port".into());
    }
    if *family == Family::V6 {
        parts.insert(0, "over IPv6".into());
    }
    if *streams > 1 {
        parts.push(format!("{streams} streams"));
    }
    if let Some(rate) = rate {
        parts.push(format!("{} requests/s at fixed times, late ones from when they were due", grouped(*rate as usize)));
    }
    if *namespaces > 1 {
        parts.push(format!("{namespaces} namespaces up"));
    }
    if *flows > 0 {
        parts.push(format!("{flows} more flows"));
    }
    if let Some(Ends { from, to }) = &report.live {
        parts.insert(0, format!("from {from} to {to}"));
    }
    parts.push(format!("took {}", took(report.took)));
    parts.join(", ")
}

/// Who made the load, if it was another program, and what that does not measure.
pub(super) fn load(report: &Report) -> Option<String> {
    let Settings { with, with_version, left_out, .. } = &report.settings;
    if with == "fwd" {
        return None;
    }
    let by = with_version.as_ref().unwrap_or(with);
    let left_out: Vec<_> = left_out.iter().map(|left_out| left_out.title()).collect();
    Some(if left_out.is_empty() { by.clone() } else { format!("{by}, which leaves out {}", left_out.join(", ")) })
}

/// A time span.
pub(super) fn took(seconds: f64) -> String {
    let span = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    units::span(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

/// Which CPUs the ends of a load had.
fn places(report: &Report, in_turn: usize, [sender, receiver]: [usize; 2]) -> String {
    let is_stream = |metric: &Metric| metric.is_one_way();
    let (streams, others): (Vec<_>, Vec<_>) = metrics(report).into_iter().partition(is_stream);
    let who = if report.live.is_some() { "client" } else { "client and server" };
    let others = (!others.is_empty()).then(|| format!("{who} on CPU {in_turn}"));
    let streams = (!streams.is_empty()).then(|| match report.live {
        Some(_) => format!("a stream's sender on CPU {sender} or its receiver on CPU {receiver}"),
        None => format!("a stream's sender on CPU {sender}, its receiver on CPU {receiver}"),
    });
    others.into_iter().chain(streams).collect::<Vec<_>>().join("; ")
}

/// The machine, as label and value; what is not known is left out.
pub(super) fn machine(report: &Report) -> Vec<(&'static str, String)> {
    let Environment {
        kernel,
        machine,
        cpu,
        cpus,
        pinned,
        pinned_streams,
        hypervisor,
        governor,
        clock_source,
        mitigations: _,
        offloads: _,
        steal,
    } = &report.environment;
    let pinned = places(report, pinned[0], *pinned_streams);
    let steal = if hypervisor.is_some() { format!("{} of the time", percent(*steal)) } else { String::new() };
    let all = [
        ("kernel", format!("Linux {kernel} {machine}")),
        ("CPU", format!("{cpu}, {cpus} usable")),
        ("pinned", pinned),
        ("hypervisor", hypervisor.clone().unwrap_or_default()),
        ("stolen by it", steal),
        ("governor", governor.clone().unwrap_or_default()),
        ("clock", clock_source.clone().unwrap_or_default()),
    ];
    all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}
