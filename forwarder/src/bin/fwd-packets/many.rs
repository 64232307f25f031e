//! `fwd-packets --many-flows`: what an established packet takes among a thousand flows, and among a million.
//!
//! Two hosts with tables of the same size stand side by side, one with a thousand flows and one with a million, and are measured
//! in turn. Every packet is run once and of another flow than the one before, in an order that nobody can foresee: nothing of
//! it is in a cache because of the run before. All of a set are run once before, as a flow's route is looked up again when
//! that was done a second ago.
//!
//! A thousand active ones of a million are the last that were opened, as with a server that keeps old connections open, or any
//! thousand, as with clients that come back by chance: then each stands in a page of its own.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use forwarder::{
    Context as _, Error, Kind, Result,
    bench::{report::Estimate, statistics},
    cpu,
    dataplane::{Hook, Runner},
    measuring::Arguments,
    reconcile::TableRequest,
    testbed::{Testbed, unique_prefix},
};
use serde::Serialize;

use crate::{bench::Bench, frame::TCP};

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const REDIRECT: i32 = 7;

/// Flows of the two tables, and how many of them are active.
const FEW: usize = 1_000;
const MANY: usize = 1_000_000;
/// Of a million that are all active, so many are hit in a round, once each.
const AT_RANDOM: usize = 4_000;
/// How long a flow's route is believed, and how often it is tried to be done within that.
const ROUTE: Duration = Duration::from_secs(1);
const ATTEMPTS: usize = 10;
/// How often each of a thousand is hit in a round.
const PASSES: usize = 10;
/// More than the largest cache holds, bytes.
const CACHES: usize = 96 << 20;
/// Ports of the endpoint that are used, from the first of the NAT range: they are kept, and none is searched for.
const FIRST_PORT: u16 = 1_024;
const PORTS: usize = 20_000;
/// The first port of the internet's that is talked to.
const FIRST_REMOTE: u16 = 1_000;
const DEFAULT_ROUNDS: usize = 9;

/// What a packet takes.
#[derive(Serialize)]
struct Figure {
    program: &'static str,
    kind: &'static str,
    /// Nanoseconds.
    ns: Estimate,
    /// Ratio to the same among a thousand, in the same round.
    to_few: Estimate,
}

/// One host.
struct TestHost {
    testbed: Testbed,
    table: Table,
}

/// Its flow table, and the programs that look into it.
struct Table {
    bench: Bench,
    out: Runner,
    back: Runner,
}

/// A packet of a flow in either direction.
struct Frames {
    out: Vec<u8>,
    back: Vec<u8>,
}

/// The rows of each program.
const KINDS: [&str; 4] = [
    "TCP, established, 1k of 1k",
    "TCP, established, last 1k of 1M",
    "TCP, established, any 1k of 1M",
    "TCP, established, 1M of 1M",
];

/// Measures and prints.
pub(crate) fn run() -> Result<()> {
    let Arguments { json, rounds, only: _ } =
        Arguments::read("fwd-packets --many-flows [--json] [ROUNDS]", DEFAULT_ROUNDS, std::env::args().skip(1))?;
    let figures = cpu::on_one(|| measure(rounds))?;
    if json {
        println!("{}", serde_json::to_string_pretty(&figures).doing("write", "JSON")?);
        return Ok(());
    }
    println!("{:<12} {:<28} {:>5} {:>11}  {:>15}", "PROGRAM", "PACKET", "NS", "95 %", "TO 1K OF 1K");
    for Figure { program, kind, ns, to_few } in figures {
        let (interval, ratio) =
            (format!("{:.0}–{:.0}", ns.low, ns.high), format!("{:.2}–{:.2}", to_few.low, to_few.high));
        println!("{program:<12} {kind:<28} {:>5.0} {interval:>11}  {:.2} ({ratio})", ns.median, to_few.median);
    }
    Ok(())
}

fn measure(rounds: usize) -> Result<Vec<Figure>> {
    let (mut few, mut many) = (TestHost::new(FEW)?, TestHost::new(MANY)?);
    let mut chance = fastrand::Rng::with_seed(7);
    let thousand = few.table.frames((0..FEW).collect());
    let last = many.table.frames((MANY - FEW..MANY).collect());
    // One of each thousand, so that none is twice among them.
    let any = many.table.frames((0..FEW).map(|number| number * (MANY / FEW) + chance.usize(..MANY / FEW)).collect());
    // By program, kind and round.
    let mut times: [[Vec<f64>; KINDS.len()]; 2] = Default::default();
    for _ in 0..rounds {
        let some = (0..AT_RANDOM).map(|_| chance.usize(..MANY)).collect();
        let random = many.table.frames(some);
        for (program, times) in times.iter_mut().enumerate() {
            let back = program == 1;
            times[0].push(few.active(&thousand, back, &mut chance)?);
            times[1].push(many.active(&last, back, &mut chance)?);
            times[2].push(many.active(&any, back, &mut chance)?);
            times[3].push(many.at_random(&random, back, &mut chance)?);
        }
    }
    let mut figures = Vec::new();
    for (program, times) in [Hook::FromNs, Hook::FromUplink].into_iter().zip(&times) {
        for (kind, rounds) in KINDS.into_iter().zip(times) {
            let nothing = || Error::new(Kind::Usage, "measure", "packets", "there were no rounds");
            let ns = statistics::estimate(rounds).ok_or_else(nothing)?;
            let to_few = statistics::ratio(rounds, &times[0]).ok_or_else(nothing)?;
            figures.push(Figure { program: program.program(), kind, ns, to_few });
        }
    }
    Ok(figures)
}

impl TestHost {
    /// A host whose table has room for a million flows and holds `flows`.
    fn new(flows: usize) -> Result<Self> {
        let testbed = Testbed::new(&unique_prefix())?;
        let most = u32::try_from(MANY + MANY / 20).ok();
        let table = TableRequest { max_flows: most, max_flows_per_ns: most, ..TableRequest::default() };
        let bench = testbed.host().run(|| Bench::with(&testbed, table))?;
        let (out, back) = (bench.dataplane.runner(Hook::FromNs)?, bench.dataplane.runner(Hook::FromUplink)?);
        let mut host = Self { testbed, table: Table { bench, out, back } };
        host.inside(|table| {
            table.bench.resolve_next_hop()?;
            (0..flows).try_for_each(|number| table.open(number))
        })?;
        Ok(host)
    }

    /// Works inside the host's namespace, as the programs' interfaces are there.
    fn inside<T: Send>(&mut self, work: impl FnOnce(&mut Table) -> Result<T> + Send) -> Result<T> {
        let Self { testbed, table } = self;
        testbed.host().run(|| work(table))
    }

    /// A thousand flows again and again.
    fn active(&mut self, frames: &[Frames], back: bool, chance: &mut fastrand::Rng) -> Result<f64> {
        self.inside(|table| {
            table.pass(frames, back, chance)?;
            let passes = (0..PASSES).map(|_| table.pass(frames, back, chance)).collect::<Result<Vec<f64>>>()?;
            Ok(statistics::median(&passes))
        })
    }

    /// Many flows once each, none of them in a cache.
    fn at_random(&mut self, frames: &[Frames], back: bool, chance: &mut fastrand::Rng) -> Result<f64> {
        self.inside(|table| {
            for _ in 0..ATTEMPTS {
                let began = Instant::now();
                table.pass(frames, back, chance)?;
                forget();
                let time = table.pass(frames, back, chance)?;
                if began.elapsed() < ROUTE {
                    return Ok(time);
                }
            }
            let why = "it took so long that routes were looked up again: the machine is too busy";
            Err(Error::new(Kind::Failed, "measure", "flows at random", why))
        })
    }
}

impl Table {
    /// The ports of a flow: the endpoint's, which is the external one too, and the internet's.
    fn ports(number: usize) -> (u16, u16) {
        (FIRST_PORT + (number % PORTS) as u16, FIRST_REMOTE + (number / PORTS) as u16)
    }

    /// The frames of a flow with these flags out and back.
    fn frames_of(&self, number: usize, out: u8, back: u8) -> Frames {
        let (port, remote) = Self::ports(number);
        let bench = &self.bench;
        Frames {
            out: bench.frame(bench.inner(), TCP, out, bench.inside(port), bench.remote(remote)),
            back: bench.frame(bench.outer(), TCP, back, bench.remote(remote), bench.host(port)),
        }
    }

    /// Opens a flow and has it answered.
    fn open(&self, number: usize) -> Result<()> {
        let Frames { out, back } = self.frames_of(number, SYN, SYN | ACK);
        self.once(false, &out)?;
        self.once(true, &back).map(drop)
    }

    /// Frames of established flows.
    fn frames(&self, numbers: Vec<usize>) -> Vec<Frames> {
        numbers.into_iter().map(|number| self.frames_of(number, ACK, ACK)).collect()
    }

    /// Nanoseconds of one run, which has to find its flow.
    fn once(&self, back: bool, frame: &[u8]) -> Result<f64> {
        let Bench { uplink, host_veth, .. } = self.bench;
        let (runner, ifindex) = if back { (&self.back, uplink) } else { (&self.out, host_veth) };
        let run = runner.run(ifindex, ifindex, frame, 1)?;
        if run.verdict == REDIRECT {
            return Ok(run.duration.as_nanos() as f64);
        }
        let why = format!("the packet was not redirected, but {}", run.verdict);
        Err(Error::new(Kind::Failed, "measure", "an established flow", why))
    }

    /// One pass over all frames in another order: the median, less that of an empty program.
    fn pass(&mut self, frames: &[Frames], back: bool, chance: &mut fastrand::Rng) -> Result<f64> {
        let mut order: Vec<usize> = (0..frames.len()).collect();
        chance.shuffle(&mut order);
        let frame = |index: usize| if back { &frames[index].back } else { &frames[index].out };
        let times = order.iter().map(|index| self.once(back, frame(*index))).collect::<Result<Vec<f64>>>()?;
        let empty = order.iter().take(FEW).map(|index| self.bench.empty_program.run(frame(*index), 1));
        Ok(statistics::median(&times) - statistics::median(&empty.collect::<Result<Vec<f64>>>()?))
    }
}

/// Fills the caches with something else.
fn forget() {
    let mut other = vec![1_u8; CACHES];
    for line in other.chunks_mut(64) {
        line[0] = line[0].wrapping_add(1);
    }
    black_box(&other);
}
