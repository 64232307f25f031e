//! `./x test`: every check and test of the project, and one table of what came out.

pub(crate) mod libtest;
pub(crate) mod report;

use std::{env, ffi::OsString};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use self::report::{Report, Tally};
use crate::{
    fmt, fuzz, lint,
    root::Root,
    setup, tidy,
    workspace::{Workspace, revision},
};

/// How the integration tests run.
struct Manner {
    /// At a time: each test has namespaces of its own.
    threads: &'static str,
    /// What tests are told besides, by a variable of their environment.
    told: Option<(&'static str, OsString)>,
}

/// Two CPUs are what the tests are sized for. Most of their time they wait for packets: with a third one there is mostly one that does not.
const USUAL: Manner = Manner { threads: "--test-threads=3", told: None };

/// All tests, by two runs of them side by side. The loads of `fwd bench` measure one after another, each in its turn: their tests have a thread
/// for themselves, where they would keep all of them waiting otherwise.
const ALL: [&[&str]; 2] = [&["--test-threads=1", "bench"], &["--test-threads=3", "--skip", "bench"]];

/// Packets of each kind that `./x flood` sends.
const FLOOD: u64 = 1_000_000;

/// `./x test`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// `unit` or `integration` alone, with filters or not; filters alone are of integration tests. What libtest knows, too: --nocapture
    #[arg(value_name = "unit|integration|FILTER", trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// `./x flood`.
#[derive(Args, Debug)]
pub(crate) struct Flood {
    /// Packets of each kind
    #[arg(default_value_t = FLOOD, value_parser = clap::value_parser!(u64).range(1..))]
    packets: u64,
}

/// `./x upgrade`.
#[derive(Args, Debug)]
pub(crate) struct Upgrade {
    /// Commits of former versions
    #[arg(value_name = "REV", required = true)]
    revisions: Vec<String>,
}

/// How long each fuzz target runs after its corpus, seconds.
const FUZZ_SECONDS: u32 = 4;

/// What to run, by the first word; all others go to the test binaries (filters, `--nocapture` …).
pub(crate) fn run(workspace: &Workspace, Arguments { words }: &Arguments) -> Result<()> {
    let mut report = Report::default();
    let filters = |rest: &[String]| -> Vec<String> { rest.iter().filter(|word| *word != "--").cloned().collect() };
    match words.as_slice() {
        [] => everything(workspace, &mut report),
        [first, rest @ ..] if first == "unit" => {
            if linker_is_there(workspace, &mut report) {
                report.run("unit tests", || unit(workspace, &filters(rest)));
            }
        }
        [first, rest @ ..] if first == "integration" => {
            integration_alone(workspace, &mut report, &filters(rest), &USUAL)
        }
        filter => integration_alone(workspace, &mut report, &filters(filter), &USUAL),
    }
    report.close()
}

/// `./x flood`: the tests of a table under pressure, one after another with many packets, and their figures.
pub(crate) fn flood(workspace: &Workspace, Flood { packets }: &Flood) -> Result<()> {
    let mut report = Report::default();
    let manner = Manner { threads: "--test-threads=1", told: Some(("FWD_FLOOD", packets.to_string().into())) };
    integration_alone(workspace, &mut report, &["pressure::".into(), "--nocapture".into()], &manner);
    report.close()
}

/// `./x upgrade`: the tests of what a former version has brought up, by the programs of other commits.
pub(crate) fn upgrade(workspace: &Workspace, Upgrade { revisions }: &Upgrade) -> Result<()> {
    setup::linker::ensure(workspace)?;
    let built = revisions.iter().map(|revision| revision::built(workspace, revision)).collect::<Result<Vec<_>>>()?;
    let former = env::join_paths(built).context("a path has a colon in it")?;
    let mut report = Report::default();
    let manner = Manner { threads: "--test-threads=1", told: Some(("FWD_TEST_FORMER", former)) };
    integration_alone(workspace, &mut report, &["upgrade::".into(), "--nocapture".into()], &manner);
    report.close()
}

/// The order: what is quick to say comes first; a failure does not keep the rest from running.
fn everything(workspace: &Workspace, report: &mut Report) {
    // Root first: a password is asked for now, not after minutes of compiling.
    let root = Root::obtain();
    let packages = report.setup("Debian packages", setup::packages);
    let linker = linker_is_there(workspace, report);
    report.check("formatting", || fmt::run(workspace, &["--check".into()]));
    report.check("tidy", || tidy::run(workspace));
    if !linker {
        for name in ["clippy", "unit tests", "fuzzing", "integration tests"] {
            report.check(name, || bail!("not run: bpf-linker is missing, see above"));
        }
        return;
    }
    report.check("clippy", || lint::host(workspace));
    report.check("clippy of the BPF crate", || lint::bpf(workspace));
    report.run("unit tests", || unit(workspace, &[]));
    report.check("fuzzing, a few seconds", || fuzz::search(workspace, fuzz::TARGETS, FUZZ_SECONDS));
    integration_phases(workspace, report, root, packages, &[], &USUAL);
}

fn integration_alone(workspace: &Workspace, report: &mut Report, filters: &[String], manner: &Manner) {
    let root = Root::obtain();
    let packages = report.setup("Debian packages", setup::packages);
    if linker_is_there(workspace, report) {
        integration_phases(workspace, report, root, packages, filters, manner);
    }
}

fn linker_is_there(workspace: &Workspace, report: &mut Report) -> bool {
    report.setup("bpf-linker", || setup::linker::ensure(workspace))
}

/// Unit, property and documentation tests: no root, no namespaces, overflow checks on.
fn unit(workspace: &Workspace, filters: &[String]) -> Result<Tally> {
    let mut cargo = workspace.cargo("test");
    // Those of `tests` need root; the eBPF crate has none.
    cargo.args(["--locked", "--no-fail-fast", "--workspace", "--exclude", "tests", "--exclude", "forwarder-ebpf"]);
    cargo.arg("--").args(libtest::colour()).args(filters);
    libtest::run(&mut cargo)?.or_no_match(filters)
}

fn integration_phases(
    workspace: &Workspace,
    report: &mut Report,
    root: Result<Root>,
    packages: bool,
    filters: &[String],
    manner: &Manner,
) {
    let mut binaries = Vec::new();
    let built = report.check("build", || {
        // All packages at once, and a target that is a test: so dependencies have the features that the unit tests have them with, and none
        // is compiled again.
        binaries = libtest::build(workspace.cargo("build").args(["--locked", "--bins", "--test", "tests"]))?;
        Ok(())
    });
    report.run("integration tests", || {
        let root = root?;
        if !packages {
            bail!("not run: Debian packages are missing, see above");
        }
        if !built {
            bail!("not run: the build failed, see above");
        }
        integration(workspace, root, &binaries, filters, manner)
    });
}

/// The tests over real namespaces: built by the user, run as root.
fn integration(
    workspace: &Workspace,
    root: Root,
    binaries: &[std::path::PathBuf],
    filters: &[String],
    manner: &Manner,
) -> Result<Tally> {
    let fwd = workspace.target.join("debug/fwd");
    let package = workspace.root.join("tests");
    let mut environment = vec![
        ("FWD_BIN", fwd.as_os_str()),
        ("CARGO_MANIFEST_DIR", package.as_os_str()),
        ("RUST_BACKTRACE", "1".as_ref()),
        // Root must leave nothing in the checkout.
        ("INSTA_UPDATE", "no".as_ref()),
        ("PYTHONDONTWRITEBYTECODE", "1".as_ref()),
    ];
    environment.extend(manner.told.as_ref().map(|(name, value)| (*name, value.as_os_str())));
    let given: Vec<&str> = [manner.threads].into_iter().chain(filters.iter().map(String::as_str)).collect();
    let runs: &[&[&str]] = if filters.is_empty() { &ALL } else { &[&given] };
    let mut tally = Tally::default();
    for binary in binaries {
        let commands = runs.iter().map(|arguments| {
            let mut command = root.command(binary, &environment);
            command.current_dir(&package).args(libtest::colour()).args(*arguments);
            command
        });
        tally.add(libtest::run_side_by_side(commands.collect()).with_context(|| format!("{}", binary.display()))?);
    }
    tally.or_no_match(filters)
}
