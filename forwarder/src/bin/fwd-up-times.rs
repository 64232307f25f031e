//! `fwd-up-times [--json] [ROUNDS]` (`./x up-times`): how long `up` takes, for the first namespace of a host and for later ones.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use forwarder::{
    Context as _, Error, Kind, Result,
    dataplane::RunDir,
    execute::{self, HostContext, Unobserved},
    lab::{Lab, unique_prefix},
    netns::Name,
    reconcile::{DownRequest, TargetRef, UpRequest},
};
use serde::Serialize;

/// Namespaces of a round.
const NAMESPACES: usize = 100;
const DEFAULT_ROUNDS: usize = 5;

/// Milliseconds.
#[derive(Serialize)]
struct Figure {
    what: String,
    median: f64,
    low: f64,
    high: f64,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fwd-up-times: {error}");
            ExitCode::from(error.kind.exit_code())
        }
    }
}

fn run() -> Result<()> {
    let (mut json, mut rounds) = (false, DEFAULT_ROUNDS);
    for argument in std::env::args().skip(1) {
        match argument.parse() {
            Ok(number) if number > 0 => rounds = number,
            _ if argument == "--json" => json = true,
            _ => return Err(Error::new(Kind::Usage, "understand", argument, "usage: fwd-up-times [--json] [ROUNDS]")),
        }
    }
    let figures = figures(&measure(rounds)?);
    if json {
        println!("{}", serde_json::to_string_pretty(&figures).doing("write", "JSON")?);
    } else {
        show(&figures, rounds);
    }
    Ok(())
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

/// By number of the namespace, all but the first together, and `down --all`.
fn figures(times: &[(Vec<Duration>, Duration)]) -> Vec<Figure> {
    let up = |number: usize| times.iter().filter_map(|(ups, _)| ups.get(number - 1)).copied().collect();
    let mut figures: Vec<Figure> =
        [1, 2, 3, 10, NAMESPACES].into_iter().map(|number| figure(format!("namespace {number}"), up(number))).collect();
    let further = times.iter().flat_map(|(ups, _)| ups.iter().skip(1)).copied().collect();
    figures.push(figure(format!("namespaces 2 to {NAMESPACES}"), further));
    figures.push(figure(format!("down --all of {NAMESPACES}"), times.iter().map(|(_, down)| *down).collect()));
    figures
}

/// The median, the fastest and the slowest.
fn figure(what: String, mut times: Vec<Duration>) -> Figure {
    times.sort();
    let at = |index: usize| times.get(index).map_or(0.0, |time| time.as_secs_f64() * 1e3);
    Figure { what, median: at(times.len() / 2), low: at(0), high: at(times.len().saturating_sub(1)) }
}

fn show(figures: &[Figure], rounds: usize) {
    println!("up, median (and range) of {rounds} rounds, each on a host of its own:");
    for Figure { what, median, low, high } in figures {
        println!("  {what:<20} {median:7.1} ms   ({low:.1}–{high:.1})");
    }
}
