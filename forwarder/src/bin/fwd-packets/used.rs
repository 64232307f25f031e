//! `fwd-packets --used`: what a packet takes once the flow table has seen a flood, against a table that has not.
//!
//! Two hosts stand side by host and are measured in turn. Through the one, several times as many flows have gone as its table has
//! slots: most of them evicted by the next, the last ended for being idle. Nothing of them may be left.

use std::time::Duration;

use forwarder::{
    Context as _, Error, Kind, Result,
    bench::{report::Estimate, statistics},
    cpu,
    dataplane::{Hook, Runner},
    measuring::Arguments,
    reconcile::TableRequest,
    testbed::{Testbed, unique_prefix, wait_until},
};
use forwarder_common::abi::Timeout;
use serde::Serialize;

use crate::{
    bench::Bench,
    cases::{CASES, Case},
    frame::TCP,
    once,
};

const SYN: u8 = 0x02;
const REDIRECT: i32 = 7;

/// Flows of the flood: five times the slots of the default table.
const FLOOD: usize = 655_360;
/// Ports of the endpoint that they come from, and how long one that is not answered stays, seconds.
const PORTS: usize = 20_000;
const FIRST_PORT: u16 = 1_024;
const HALF_OPEN: u32 = 1;
/// Until the last flow has ended.
const PATIENCE: Duration = Duration::from_secs(60);
const DEFAULT_ROUNDS: usize = 15;

/// What a packet takes.
#[derive(Serialize)]
struct Figure {
    program: &'static str,
    kind: &'static str,
    /// Nanoseconds with a table that was never used.
    fresh: Estimate,
    /// Nanoseconds after the flood.
    used: Estimate,
    /// Their ratio, formed within the rounds.
    ratio: Estimate,
}

/// One host.
struct TestHost {
    testbed: Testbed,
    bench: Bench,
}

/// Measures and prints.
pub(crate) fn run() -> Result<()> {
    const USAGE: &str = "fwd-packets --used [--json] [--only WORDS] [ROUNDS]";
    let Arguments { json, rounds, only } = Arguments::read(USAGE, DEFAULT_ROUNDS, std::env::args().skip(1))?;
    let cases: Vec<&Case> = CASES.iter().filter(|case| case.name.contains(&only)).collect();
    let figures = cpu::on_one(|| measure(&cases, rounds))?;
    if json {
        println!("{}", serde_json::to_string_pretty(&figures).doing("write", "JSON")?);
        return Ok(());
    }
    println!("{:<12} {:<42} {:>7} {:>7}  {:>17}", "PROGRAM", "PACKET", "FRESH", "USED", "USED TO FRESH");
    for Figure { program, kind, fresh, used, ratio } in figures {
        let ratio = format!("{:.2} ({:.2}–{:.2})", ratio.median, ratio.low, ratio.high);
        println!("{program:<12} {kind:<42} {:>7.0} {:>7.0}  {ratio:>17}", fresh.median, used.median);
    }
    Ok(())
}

fn measure(cases: &[&Case], rounds: usize) -> Result<Vec<Figure>> {
    let (mut fresh, mut used) = (TestHost::new()?, TestHost::new()?);
    used.flood()?;
    let mut times = vec![(Vec::new(), Vec::new()); cases.len()];
    let mut programs = vec![""; cases.len()];
    // Round 0 warms up.
    for round in 0..=rounds {
        for ((case, (of_fresh, of_used)), program) in cases.iter().zip(&mut times).zip(&mut programs) {
            let (before, found, _) = fresh.once(case)?;
            let (after, ..) = used.once(case)?;
            *program = found;
            if round > 0 {
                of_fresh.push(before);
                of_used.push(after);
            }
        }
    }
    let figures = cases.iter().zip(&times).zip(&programs);
    figures.map(|((case, (fresh, used)), program)| figure(case, program, fresh, used)).collect()
}

/// What was measured of one kind of packet, round by round.
fn figure(case: &Case, program: &'static str, fresh: &[f64], used: &[f64]) -> Result<Figure> {
    let nothing = || Error::new(Kind::Usage, "measure", "packets", "there were no rounds");
    Ok(Figure {
        program,
        kind: case.name,
        fresh: statistics::estimate(fresh).ok_or_else(nothing)?,
        used: statistics::estimate(used).ok_or_else(nothing)?,
        ratio: statistics::ratio(used, fresh).ok_or_else(nothing)?,
    })
}

impl TestHost {
    fn new() -> Result<Self> {
        let testbed = Testbed::new(&unique_prefix())?;
        let table = TableRequest { timeouts: vec![(Timeout::TcpHalfOpen, HALF_OPEN)], ..TableRequest::default() };
        let bench = testbed.host().run(|| Bench::with(&testbed, table))?;
        Ok(Self { testbed, bench })
    }

    fn once(&mut self, case: &Case) -> Result<(f64, &'static str, &'static str)> {
        let Self { testbed, bench } = self;
        testbed.host().run(|| once(bench, case))
    }

    /// Sends the flood, and waits until nothing is left of it.
    fn flood(&mut self) -> Result<()> {
        let Self { testbed, bench } = self;
        let runner = bench.dataplane.runner(Hook::FromNs)?;
        testbed.host().run(|| (0..FLOOD).try_for_each(|number| open(bench, &runner, number)))?;
        let ended = || testbed.host().run(|| Ok(bench.dataplane.flows_unsorted()?.is_empty().then_some(())));
        wait_until(PATIENCE, "the flows of the flood end", ended)
    }
}

/// Opens a flow that nobody answers.
fn open(bench: &Bench, runner: &Runner, number: usize) -> Result<()> {
    let (port, remote) = (FIRST_PORT + (number % PORTS) as u16, 1_000 + (number / PORTS) as u16);
    let frame = bench.frame(bench.inner(), TCP, SYN, bench.inside(port), bench.remote(remote));
    match runner.run(bench.host_veth, bench.host_veth, &frame, 1)?.verdict {
        REDIRECT => Ok(()),
        verdict => {
            Err(Error::new(Kind::Failed, "flood", "the flow table", format!("a SYN was not redirected, but {verdict}")))
        }
    }
}
