//! A whole comparison: sets every path up, measures them in turn, and makes the report.

use std::time::{Duration, Instant, SystemTime};

use super::{
    Metric, Options, environment,
    host_load::HostLoad,
    load::{Peers, Sample, Tool, Work},
    path::{Sandbox, Scale},
    plan::{self, Task, Variant},
    record::Records,
    report::{Report, SCHEMA, Settings},
    summary::{self, Failed},
    warnings,
};
use fwd_base::{Error, Kind, Result, cpu};
use fwd_testbed::Interrupt;

/// Load that shows whether a path carries anything, and warms it up.
const TRIAL: Duration = Duration::from_millis(20);

/// How often a measurement is tried.
const ATTEMPTS: usize = 3;

/// Follows a run, for whoever waits.
pub trait Progress {
    /// A path is being set up.
    fn setting_up(&mut self, variant: &Variant);

    /// A measurement begins, `done` of `all` are there already, and it will be over in about `left`.
    fn measuring(&mut self, step: &Measuring<'_>);
}

/// Which measurement.
#[derive(Clone, Copy, Debug)]
pub struct Measuring<'a> {
    /// Over which path.
    pub variant: &'a Variant,
    /// What.
    pub metric: Metric,
    /// Round, from 1.
    pub round: usize,
    /// Measurements that are done.
    pub done: usize,
    /// Measurements of the whole run.
    pub all: usize,
    /// When it will be over, by what they took until now.
    pub left: Duration,
}

/// Compares the paths. Everything that it sets up is gone when it returns, or when a signal ends the process.
///
/// The first signal that `interrupt` tells of ends it early: with the report of what was measured until then.
///
/// # Errors
/// No path could be set up, or a load found no answer half-way, or nothing was measured before the signal.
pub fn run(options: &Options, interrupt: &Interrupt, progress: &mut dyn Progress) -> Result<Report> {
    let started = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let began = Instant::now();
    let load = HostLoad::now();
    let version = options.with.version()?;
    let mut bench = Bench::set_up(options, progress);
    bench.any_path()?;
    let offloads = bench.offloads();
    let records = bench.measure(options, interrupt, progress)?;
    let mut environment = environment::gather();
    environment.steal = load.steal_since();
    (environment.pinned, environment.pinned_streams) = pinned()?;
    environment.offloads = offloads;
    let mut warnings = warnings::all(bench.main, &bench.tasks, &records, &environment, &bench.failed, load.load());
    warnings.extend(
        warnings::ended_early(&bench.tasks, options.rounds, &records)
            .into_iter()
            .chain(bench.one_set_up(options))
            .chain(warnings::behind(options.rate, &bench.tasks, &records)),
    );
    let report = Report {
        schema: SCHEMA,
        fwd: env!("CARGO_PKG_VERSION").into(),
        started,
        took: began.elapsed().as_secs_f64(),
        environment,
        settings: Settings { setups: bench.setups, ..settings(options, version) },
        live: None,
        paths: summary::paths(options.way, &options.paths, bench.main, &bench.tasks, &records, &bench.failed),
        overheads: summary::overheads(options.way, bench.main, &bench.tasks, &records),
        growth: summary::growth(bench.main, &bench.tasks, &records),
        warnings,
    };
    Ok(report)
}

/// What is up.
struct Bench {
    /// How much there is beside the measured connection where paths are compared with each other.
    main: Scale,
    tasks: Vec<Task>,
    /// One for each task.
    sandboxes: Vec<Sandbox>,
    /// How often they were set up.
    setups: usize,
    failed: Vec<Failed>,
}

impl Bench {
    fn set_up(options: &Options, progress: &mut dyn Progress) -> Self {
        let main = Scale { namespaces: options.namespaces, flows: options.flows };
        let mut bench = Self { main, tasks: Vec::new(), sandboxes: Vec::new(), setups: 1, failed: Vec::new() };
        for task in plan::tasks(options) {
            let Variant { path, scale } = task.variant;
            // What this machine does not have with few it does not have with many.
            if bench.failed.iter().any(|failed| failed.variant.path == path) {
                continue;
            }
            progress.setting_up(&task.variant);
            match Sandbox::new(path, scale, options.way)
                .and_then(|sandbox| carries(&sandbox, options).map(|()| sandbox))
            {
                Ok(sandbox) => {
                    bench.sandboxes.push(sandbox);
                    bench.tasks.push(task);
                }
                Err(error) => bench.failed.push(Failed { variant: task.variant, error }),
            }
        }
        bench
    }

    /// Makes sure that there is something to measure; else the first path says why not.
    fn any_path(&mut self) -> Result<()> {
        if !self.tasks.is_empty() {
            return Ok(());
        }
        let nothing = || Error::new(Kind::Usage, "compare", "data paths", "none is given");
        Err(self.failed.drain(..).next().map_or_else(nothing, |failed| failed.error))
    }

    /// Sets everything up that was there in the first round.
    fn set_up_again(&mut self, options: &Options) -> Result<()> {
        self.sandboxes.clear();
        for Task { variant, .. } in &self.tasks {
            let sandbox = Sandbox::new(variant.path, variant.scale, options.way)?;
            carries(&sandbox, options)?;
            self.sandboxes.push(sandbox);
        }
        self.setups += 1;
        Ok(())
    }

    fn measure(&mut self, options: &Options, interrupt: &Interrupt, progress: &mut dyn Progress) -> Result<Records> {
        let mut records = Records::default();
        let all: usize = self.tasks.iter().map(|task| task.metrics.len()).sum::<usize>() * options.rounds;
        let began = Instant::now();
        let mut done = 0;
        let mut rounds = || -> Result<()> {
            for round in 1..=options.rounds {
                if round > 1 && options.sets_up_anew() && interrupt.signal().is_none() {
                    self.set_up_again(options)?;
                }
                for step in plan::round(round, &self.tasks) {
                    if interrupt.signal().is_some() {
                        return Ok(());
                    }
                    let variant = self.tasks[step.task].variant;
                    let each =
                        if done == 0 { options.duration + options.warm_up } else { began.elapsed() / done as u32 };
                    let left = each * (all - done) as u32;
                    progress.measuring(&Measuring { variant: &variant, metric: step.metric, round, done, all, left });
                    let sample = again(&self.sandboxes[step.task], options, step.metric);
                    records.add(variant, step.metric, &sample.map_err(|error| about(error, &variant, step.metric))?);
                    done += 1;
                }
            }
            Ok(())
        };
        match rounds() {
            // Programs of the same terminal got the signal, too.
            Err(error) if interrupt.signal().is_none() => Err(error),
            _ if done == 0 => Err(interrupted()),
            _ => Ok(records),
        }
    }

    /// What differs from one set-up to the next is in no interval.
    fn one_set_up(&self, options: &Options) -> Option<String> {
        let one = !options.sets_up_anew() && options.rounds > 1;
        one.then(|| {
            "all rounds are of one set-up: another run may lie outside of the intervals, by what differs between two"
                .into()
        })
    }

    /// Those of the host's uplink, the same in every sandbox.
    fn offloads(&self) -> Vec<String> {
        let of = |sandbox: &Sandbox| sandbox.offloads().ok();
        self.sandboxes.first().and_then(of).unwrap_or_default()
    }
}

/// There is nothing to show.
pub(super) fn interrupted() -> Error {
    Error::new(Kind::Failed, "compare", "data paths", "it was interrupted before the first figure")
}

/// Measures one metric as it was asked for.
fn again(sandbox: &Sandbox, options: &Options, metric: Metric) -> Result<Sample> {
    let Options { size, streams, rate, warm_up, duration, .. } = *options;
    persistently(options.with, &sandbox.peers(), &Work { metric, size, streams, rate, warm_up, duration })
}

/// Measures, and does so again, for longer, if it failed: what else the machine does may leave a short measurement nothing.
pub(super) fn persistently(with: Tool, peers: &Peers<'_>, work: &Work) -> Result<Sample> {
    let mut work = *work;
    for _ in 1..ATTEMPTS {
        match with.run(peers, &work) {
            Err(error) if error.kind == Kind::Failed => tracing::info!("{error}; measuring again"),
            done => return done,
        }
        (work.duration, work.warm_up) = (work.duration * 4, work.warm_up * 4);
    }
    with.run(peers, &work)
}

/// Makes sure that a path carries packets.
fn carries(sandbox: &Sandbox, options: &Options) -> Result<()> {
    let trial = Options { duration: TRIAL, warm_up: TRIAL, with: Tool::Fwd, rate: None, ..options.clone() };
    again(sandbox, &trial, Metric::TcpRr).map(drop)
}

/// Tells which measurement failed.
fn about(mut error: Error, variant: &Variant, metric: Metric) -> Error {
    error.object = format!("{} ({} over {})", error.object, metric.title(), variant.path.title());
    error
}

/// The CPUs on which client and server of a load take turns, and those of sender and receiver of a stream.
pub(super) fn pinned() -> Result<([usize; 2], [usize; 2])> {
    let cpus = cpu::usable()?;
    let [first, last] = [cpus.first(), cpus.last()].map(|cpu| cpu.copied().unwrap_or_default());
    Ok(([last, last], [first, last]))
}

/// What was asked for; `version` is that of the program that makes the load, if it is another one.
pub(super) fn settings(options: &Options, version: Option<String>) -> Settings {
    let Options { way, paths: _, ref metrics, rounds, duration, warm_up, size, streams, rate, namespaces, flows, with } =
        *options;
    let left_out = Metric::USUAL.into_iter().filter(|metric| !metrics.contains(metric) && !with.measures(*metric));
    Settings {
        family: way.family,
        published: way.published,
        rounds,
        setups: 1,
        duration: duration.as_secs_f64(),
        warm_up: warm_up.as_secs_f64(),
        size,
        streams,
        rate,
        namespaces,
        flows,
        with: with.id().into(),
        with_version: version,
        left_out: left_out.collect(),
    }
}
