//! `fwd bench control`: what `up`, `down` and `flows` take, with few and with many namespaces.
//!
//! A command is a process, as users have it: started, run and ended. What of that the library takes is measured beside it. Each
//! size and round has a sandboxed host of its own.

mod host;
mod table;

use std::path::PathBuf;

use serde::Serialize;

use self::host::Host;
use super::{environment, report::Environment, statistics};
use fwd_base::{Error, Kind, Result};
use fwd_dataplane::Backend;
use fwd_testbed::Interrupt;

/// Grows with every change of [`ControlReport`] that a reader may notice.
pub const SCHEMA: u32 = 3;
/// How often a namespace is taken down and up again once all are up.
const REPEATS: usize = 20;
/// With more namespaces than this, a round tells enough: each of its figures is of many commands.
const LARGE: usize = 300;
/// How often one is prepared and taken.
const TAKEN: usize = 10;

/// What to measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Numbers of namespaces, rising.
    pub sizes: Vec<usize>,
    /// Networks that they are spread over.
    pub networks: usize,
    /// Hosts of each size.
    pub rounds: usize,
    /// Flows in the table that `flows --json` reads; 0 leaves it out.
    pub flows: usize,
    /// How programs are attached to host-side veths; none: as `up` does without being told.
    pub attach: Option<Backend>,
    /// The program that is measured; none: the library alone.
    pub program: Option<PathBuf>,
}

/// Everything that was measured. Times are milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ControlReport {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Version of `fwd`.
    pub fwd: String,
    /// The machine.
    pub environment: Environment,
    /// Networks that the namespaces are spread over.
    pub networks: usize,
    /// How programs are attached to host-side veths, where it was asked for: `tcx` or `clsact`.
    pub attach: Option<String>,
    /// `up` of the first namespace of a host, which loads the data path.
    pub first: Option<Times>,
    /// `up` of a further namespace, the smallest size with more than one.
    pub further: Option<Times>,
    /// By the number of namespaces, rising.
    pub sizes: Vec<Size>,
    /// Reading the flow table.
    pub flows: Option<Flows>,
    /// What makes these figures doubtful, for the reader.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// With so many namespaces up.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Size {
    /// Namespaces.
    pub namespaces: usize,
    /// Hosts that were measured.
    pub rounds: usize,
    /// `up` of one more, or of the only one again.
    pub up: Times,
    /// The same without the start and the end of a process.
    pub up_library: Times,
    /// `up` of one more where one is in the pool; none where the data path has to be loaded.
    pub up_pool: Option<Times>,
    /// `down` of one.
    pub down: Times,
    /// `down --all`.
    pub down_all: Times,
    /// Memory of the largest process, bytes.
    pub process_bytes: u64,
    /// Kernel memory of the flow table, bytes.
    pub table_bytes: u64,
}

/// How long something took, milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Times {
    /// How often it was measured.
    pub count: usize,
    /// Half took at most this.
    pub median: f64,
    /// Where the median's 95 % bootstrap interval begins.
    pub low: f64,
    /// Where it ends.
    pub high: f64,
    /// Nine of ten took at most this.
    pub p90: f64,
    /// The longest.
    pub max: f64,
}

/// Reading the flow table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Flows {
    /// Flows that were there.
    pub count: usize,
    /// `flows --json`.
    pub json: Times,
    /// Length of what it wrote, bytes.
    pub bytes: u64,
}

impl Times {
    /// None of nothing.
    fn of(milliseconds: &[f64]) -> Option<Self> {
        let estimate = statistics::estimate(milliseconds)?;
        let mut sorted = milliseconds.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (count, max) = (sorted.len(), *sorted.last()?);
        let p90 = sorted.get((count * 9).div_ceil(10) - 1).copied().unwrap_or(max);
        Some(Self { count, median: estimate.median, low: estimate.low, high: estimate.high, p90, max })
    }
}

/// Follows a run, for whoever waits.
pub trait Progress {
    /// `done` of `all` commands have been run; next comes `what`.
    fn step(&mut self, what: &str, done: usize, all: usize);
}

/// Measures. Everything that it sets up is gone when it returns, or when a signal ends the process.
///
/// The first signal that `interrupt` tells of ends it early: with the report of the hosts that were done until then.
///
/// # Errors
/// A command failed, or something was left after `down --all`, or no host was done before the signal.
pub fn run(options: &Options, interrupt: &Interrupt, progress: &mut dyn Progress) -> Result<ControlReport> {
    let environment = environment::gather();
    let mut steps = Steps { options, done: 0, interrupt, progress };
    let (mut firsts, mut sizes, mut flows) = (Vec::new(), Vec::new(), None);
    let measured = measure(options, &mut steps, &mut firsts, &mut sizes, &mut flows);
    let mut warnings = Vec::new();
    if let Err(error) = measured {
        if interrupt.signal().is_none() || sizes.is_empty() {
            return Err(error);
        }
        warnings.push(format!("it was interrupted: {} of about {} commands were run", steps.done, options.commands()));
    }
    let further = sizes.iter().find(|size| size.namespaces > 1).map(|size| size.up.clone());
    Ok(ControlReport {
        schema: SCHEMA,
        fwd: env!("CARGO_PKG_VERSION").into(),
        environment,
        networks: options.networks,
        attach: options.attach.map(|attach| attach.name().into()),
        first: Times::of(&firsts),
        further,
        sizes,
        flows,
        warnings,
    })
}

/// Keeps what each host gave, so that it is not lost where a later one is interrupted.
fn measure(
    options: &Options,
    steps: &mut Steps<'_>,
    firsts: &mut Vec<f64>,
    sizes: &mut Vec<Size>,
    flows: &mut Option<Flows>,
) -> Result<()> {
    for namespaces in options.sizes.iter().copied() {
        let (mut taken, mut outcome, mut rounds) = (Taken::default(), Ok(()), 0);
        while rounds < options.rounds_of(namespaces) && outcome.is_ok() {
            outcome = taken.round(options, namespaces, steps);
            rounds += usize::from(outcome.is_ok());
        }
        firsts.extend_from_slice(&taken.first);
        sizes.extend((rounds > 0).then(|| taken.size(namespaces, rounds)).flatten());
        outcome?;
    }
    if options.flows > 0 {
        *flows = table::read(options, steps)?;
    }
    Ok(())
}

impl Options {
    fn rounds_of(&self, namespaces: usize) -> usize {
        if namespaces > LARGE { 1 } else { self.rounds }
    }

    /// Commands of a whole run, about.
    fn commands(&self) -> usize {
        let repeats = |namespaces: usize| if namespaces > 1 { REPEATS + TAKEN } else { 0 };
        let of = |namespaces: usize| self.rounds_of(namespaces) * (namespaces + repeats(namespaces) + 1);
        self.sizes.iter().map(|size| of(*size)).sum::<usize>() + if self.flows > 0 { table::READS + 1 } else { 0 }
    }
}

/// Counts the commands.
struct Steps<'a> {
    options: &'a Options,
    done: usize,
    interrupt: &'a Interrupt,
    progress: &'a mut dyn Progress,
}

impl Steps<'_> {
    /// Before each command.
    fn next(&mut self, what: &str) -> Result<()> {
        if self.interrupt.signal().is_some() {
            return Err(Error::new(
                Kind::Failed,
                "measure",
                "commands",
                "it was interrupted before the first host was done",
            ));
        }
        self.progress.step(what, self.done, self.options.commands());
        self.done += 1;
        Ok(())
    }
}

/// What commands took, milliseconds.
#[derive(Default)]
struct Taken {
    first: Vec<f64>,
    up: Vec<f64>,
    up_library: Vec<f64>,
    up_pool: Vec<f64>,
    down: Vec<f64>,
    down_all: Vec<f64>,
    process_bytes: u64,
    table_bytes: u64,
}

impl Taken {
    /// One host: all namespaces up, the last one down and up again a few times, then everything down.
    fn round(&mut self, options: &Options, namespaces: usize, steps: &mut Steps<'_>) -> Result<()> {
        let host = Host::new(options, namespaces)?;
        for number in 0..namespaces {
            steps.next(&format!("up of {} of {namespaces}", number + 1))?;
            let took = host.up(number)?;
            match number {
                0 => self.first.push(took),
                // Those before had fewer beside them.
                _ if number + REPEATS >= namespaces => self.up.push(took),
                _ => {}
            }
        }
        let last = namespaces.saturating_sub(1);
        for _ in 0..REPEATS {
            // The only one takes the data path with it: what then comes up is a first one again.
            if namespaces == 1 {
                break;
            }
            steps.next(&format!("down and up with {namespaces}"))?;
            self.down.push(host.down(last)?);
            self.up_library.push(host.up_library(last)?);
            self.down.push(host.down(last)?);
            self.up.push(host.up(last)?);
        }
        self.take_from_pool(&host, last, steps)?;
        self.table_bytes = host.table_bytes()?;
        steps.next(&format!("down --all of {namespaces}"))?;
        self.down_all.push(host.down_all()?);
        self.process_bytes = host::largest_process();
        host.check_clean()
    }

    /// What was prepared costs before what is measured here.
    fn take_from_pool(&mut self, host: &Host, last: usize, steps: &mut Steps<'_>) -> Result<()> {
        let taken = if last > 0 { TAKEN } else { 0 };
        for _ in 0..taken {
            steps.next(&format!("up from the pool with {}", last + 1))?;
            host.down(last)?;
            host.prepare(last)?;
            self.up_pool.push(host.up(last)?);
        }
        Ok(())
    }

    fn size(self, namespaces: usize, rounds: usize) -> Option<Size> {
        let only = namespaces == 1;
        let up = if only { &self.first } else { &self.up };
        let down = if only { &self.down_all } else { &self.down };
        Some(Size {
            namespaces,
            rounds,
            up: Times::of(up)?,
            up_library: Times::of(if only { up } else { &self.up_library })?,
            up_pool: Times::of(&self.up_pool),
            down: Times::of(down)?,
            down_all: Times::of(&self.down_all)?,
            process_bytes: self.process_bytes,
            table_bytes: self.table_bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ninety_of_a_hundred_take_at_most_p90() {
        let times: Vec<f64> = (1..=100).map(f64::from).collect();
        let times = Times::of(&times).expect("there are some");
        assert_eq!((times.count, times.median, times.p90, times.max), (100, 50.5, 90.0, 100.0));
        assert_eq!(Times::of(&[]), None);
        assert_eq!(Times::of(&[3.0]).expect("one").p90, 3.0);
    }
}
