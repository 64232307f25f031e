//! `fwd-stores [--json] [ROUNDS]`: measures the stores among which the flow table was chosen. Needs root.

use std::process::ExitCode;

use forwarder::{
    Context as _, Result,
    dataplane::{StoreFigure, measure_stores},
    measuring::Arguments,
};

const DEFAULT_ROUNDS: usize = 9;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fwd-stores: {error}");
            ExitCode::from(error.kind.exit_code())
        }
    }
}

fn run() -> Result<()> {
    let Arguments { json, rounds, only: _ } =
        Arguments::read("fwd-stores [--json] [ROUNDS]", DEFAULT_ROUNDS, std::env::args().skip(1))?;
    let figures = measure_stores(rounds)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&figures).doing("write", "JSON")?);
    } else {
        show(&figures);
    }
    Ok(())
}

/// One line a store and pattern.
fn show(figures: &[StoreFigure]) {
    println!(
        "{:<8} {:<9} {:>10} {:>17} {:>12} {:>10}",
        "STORE", "HOT", "NS/LOOK-UP", "RANGE", "SECOND STEP", "BYTES/FLOW"
    );
    for StoreFigure { store, pattern, ns, range: (low, high), second, bytes_per_flow } in figures {
        let range = format!("{low:.1}–{high:.1}");
        let second = format!("{:.1} %", second * 100.0);
        println!("{store:<8} {pattern:<9} {ns:>10.1} {range:>17} {second:>12} {bytes_per_flow:>10}");
    }
}
