//! `fwd-packets [--many-flows | --used | --in-situ] [--json] [--only WORDS] [ROUNDS]`: what the programs take for a packet of each kind
//! (`./x packets`). Needs root.
//!
//! The real programs of a sandboxed host are run by `BPF_PROG_TEST_RUN` on one CPU. A run by itself costs something too:
//! that is measured with an empty program in the same round and subtracted. Redirects are not carried out in such a run.

mod bench;
mod cases;
mod frame;
mod in_situ;
mod ipv6;
mod many;
mod used;

use std::process::ExitCode;

use forwarder::{
    Context as _, Result, cpu,
    dataplane::ProgramSize,
    measuring::Arguments,
    testbed::{Testbed, TestbedSpec, unique_prefix},
};
use serde::Serialize;

use crate::{
    bench::Bench,
    cases::{CASES, Case, EXHAUSTED, Mode, Sample},
};

/// Runs over one packet: each takes one from a TTL of 255.
const REPEAT: u32 = 200;
/// Samples of a kind in each round, of which the median counts.
const SAMPLES: usize = 15;
const DEFAULT_ROUNDS: usize = 15;

/// What a kind of packet costs.
#[derive(Serialize)]
struct Figure {
    program: &'static str,
    kind: &'static str,
    /// Whether one packet was run many times, or each once.
    repeated: bool,
    verdict: &'static str,
    /// Median of the rounds, nanoseconds.
    ns: f64,
    /// Their lower and upper quartile.
    quartiles: (f64, f64),
}

#[derive(Serialize)]
struct Figures {
    packets: Vec<Figure>,
    programs: Vec<ProgramSize>,
}

fn main() -> ExitCode {
    let asked = |option: &str| std::env::args().any(|argument| argument == option);
    let result = if asked("--many-flows") {
        many::run()
    } else if asked("--used") {
        used::run()
    } else if asked("--in-situ") {
        in_situ::run()
    } else {
        run()
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fwd-packets: {error}");
            ExitCode::from(error.kind.exit_code())
        }
    }
}

fn run() -> Result<()> {
    let Arguments { json, rounds, only } =
        Arguments::read("fwd-packets [--json] [--only WORDS] [ROUNDS]", DEFAULT_ROUNDS, std::env::args().skip(1))?;
    let cases: Vec<&Case> = CASES.iter().chain(ipv6::CASES).filter(|case| case.name.contains(&only)).collect();
    let testbed = Testbed::with(&unique_prefix(), &TestbedSpec { ipv6: true, ..TestbedSpec::default() })?;
    let figures = testbed.host().run(|| {
        cpu::on_one(|| {
            let mut bench = Bench::new(&testbed)?;
            let mut packets = measure(&mut bench, &cases, rounds)?;
            // Last: it fills the table with flows that the others should not meet.
            let last: Vec<&Case> = EXHAUSTED.iter().filter(|case| case.name.contains(&only)).collect();
            if !last.is_empty() {
                cases::take_every_port(&bench)?;
                packets.extend(measure(&mut bench, &last, rounds)?);
            }
            Ok(Figures { packets, programs: bench.dataplane.program_sizes()? })
        })
    })?;
    if json {
        println!("{}", serde_json::to_string_pretty(&figures).doing("write", "JSON")?);
    } else {
        show(&figures);
    }
    Ok(())
}

/// Measures every kind in each round, one after the other; round 0 warms up.
fn measure(bench: &mut Bench, cases: &[&Case], rounds: usize) -> Result<Vec<Figure>> {
    let mut times = vec![Vec::new(); cases.len()];
    let mut seen = vec![("", ""); cases.len()];
    for round in 0..=rounds {
        for ((case, times), seen) in cases.iter().zip(&mut times).zip(&mut seen) {
            let (time, program, verdict) = once(bench, case)?;
            *seen = (program, verdict);
            if round > 0 {
                times.push(time);
            }
        }
    }
    let figure = |((case, times), (program, verdict)): ((&&Case, Vec<f64>), (&'static str, &'static str))| {
        let (ns, quartiles) = (quantile(&times, 0.5), (quantile(&times, 0.25), quantile(&times, 0.75)));
        Figure { program, kind: case.name, repeated: case.mode == Mode::Repeated, verdict, ns, quartiles }
    };
    Ok(cases.iter().zip(times).zip(seen).map(figure).collect())
}

/// The median of some samples of one kind, less what an empty program takes for the same frames in the same way.
pub(crate) fn once(bench: &mut Bench, case: &Case) -> Result<(f64, &'static str, &'static str)> {
    let repeat = if case.mode == Mode::Repeated { REPEAT } else { 1 };
    let mut times = Vec::with_capacity(SAMPLES);
    let mut empty = Vec::with_capacity(SAMPLES);
    let mut seen = ("", "");
    for _ in 0..SAMPLES {
        let Sample { hook, ingress, bytes } = (case.make)(bench)?;
        let run = bench.run(hook, ingress, &bytes, repeat)?;
        times.push(run.duration.as_nanos() as f64);
        empty.push(bench.empty_program.run(&bytes, repeat)?);
        seen = (hook.program(), verdict(run.verdict));
    }
    Ok((quantile(&times, 0.5) - quantile(&empty, 0.5), seen.0, seen.1))
}

fn verdict(code: i32) -> &'static str {
    match code {
        -1 => "next",
        2 => "drop",
        7 => "redirect",
        _ => "other",
    }
}

fn quantile(values: &[f64], share: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let at = (values.len().saturating_sub(1) as f64 * share).round() as usize;
    values.get(at).copied().unwrap_or_default()
}

fn show(Figures { packets, programs }: &Figures) {
    println!("{:<12} {:<42} {:<9} {:>7} {:>13}  RUNS", "PROGRAM", "PACKET", "VERDICT", "NS", "QUARTILES");
    for Figure { program, kind, repeated, verdict, ns, quartiles: (low, high) } in packets {
        let quartiles = format!("{low:.0}–{high:.0}");
        let runs = if *repeated { "repeated" } else { "single" };
        println!("{program:<12} {kind:<42} {verdict:<9} {ns:>7.0} {quartiles:>13}  {runs}");
    }
    println!("\n{:<12} {:>21} {:>10} {:>12}", "PROGRAM", "INSTRUCTIONS VERIFIED", "BPF BYTES", "NATIVE BYTES");
    for ProgramSize { program, verified, translated, jitted } in programs {
        println!("{program:<12} {verified:>21} {translated:>10} {jitted:>12}");
    }
}
