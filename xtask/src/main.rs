//! The commands behind `./x`, one module per command.

mod arch;
mod bench;
mod build;
mod demo;
mod deny;
mod docs;
mod fmt;
mod fuzz;
mod lint;
mod measure;
mod newcomer;
mod package;
mod peers;
mod progress;
mod root;
mod runtimes;
mod setup;
mod term;
mod test;
mod tidy;
mod vm;
mod workspace;

use std::{ffi::OsString, process::ExitCode};

use anyhow::Result;
use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::workspace::Workspace;

/// The commands of this checkout.
#[derive(Debug, Parser)]
#[command(name = "x", bin_name = "./x", max_term_width = 120, subcommand_required = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// A command: a module of this crate.
#[derive(Debug, Subcommand)]
enum Command {
    /// Show fwd at work on a sandboxed host (as root)
    Demo(Passed),
    /// Check and test everything; `unit` needs no root
    Test(test::Arguments),
    /// Flood the flow table with a million packets of each kind, and print what got through (as root)
    Flood(test::Flood),
    /// Have what other commits have brought up taken over by this one, under traffic, brought back, and taken over again (as root)
    Upgrade(test::Upgrade),
    /// Build target/release/fwd
    Build(Passed),
    /// Install what build, tests and demo need
    Setup,
    /// Measure everything that has a target, and write docs/benchmarks.md (as root)
    Bench(bench::Arguments),
    /// Measure the flow table against its alternatives (as root): [--json] [ROUNDS]
    Stores(Passed),
    /// Measure what the programs take for a packet of each kind (as root): [--many-flows | --used | --in-situ] [--json] [ROUNDS]
    Packets(Passed),
    /// Measure what fwd costs the host's own traffic (as root): [--json] [ROUNDS]
    HostCost(Passed),
    /// Measure how long one apply takes for networks of a thousand namespaces (as root): [--json] [--bridgeless] [NETWORKS]
    Thousand(Passed),
    /// Measure whether limits of rates are kept to within 5 % (as root): [--json] [--only WORDS] [ROUNDS]
    Rates(Passed),
    /// Compare fwd with the programs in whose place it is, and run podman on it (as root): [--only cni|podman] [ROUNDS], or netavark [FILE…]
    Peers(Passed),
    /// Look for bytes that break parser or translator
    Fuzz(fuzz::Arguments),
    /// Write the tables of the pages that repeat what the code declares
    Docs,
    /// Make the changes that CONTRIBUTING.md describes in a copy, and look whether they show wherever they should
    Newcomer,
    /// Have --container find containers of docker, podman and containerd, and these use fwd as driver and plugin (as root)
    Runtimes(runtimes::Arguments),
    /// Run tests on other kernels, each in an emulated machine: [--full | --test FILTER,…] [KERNEL…]
    Vm(vm::Arguments),
    /// Build a Debian package; --check installs it in a fresh root and uses it (as root)
    Package(package::Arguments),
    /// Format the sources
    Fmt(Passed),
    /// Ask cargo-deny, where it is installed, about licences, registries and advisories
    Deny(Passed),
    /// Clippy for the host and the BPF crates, warnings are errors
    Lint,
    /// Check layering, unsafe code, sizes, words, links and licences
    Tidy,
}

/// What a program is given that has arguments of its own.
#[derive(Args, Debug)]
struct Passed {
    /// Arguments of the program behind the command
    #[arg(value_name = "ARGUMENTS", trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

impl Command {
    fn run(&self, workspace: &Workspace) -> Result<()> {
        match self {
            Self::Demo(Passed { arguments }) => demo::run(workspace, arguments),
            Self::Test(arguments) => test::run(workspace, arguments),
            Self::Flood(arguments) => test::flood(workspace, arguments),
            Self::Upgrade(arguments) => test::upgrade(workspace, arguments),
            Self::Build(Passed { arguments }) => build::run(workspace, arguments),
            Self::Setup => setup::run(workspace),
            Self::Bench(arguments) => bench::run(workspace, arguments),
            Self::Stores(Passed { arguments }) => measure::stores(workspace, arguments),
            Self::Packets(Passed { arguments }) => measure::packets(workspace, arguments),
            Self::HostCost(Passed { arguments }) => measure::host_cost(workspace, arguments),
            Self::Thousand(Passed { arguments }) => measure::thousand(workspace, arguments),
            Self::Rates(Passed { arguments }) => measure::rates(workspace, arguments),
            Self::Peers(Passed { arguments }) => peers::run(workspace, arguments),
            Self::Fuzz(arguments) => fuzz::run(workspace, arguments),
            Self::Docs => docs::run(workspace),
            Self::Newcomer => newcomer::run(workspace),
            Self::Runtimes(arguments) => runtimes::run(workspace, arguments),
            Self::Vm(arguments) => vm::run(workspace, arguments),
            Self::Package(arguments) => package::run(workspace, arguments),
            Self::Fmt(Passed { arguments }) => fmt::run(workspace, arguments),
            Self::Deny(Passed { arguments }) => deny::run(workspace, arguments),
            Self::Lint => lint::run(workspace),
            Self::Tidy => tidy::run(workspace),
        }
    }
}

fn main() -> ExitCode {
    if std::env::args_os().len() < 2 {
        // Whoever types `./x` alone asks for the list.
        return Cli::command().print_help().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    let Cli { command } = Cli::parse();
    match Workspace::find().and_then(|workspace| command.run(&workspace)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{} {error:#}", term::err().red("x:"));
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::Cli;

    #[test]
    fn commands_are_declared_consistently() {
        Cli::command().debug_assert();
    }

    #[test]
    fn contributors_are_told_of_every_command() {
        let page = include_str!("../../CONTRIBUTING.md");
        let listed = page.lines().filter_map(|line| line.strip_prefix("./x "));
        for line in listed.map(|line| line.split('#').next().unwrap_or(line)) {
            let words = std::iter::once("x").chain(line.split_whitespace());
            let parsed = Cli::try_parse_from(words.clone()).map(drop);
            let is_list = words.count() == 1;
            assert!(is_list || parsed.is_ok(), "./x {line}: {parsed:?}");
        }
        for command in Cli::command().get_subcommands().map(clap::Command::get_name) {
            assert!(page.contains(&format!("./x {command}")), "CONTRIBUTING.md does not tell of ./x {command}");
        }
    }

    #[test]
    fn what_the_pages_type_is_understood() {
        for line in [
            "x demo --slow",
            "x test",
            "x test unit ports",
            "x test integration datapath:: --nocapture",
            "x test pressure:: -- --nocapture",
            "x flood 1000",
            "x bench --only paths,packets",
            "x bench --table",
            "x bench --check --json 9",
            "x stores --json 15",
            "x packets --used",
            "x packets --in-situ 5",
            "x rates --only UDP 1",
            "x peers --only cni 5",
            "x peers netavark 700-create",
            "x fuzz parse 30",
            "x fuzz 30 parse",
            "x fuzz minimise",
            "x package --twice --check",
            "x vm 6.12 newest",
            "x vm --test nat::,tun:: 6.1",
            "x runtimes netavark",
            "x runtimes podman",
            "x fmt --check",
        ] {
            Cli::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
        for line in [
            "x tests",
            "x flood 0",
            "x flood many",
            "x bench --only nothing",
            "x bench --table --check",
            "x fuzz nothing",
            "x vm six",
            "x vm --full --test nat::",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
