//! A report made by hand, for tests: of a machine without netkit and flow tables, with figures as they are.

use crate::{
    Family, Metric, Path,
    report::{
        Environment, Estimate, Growth, GrowthPoint, Latency, MetricReport, Overhead, PathReport, Report, SCHEMA,
        Settings, Variation,
    },
};

/// `value` plus and minus a share of it.
pub(crate) fn about(value: f64, share: f64) -> Estimate {
    Estimate { median: value, low: value * (1.0 - share), high: value * (1.0 + share) }
}

/// Half round trips TCP and UDP in µs, connections/s, Gbit/s out and in, datagrams/s of 64 bytes and of the MTU.
const FIGURES: [(Path, [f64; 7]); 7] = [
    (Path::Host, [6.95, 6.34, 18_500.0, 52.1, 51.8, 227_000.0, 201_000.0]),
    (Path::VethFloor, [7.47, 6.86, 17_400.0, 52.3, 51.0, 200_000.0, 184_000.0]),
    (Path::FwdTc, [7.93, 7.19, 16_300.0, 51.4, 50.6, 187_000.0, 173_000.0]),
    (Path::FwdXdp, [8.61, 7.69, 15_200.0, 9.3, 8.1, 171_000.0, 158_000.0]),
    (Path::Routed, [8.15, 7.14, 15_000.0, 48.0, 47.2, 176_000.0, 160_000.0]),
    (Path::NftMasquerade, [9.10, 8.00, 13_000.0, 43.9, 42.8, 163_000.0, 151_000.0]),
    (Path::BridgeMasquerade, [9.81, 8.72, 12_900.0, 40.7, 39.9, 138_000.0, 129_000.0]),
];

/// A log-logistic tail over a fixed part: what latencies look like.
fn latency(median: f64, host: f64) -> Latency {
    let at = |share: f64| median * (0.93 + 0.07 * (share / (1.0 - share)).powf(0.45));
    let estimate = |share| about(at(share), 0.01);
    let cdf = (1..1000).map(|step| f64::from(step) / 1000.0).chain([0.9993, 0.9996, 0.9999]);
    let cdf = cdf.map(|share| [at(share), share]).chain([[at(0.99995), 1.0]]).collect();
    Latency {
        p50: estimate(0.5),
        p90: estimate(0.9),
        p99: estimate(0.99),
        p999: estimate(0.999),
        max: about(at(0.99995), 0.4),
        variation: Some(Variation {
            above_least: about(at(0.999) - median * 0.93, 0.05),
            above_median: about(at(0.99) - median, 0.04),
            in_a_row: Some(about(at(0.99) - median * 0.9, 0.03)),
        }),
        p99_to_host: Some(about(median / host, 0.02)),
        cdf,
        times: None,
    }
}

fn metrics(figures: [f64; 7]) -> Vec<MetricReport> {
    let host = FIGURES[0].1;
    let metric = |((metric, value), host): ((Metric, f64), f64)| {
        let latency = match metric {
            Metric::TcpRr | Metric::UdpRr => Some(latency(value, host)),
            Metric::TcpCrr => Some(latency(1e6 / value, 1e6 / host)),
            _ => None,
        };
        let unit = if matches!(metric, Metric::TcpStreamOut | Metric::TcpStreamIn) { 1e9 } else { 1.0 };
        let per_second = if metric.is_latency() { 5e5 / value } else { value };
        let cpu = if unit > 1.0 { 15_000.0 / value } else { 9.9e8 / per_second };
        MetricReport {
            metric,
            value: about(value * unit, 0.007),
            rounds: [0.996, 1.0, 1.005].map(|factor| value * unit * factor).to_vec(),
            to_host: Some(about(value / host, if value == host { 0.0 } else { 0.005 })),
            latency,
            cpu_ns: Some(about(cpu, 0.01)),
            lost: if metric == Metric::Udp64 { 0.012 } else { 0.0 },
        }
    };
    Metric::USUAL.into_iter().zip(figures).zip(host).map(metric).collect()
}

fn path(path: Path) -> PathReport {
    let figures = FIGURES.iter().find(|(measured, _)| *measured == path).map(|(_, figures)| *figures);
    let unavailable = figures.is_none().then(|| format!("this kernel has no {}", path.title().replace("fwd ", "")));
    PathReport { path, unavailable, metrics: figures.map_or_else(Vec::new, metrics) }
}

fn overheads() -> Vec<Overhead> {
    let (host, bridge) = (FIGURES[0].1, FIGURES[6].1);
    let of = |(path, figures): &(Path, [f64; 7])| {
        [Metric::TcpRr, Metric::UdpRr]
            .into_iter()
            .zip(0..)
            .map(|(metric, index): (_, usize)| Overhead {
                path: *path,
                metric,
                micros: about(figures[index] - host[index], 0.05),
                of_bridge: Some(about((figures[index] - host[index]) / (bridge[index] - host[index]), 0.06)),
            })
            .collect::<Vec<_>>()
    };
    FIGURES[1..].iter().flat_map(of).collect()
}

fn growth(of: &str, counts: &[usize], exponents: [(Path, f64); 2]) -> Vec<Growth> {
    let growth = |(path, exponent): (Path, f64)| {
        let first = FIGURES.iter().find(|(measured, _)| *measured == path).map_or(1.0, |(_, figures)| figures[0]);
        let point = |count: &usize| {
            let ratio = (*count as f64 / counts[0] as f64).powf(exponent);
            GrowthPoint { count: *count, value: about(first * ratio, 0.01), to_first: about(ratio, 0.012) }
        };
        Growth { of: of.into(), path, metric: Metric::TcpRr, points: counts.iter().map(point).collect() }
    };
    exponents.map(growth).to_vec()
}

/// The report of a machine that has all paths.
pub(crate) fn of_all_paths() -> Report {
    let mut report = report();
    for (missing, alike, factor) in
        [(Path::FwdNetkit, Path::FwdTc, 0.96), (Path::NftFlowtable, Path::NftMasquerade, 0.93)]
    {
        let scaled = |estimate: Estimate| about(estimate.median * factor, 0.02);
        let like = report.paths.iter().find(|path| path.path == alike).map(|path| path.metrics.clone());
        let metrics = like.into_iter().flatten().map(|metric| MetricReport { value: scaled(metric.value), ..metric });
        let metrics: Vec<_> = metrics.collect();
        for path in report.paths.iter_mut().filter(|path| path.path == missing) {
            (path.unavailable, path.metrics) = (None, metrics.clone());
        }
        let like: Vec<_> = report.overheads.iter().filter(|overhead| overhead.path == alike).cloned().collect();
        let overheads =
            like.into_iter().map(|overhead| Overhead { path: missing, micros: scaled(overhead.micros), ..overhead });
        report.overheads.extend(overheads);
    }
    report
}

/// The whole report.
pub(crate) fn report() -> Report {
    let pairs = |pairs: &[[&str; 2]]| pairs.iter().map(|pair| pair.map(Into::into)).collect();
    let mut all = growth("namespaces", &[1, 10, 100, 1000], [(Path::FwdTc, 0.002), (Path::BridgeMasquerade, 0.03)]);
    all.extend(growth("flows", &[1, 1000, 64_000, 1_000_000], [(Path::FwdTc, 0.004), (Path::BridgeMasquerade, 0.015)]));
    Report {
        schema: SCHEMA,
        fwd: "0.1.0".into(),
        started: "2026-11-24T10:29:58Z".into(),
        took: 412.7,
        environment: Environment {
            kernel: "6.18.0".into(),
            machine: "x86_64".into(),
            cpu: "AMD EPYC <7B13> & co".into(),
            cpus: 2,
            pinned: [1, 1],
            pinned_streams: [0, 1],
            hypervisor: Some("KVM".into()),
            governor: None,
            clock_source: Some("tsc".into()),
            mitigations: pairs(&[["spectre_v2", "Retpolines; IBPB: conditional"], ["vmscape", "IBPB before exit"]]),
            offloads: vec!["eth0: tx-checksumming".into(), "eth0: tcp-segmentation-offload".into()],
            steal: 0.0123,
        },
        settings: Settings {
            family: Family::V4,
            published: false,
            rounds: 9,
            setups: 9,
            duration: 1.0,
            warm_up: 0.2,
            size: 64,
            streams: 1,
            rate: None,
            namespaces: 1,
            flows: 0,
            with: "fwd".into(),
            with_version: None,
            left_out: vec![],
        },
        paths: Path::ALL.map(path).to_vec(),
        overheads: overheads(),
        live: None,
        growth: all,
        warnings: vec![
            "the machine was busy with something else: 1.2 % of the time was stolen, and fwd tc varied by 3.1 %".into(),
        ],
    }
}
