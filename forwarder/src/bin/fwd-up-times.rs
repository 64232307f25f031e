//! `./x up-times`: how long `up` takes, for the first namespace of a host and for later ones.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use forwarder::{
    Result,
    dataplane::RunDir,
    execute::{self, HostContext, Unobserved},
    lab::{Lab, unique_prefix},
    netns::Name,
    reconcile::{DownRequest, TargetRef, UpRequest},
};

/// Namespaces of a round.
const NAMESPACES: usize = 100;
const DEFAULT_ROUNDS: usize = 5;

fn main() -> ExitCode {
    let rounds = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(DEFAULT_ROUNDS);
    match measure(rounds) {
        Ok(times) => {
            print(rounds, &times);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.kind.exit_code())
        }
    }
}

/// The times of each round, by the number of the namespace, and of the `down --all` that follows.
fn measure(rounds: usize) -> Result<Vec<(Vec<Duration>, Duration)>> {
    (0..rounds.max(1)).map(|_| round()).collect()
}

/// A host of its own: [`NAMESPACES`] times `up` into one network, then everything down.
fn round() -> Result<(Vec<Duration>, Duration)> {
    let lab = Lab::new(&unique_prefix())?;
    let names = (1..=NAMESPACES).map(|number| Name::try_from(lab.name(&format!("c{number}")).as_str()));
    let names = names.collect::<Result<Vec<_>>>()?;
    let context = HostContext::new(RunDir::new(lab.run_dir().join("run")));
    lab.host().run(|| {
        let mut times = Vec::with_capacity(names.len());
        for name in names {
            let request = UpRequest::new(TargetRef::Named(name));
            let began = Instant::now();
            execute::up(&context, &request, &mut Unobserved)?;
            times.push(began.elapsed());
        }
        let began = Instant::now();
        execute::down(&context, &DownRequest { target: None, delete_ns: false }, &mut Unobserved)?;
        Ok((times, began.elapsed()))
    })
}

fn print(rounds: usize, times: &[(Vec<Duration>, Duration)]) {
    println!("up, median (and range) of {rounds} rounds, each on a host of its own:");
    for number in [1, 2, 3, 10, NAMESPACES] {
        row(&format!("namespace {number}"), times.iter().filter_map(|(ups, _)| ups.get(number - 1)).copied().collect());
    }
    row(&format!("down --all of {NAMESPACES}"), times.iter().map(|(_, down)| *down).collect());
}

fn row(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |index: usize| times.get(index).map_or(0.0, |time| time.as_secs_f64() * 1e3);
    println!("  {what:<20} {:7.1} ms   ({:.1}–{:.1})", at(times.len() / 2), at(0), at(times.len().saturating_sub(1)));
}
