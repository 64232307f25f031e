//! `fwd-bench-check [--json] [ROUNDS]`: whether our own load says the same about the same paths as sockperf and iperf3 do
//! (`./x bench --check`). Needs root, and both programs.
//!
//! Exits 1 if the two are sure of opposite orders of two paths.

use std::{process::ExitCode, time::Duration};

use forwarder::{
    Context as _, Result,
    bench::{
        Metric, Path,
        check::{self, Agreement, Compared, Options},
        report::Estimate,
    },
    measuring::Arguments,
};

const DEFAULT_ROUNDS: usize = 11;
const DURATION: Duration = Duration::from_secs(1);
/// Bits per second in a Gbit/s.
const GIGA: f64 = 1e9;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("fwd-bench-check: {error}");
            ExitCode::from(error.kind.exit_code())
        }
    }
}

/// Whether nothing contradicts.
fn run() -> Result<bool> {
    let Arguments { json, rounds, only: _ } =
        Arguments::read("fwd-bench-check [--json] [ROUNDS]", DEFAULT_ROUNDS, std::env::args().skip(1))?;
    let options = Options {
        paths: vec![Path::Host, Path::VethFloor, Path::FwdTc, Path::NftMasquerade, Path::BridgeMasquerade],
        metrics: vec![Metric::TcpRr, Metric::UdpRr, Metric::TcpStreamOut, Metric::TcpStreamIn],
        rounds,
        duration: DURATION,
    };
    let mut last = 0;
    let check = check::run(&options, &mut |round, _, _| {
        if round != last {
            eprintln!("round {round} of {rounds}");
            last = round;
        }
    })?;
    if json {
        println!("{}", serde_json::to_string_pretty(&check).doing("write", "JSON")?);
    } else {
        check.metrics.iter().for_each(show);
        println!(
            "medians of {rounds} rounds, each in sandboxes of its own (95 % interval); latencies are half a round trip"
        );
    }
    Ok(check.metrics.iter().all(|agreement| agreement.contradictions.is_empty()))
}

fn show(Agreement { metric, with, paths, contradictions }: &Agreement) {
    let (unit, divisor) = if metric.is_latency() { ("µs", 1.0) } else { ("Gbit/s", GIGA) };
    println!("{}, {unit}, by fwd and by {with}", metric.title());
    println!(
        "{:<30} {:>9} {:>9} {:>20} {:>25} {:>25}",
        "PATH", "FWD", "OTHER", "OTHER TO FWD", "BESIDE HOST, BY FWD", "BESIDE HOST, BY OTHER"
    );
    for Compared { path, ours, theirs, ratio, ours_beside, theirs_beside } in paths {
        let [ours_beside, theirs_beside] =
            [ours_beside, theirs_beside].map(|beside| beside.as_ref().map_or_else(|| "–".into(), |b| times(&b.ratio)));
        let (ours, theirs) = (ours.median / divisor, theirs.median / divisor);
        println!(
            "{:<30} {ours:>9.2} {theirs:>9.2} {:>20} {ours_beside:>25} {theirs_beside:>25}",
            path.title(),
            times(ratio)
        );
    }
    for [more, less] in contradictions {
        println!("contradiction: {} has more than {} by fwd, and less by {with}", more.title(), less.title());
    }
    println!();
}

fn times(Estimate { median, low, high }: &Estimate) -> String {
    format!("× {median:.3} ({low:.3}–{high:.3})")
}
