//! `fwd bench control`.

use std::{
    io::Write,
    path::PathBuf,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use super::{args::ControlArgs, ended, number};
use crate::{
    Result,
    bench::control::{self, Options, Progress},
    cli::session::Session,
    testbed::Interrupt,
};

/// Where there is no terminal, a line comes so often.
const INTERVAL: Duration = Duration::from_secs(10);
const TEMPLATE: &str = "{bar:24} {pos}/{len}  {eta} left  {wide_msg}";
/// Namespaces of one network, of all, and networks.
const LARGEST_NETWORK: usize = 1_000;
const MOST: usize = 4_000;
const MOST_NETWORKS: usize = 16;

/// Measures the commands.
pub(super) fn run(session: &mut Session<'_, '_>, args: &ControlArgs) -> Result<()> {
    let options = options(args)?;
    // Ctrl-C ends the measuring, and what was measured is shown.
    let interrupt = Interrupt::await_first();
    let report = {
        let (err, terminal) = session.err();
        control::run(&options, &interrupt, &mut Shown::new(err, terminal))
    };
    let shown = report.and_then(|report| session.emit(&report));
    ended(session, &interrupt, shown)
}

fn options(args: &ControlArgs) -> Result<Options> {
    let ControlArgs { sizes, networks, attach, rounds, flows } = args;
    let networks = number("--networks", networks, 1..=MOST_NETWORKS)?;
    let most = (LARGEST_NETWORK * networks).min(MOST);
    let mut sizes = sizes.iter().map(|size| number("--sizes", size, 1..=most)).collect::<Result<Vec<_>>>()?;
    sizes.sort_unstable();
    sizes.dedup();
    Ok(Options {
        sizes,
        networks,
        attach: attach.map(Into::into),
        rounds: number("--rounds", rounds, 1..=1_000)?,
        flows: number("--flows", flows, 0..=2_000_000)?,
        program: program(),
    })
}

/// This very program, unless the library runs in another one, which knows nothing of `up`.
fn program() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    own.file_stem().is_some_and(|name| name == "fwd").then_some(own)
}

/// Shows a bar on a terminal, and plain lines elsewhere.
struct Shown<'a> {
    out: &'a mut dyn Write,
    bar: Option<ProgressBar>,
    last: Option<Instant>,
}

impl<'a> Shown<'a> {
    fn new(out: &'a mut dyn Write, terminal: bool) -> Self {
        let bar = terminal.then(|| {
            let bar = ProgressBar::new(0);
            if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
                bar.set_style(style.progress_chars("━╸ "));
            }
            bar
        });
        Self { out, bar, last: None }
    }
}

impl Progress for Shown<'_> {
    fn step(&mut self, what: &str, done: usize, all: usize) {
        if let Some(bar) = &self.bar {
            bar.set_length(all as u64);
            bar.set_position(done as u64);
            bar.set_message(what.to_owned());
        } else if self.last.is_none_or(|last| last.elapsed() >= INTERVAL) {
            // Whether anybody reads it is not worth a failure.
            drop(writeln!(self.out, "measuring: {done} of {all} commands done, next {what}"));
            self.last = Some(Instant::now());
        }
    }
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::options;
    use crate::{
        Kind, Result,
        bench::control::Options,
        cli::{Cli, Command, commands::bench::BenchCommand},
    };

    fn parse(line: &str) -> Result<Options> {
        let cli = Cli::try_parse_from(line.split_whitespace()).unwrap_or_else(|error| panic!("{line}: {error}"));
        let Command::Bench(args) = cli.command else { panic!("{line} is not bench") };
        let Some(BenchCommand::Control(args)) = args.command else { panic!("{line} is not bench control") };
        options(&args)
    }

    #[test]
    fn sizes_rise_and_come_once() {
        let options = parse("fwd bench control --sizes 10,1,10").expect("numbers");
        assert_eq!((options.sizes, options.networks, options.rounds), (vec![1, 10], 1, 3));
        assert_eq!(parse("fwd bench control").expect("no argument is needed").sizes, [1, 10, 100, 1000]);
    }

    #[test]
    fn more_than_a_bridge_takes_needs_more_networks() {
        let error = parse("fwd bench control --sizes 1001").expect_err("too many");
        assert_eq!(error.kind, Kind::Usage, "{error}");
        assert!(parse("fwd bench control --sizes 1001 --networks 2").is_ok());
        assert!(Cli::try_parse_from(["fwd", "bench", "--quick", "control"]).is_err());
    }
}
