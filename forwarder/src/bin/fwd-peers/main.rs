//! `fwd-peers [--only cni|podman] [ROUNDS]`: `fwd` beside the programs that it stands in for, and below real runtimes (`./x peers`). Needs root, and the
//! packages that `./x peers` installs.
//!
//! Everything happens in sandboxes. Each figure is the median of the rounds, of calls in turn. Exits 1 if one misses its target, or a runtime
//! is not served.

mod plugin;
mod podman;
mod speed;

use std::process::ExitCode;

use forwarder::{Result, measuring::Arguments};

const USAGE: &str = "fwd-peers [--only cni|podman] [ROUNDS]";
const DEFAULT_ROUNDS: usize = 15;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("fwd-peers: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all is as it should be.
fn run() -> Result<bool> {
    let Arguments { only, rounds, .. } = Arguments::read(USAGE, DEFAULT_ROUNDS, std::env::args().skip(1))?;
    let (mut fast, mut served) = (true, true);
    if "cni".contains(&only) {
        println!(
            "CNI: milliseconds from start to end of the processes, ten containers up, median of {rounds} rounds in turn"
        );
        fast = speed::run(rounds)?;
    }
    if "podman".contains(&only) {
        println!("podman with network_backend = \"cni\"");
        served = podman::run()?;
    }
    Ok(fast && served)
}
