//! `fwd-bench-against BEFORE NOW [--json] [PAIRS] [-- ARGUMENTS…]`: whether the build NOW of `fwd` is faster than the build BEFORE over the
//! same paths, measured in turn (`./x bench --against REV`). ARGUMENTS are those of `fwd bench`. Needs root.

use std::process::ExitCode;

use forwarder::{
    Context as _, Error, Kind, Result,
    bench::{
        against::{self, Against, Compared, Row},
        report::Estimate,
    },
    measuring::Arguments,
};

const USAGE: &str = "fwd-bench-against BEFORE NOW [--json] [PAIRS] [-- ARGUMENTS…]";
const DEFAULT_PAIRS: usize = 15;
/// What is measured unless one says so: `host` shows what the pairs can tell.
const USUAL: [&str; 4] = ["--paths", "host,fwd-tc", "--duration", "250ms"];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fwd-bench-against: {error}");
            ExitCode::from(error.kind.exit_code())
        }
    }
}

fn run() -> Result<()> {
    let (against, json) = asked(std::env::args().skip(1).collect())?;
    let compared = against::run(&against, &mut |pair| eprintln!("pair {pair} of {}", against.pairs))?;
    if json {
        println!("{}", serde_json::to_string_pretty(&compared).doing("write", "JSON")?);
    } else {
        show(&compared);
    }
    Ok(())
}

fn asked(mut arguments: Vec<String>) -> Result<(Against, bool)> {
    let passed = match arguments.iter().position(|argument| argument == "--") {
        Some(place) => arguments.split_off(place).split_off(1),
        None => USUAL.map(Into::into).to_vec(),
    };
    let mut arguments = arguments.into_iter();
    let (Some(before), Some(now)) = (arguments.next(), arguments.next()) else {
        return Err(Error::new(Kind::Usage, "compare", "two builds of fwd", format!("usage: {USAGE}")));
    };
    let Arguments { json, rounds, only: _ } = Arguments::read(USAGE, DEFAULT_PAIRS, arguments)?;
    Ok((Against { programs: [before, now].map(Into::into), pairs: rounds, arguments: passed }, json))
}

fn show(Compared { pairs, rows, environment }: &Compared) {
    println!("{:<18} {:<16} {:>24} {:>24} {:>24}", "PATH", "METRIC", "BEFORE", "NOW", "NOW TO BEFORE");
    for Row { path, metric, before, now, ratio } in rows {
        println!("{path:<18} {metric:<16} {:>24} {:>24} {:>24}", figure(before), figure(now), times(ratio));
    }
    println!(
        "medians of {pairs} pairs (95 % interval) on Linux {}; latencies in µs of half a round trip, else per second",
        environment.kernel
    );
}

fn figure(Estimate { median, low, high }: &Estimate) -> String {
    let digits = if *median < 1_000.0 { 2 } else { 0 };
    format!("{median:.digits$} ({low:.digits$}–{high:.digits$})")
}

fn times(Estimate { median, low, high }: &Estimate) -> String {
    format!("× {median:.3} ({low:.3}–{high:.3})")
}
