//! A path that is there already: from a namespace of this machine to `fwd bench --serve` elsewhere.

use std::{
    net::SocketAddrV4,
    time::{Instant, SystemTime},
};

use super::{
    Metric, Options, Path, environment,
    host_load::HostLoad,
    load::{Remote, Work},
    path::Scale,
    plan::{Task, Variant},
    record::Records,
    report::{Ends, PathReport, Report, SCHEMA},
    run::{Measuring, Progress, interrupted, pinned, settings},
    summary, warnings,
};
use fwd_base::Result;
use fwd_kernel::netns::Netns;
use fwd_testbed::Interrupt;

/// The only variant.
const LIVE: Variant = Variant { path: Path::Live, scale: Scale { namespaces: 1, flows: 0 } };

/// Both ends of a live path.
#[derive(Debug)]
pub struct Live<'a> {
    /// The namespace in which the client is.
    pub ns: &'a Netns,
    /// What the user calls it.
    pub name: String,
    /// Where the server listens.
    pub server: SocketAddrV4,
    /// What it wants to know.
    pub token: Option<String>,
}

/// Measures the path. Of the options, those about sandboxes mean nothing here.
///
/// # Errors
/// The server is not there, or the path loses what it should not.
pub fn run(options: &Options, live: &Live<'_>, interrupt: &Interrupt, progress: &mut dyn Progress) -> Result<Report> {
    let started = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let began = Instant::now();
    let load = HostLoad::now();
    let records =
        measure(options, &mut Remote::connect(live.ns, live.server, live.token.as_deref())?, interrupt, progress)?;
    let mut environment = environment::gather();
    environment.steal = load.steal_since();
    (environment.pinned, environment.pinned_streams) = pinned()?;
    let tasks = [Task { variant: LIVE, metrics: options.metrics.clone() }];
    let mut warnings = warnings::all(LIVE.scale, &tasks, &records, &environment, &[], load.load());
    warnings.extend(warnings::ended_early(&tasks, options.rounds, &records));
    warnings.extend(warnings::behind(options.rate, &tasks, &records));
    let metric = |metric: &Metric| summary::metric_report(*metric, records.of(LIVE, *metric)?, None);
    let metrics = options.metrics.iter().filter_map(metric).collect();
    Ok(Report {
        schema: SCHEMA,
        fwd: env!("CARGO_PKG_VERSION").into(),
        started,
        took: began.elapsed().as_secs_f64(),
        warnings,
        environment,
        settings: settings(options, None),
        live: Some(Ends { from: live.name.clone(), to: live.server.to_string() }),
        paths: vec![PathReport { path: Path::Live, unavailable: None, metrics }],
        overheads: Vec::new(),
        growth: Vec::new(),
    })
}

fn measure(
    options: &Options,
    remote: &mut Remote<'_>,
    interrupt: &Interrupt,
    progress: &mut dyn Progress,
) -> Result<Records> {
    let Options { ref metrics, rounds, duration, warm_up, size, streams, rate, .. } = *options;
    let mut records = Records::default();
    let (began, all, mut done) = (Instant::now(), metrics.len() * rounds, 0);
    for round in 1..=rounds {
        for &metric in metrics {
            if interrupt.signal().is_some() {
                return if done > 0 { Ok(records) } else { Err(interrupted()) };
            }
            let each = if done == 0 { duration + warm_up } else { began.elapsed() / done as u32 };
            let left = each * (all - done) as u32;
            progress.measuring(&Measuring { variant: &LIVE, metric, round, done, all, left });
            records.add(LIVE, metric, &remote.run(&Work { metric, size, streams, rate, warm_up, duration })?);
            done += 1;
        }
    }
    Ok(records)
}
