//! `fwd-thousand [--json] [--bridgeless] [NETWORKS]`: how long one `fwd apply` takes for networks of a thousand namespaces each, or for as many in one
//! network without a bridge, and `fwd down --all` after it (`./x thousand`). Needs root.
//!
//! On a sandboxed host: the file is read, what there is is read and planned for, the operations are run, and all of it once more, when nothing
//! is left to do. Of the operations it tells the kinds that take longest.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    process::ExitCode,
    time::{Duration, Instant},
};

use forwarder::{
    Context as _, Result,
    config::{self, Source},
    dataplane::RunDir,
    execute::{self, HostContext, Observer},
    measuring::Arguments,
    reconcile::{Declared, Desired, DownRequest, Op, Scope},
    testbed::{Testbed, unique_prefix},
};
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::{TimeVal, TimeValLike as _},
};
use serde::Serialize;

/// Namespaces of a network.
const NAMESPACES: usize = 1_000;
/// So many kinds of operations are told.
const TOLD: usize = 8;

/// What a command took, seconds.
#[derive(Serialize)]
struct Figure {
    command: &'static str,
    total: f64,
    /// Time of CPUs, of `fwd` and of the kernel for it: what a busy machine does not change.
    cpu: f64,
    /// Until the first operation: files and host are read, and all is planned.
    planned: f64,
    operations: usize,
    /// The kinds of operations that take longest, and how often there are such.
    longest: Vec<(String, usize, f64)>,
}

/// Looks at the clock before and after each operation.
struct Clock {
    start: Instant,
    begun: Instant,
    planned: Duration,
    operations: usize,
    kinds: BTreeMap<String, (usize, Duration)>,
}

impl Observer for Clock {
    fn before(&mut self, _: usize, _: &Op) {
        self.begun = Instant::now();
        if self.operations == 0 {
            self.planned = self.start.elapsed();
        }
        self.operations += 1;
    }

    fn after(&mut self, _: usize, op: &Op) {
        // Of those that are done together, the first has taken the time.
        let took = std::mem::replace(&mut self.begun, Instant::now()).elapsed();
        // The words before its name: of a thousand each has another.
        let words = op.to_string();
        let kind =
            words.split(' ').take_while(|word| !word.contains(char::is_numeric)).take(3).collect::<Vec<_>>().join(" ");
        let (count, sum) = self.kinds.entry(kind).or_default();
        (*count, *sum) = (*count + 1, *sum + took);
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fwd-thousand: {error}");
            ExitCode::from(error.kind.exit_code())
        }
    }
}

fn run() -> Result<()> {
    let usage = "fwd-thousand [--json] [--bridgeless] [NETWORKS]";
    let Arguments { json, rounds: networks, only: _ } = Arguments::read(usage, 1, std::env::args().skip(1))?;
    let text: fn(&Testbed, usize) -> String =
        if std::env::args().any(|word| word == "--bridgeless") { one_network } else { file };
    let testbed = Testbed::new(&unique_prefix())?;
    let context = HostContext::new(RunDir::new(testbed.run_dir().join("run")));
    let source = Source { path: "thousand.toml".into(), text: text(&testbed, networks) };
    let scope = Scope { declared: Some(Declared { prune: false }), ..Scope::default() };
    let apply = |clock: &mut Clock| {
        let desired: Desired = config::desired(std::slice::from_ref(&source))?;
        execute::apply(&context, &desired, &scope, clock).map(drop)
    };
    let down = |clock: &mut Clock| execute::down(&context, &DownRequest::default(), clock).map(drop);
    let figures = testbed
        .host()
        .run(|| Ok([measured("apply", apply)?, measured("apply once more", apply)?, measured("down --all", down)?]))?;
    if json {
        println!("{}", serde_json::to_string_pretty(&figures).doing("write", "JSON")?);
    } else {
        figures.iter().for_each(|figure| print!("{}", shown(figure)));
    }
    Ok(())
}

/// What a user would write: networks that follow the host's routes, and namespaces that are made.
fn file(testbed: &Testbed, networks: usize) -> String {
    let mut text = String::new();
    for network in 0..networks {
        // It cannot fail: memory is all that it takes.
        _ = writeln!(text, "[networks.net{network}]\nsubnet = \"10.{}.0.0/20\"", 100 + network);
    }
    for (network, number) in (0..networks).flat_map(|network| (0..NAMESPACES).map(move |number| (network, number))) {
        let ns = testbed.name(&format!("{network}-{number}"));
        _ = writeln!(text, "[[endpoints]]\nns = \"{ns}\"\nnetwork = \"net{network}\"");
    }
    text
}

/// The same namespaces in one network without a bridge.
fn one_network(testbed: &Testbed, networks: usize) -> String {
    let mut text = String::from("[networks.net0]\nbridge = \"none\"\nsubnet = \"10.100.0.0/16\"\n");
    for number in 0..networks * NAMESPACES {
        let ns = testbed.name(&format!("0-{number}"));
        _ = writeln!(text, "[[endpoints]]\nns = \"{ns}\"\nnetwork = \"net0\"");
    }
    text
}

/// Seconds of CPUs that this process and the kernel for it have taken so far.
fn cpu() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).doing("ask for", "the time that this process has taken")?;
    let seconds = |time: TimeVal| time.num_microseconds() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

fn measured(command: &'static str, run: impl FnOnce(&mut Clock) -> Result<()>) -> Result<Figure> {
    let (now, before) = (Instant::now(), cpu()?);
    let mut clock = Clock { start: now, begun: now, planned: Duration::ZERO, operations: 0, kinds: BTreeMap::new() };
    run(&mut clock)?;
    let (total, cpu) = (clock.start.elapsed(), cpu()? - before);
    let planned = if clock.operations == 0 { total } else { clock.planned };
    let mut longest: Vec<_> =
        clock.kinds.into_iter().map(|(kind, (count, sum))| (kind, count, sum.as_secs_f64())).collect();
    longest.sort_by(|a, b| b.2.total_cmp(&a.2));
    longest.truncate(TOLD);
    let (total, planned) = (total.as_secs_f64(), planned.as_secs_f64());
    Ok(Figure { command, total, cpu, planned, operations: clock.operations, longest })
}

fn shown(figure: &Figure) -> String {
    let Figure { command, total, cpu, planned, operations, longest } = figure;
    let mut text = format!(
        "{command}: {total:.2} s ({cpu:.2} s of CPU time), {planned:.2} s of it until the first of {operations} operations\n"
    );
    for (kind, count, sum) in longest {
        _ = writeln!(text, "  {sum:6.2} s  {count:5} × {kind}");
    }
    text
}
