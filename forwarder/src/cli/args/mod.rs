//! What the user may type: clap types only. They become requests of the library in the commands' own modules.

mod bench;
pub(crate) mod defaults;
mod export;
mod help;
mod latency;
mod shell;
mod show;
mod target;
mod trace;
mod up;

use std::{env, ffi::OsString, path::PathBuf};

use clap::{ArgAction, Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

pub(crate) use bench::{BenchArgs, BenchCommand, ControlArgs};
pub(crate) use export::ExportArgs;
pub(crate) use latency::{LatencyArgs, SampleArg};
pub(crate) use shell::{CompletionsArgs, ManArgs};
pub(crate) use show::{FeaturesArgs, FlowsArgs, GcArgs, InspectArgs, LsArgs, ReloadArgs, StatsArgs};
pub(crate) use target::{DownArgs, ExecArgs, NsArgs, NsCommand, TargetArgs};
pub(crate) use trace::TraceArgs;
pub(crate) use up::{AttachArg, DatapathArg, NatArg, TableArgs, UpArgs};

use crate::dataplane::RunDir;

/// Connect Linux network namespaces to each other and to an uplink with eBPF.
#[derive(Debug, Parser)]
#[command(name = "fwd", version, max_term_width = 100, arg_required_else_help = true, subcommand_required = true)]
#[command(after_help = help::ROOT)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The declaration of the command line: all commands and options with their words.
pub(crate) fn declaration() -> clap::Command {
    Cli::command()
}

/// Options that every command takes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// Act as if this network namespace were the host (a path has a slash)
    #[arg(long, global = true, value_name = "NAME|PATH")]
    pub(crate) host_netns: Option<String>,
    #[arg(long, global = true, value_name = "DIR")]
    #[arg(help = defaults::told("Directory of fwd's pins and locks [env: FWD_RUN_DIR]", defaults::RUN_DIR))]
    pub(crate) run_dir: Option<PathBuf>,
    /// How to show results
    #[arg(long, short, global = true, value_name = "FORMAT", default_value = "table")]
    pub(crate) output: OutputArg,
    /// Short for --output json
    #[arg(long, global = true, conflicts_with = "output")]
    pub(crate) json: bool,
    /// When to use colour; auto: on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorArg,
    /// Log to stderr, -vv and -vvv more; FWD_LOG or RUST_LOG choose finer
    #[arg(long, short, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

impl GlobalArgs {
    /// `--run-dir`, else FWD_RUN_DIR where it is set to something, else the usual place.
    pub(crate) fn run_dir(&self) -> PathBuf {
        let environment = || env::var_os("FWD_RUN_DIR").filter(|value| !value.is_empty()).map(PathBuf::from);
        self.run_dir.clone().or_else(environment).unwrap_or_else(|| RunDir::DEFAULT.into())
    }

    /// Whether results are shown as JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json || self.output == OutputArg::Json
    }
}

// Values of options have plain comments: a documented value makes clap print the long form of every help text.

/// `--output`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputArg {
    // Text for people.
    Table,
    // Documents of docs/json.md.
    Json,
}

/// `--color`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorArg {
    // On a terminal, unless NO_COLOR is set.
    Auto,
    Always,
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Connect a namespace to the outside, making whatever is missing
    #[command(after_help = help::UP)]
    Up(UpArgs),
    /// Undo `up`: for one namespace, or for all
    #[command(after_help = help::DOWN)]
    Down(DownArgs),
    /// Replace the programs by those of this build, under traffic
    #[command(after_help = help::RELOAD)]
    Reload(ReloadArgs),
    /// Remove what is left of hosts whose namespace is gone
    #[command(after_help = help::GC)]
    Gc(GcArgs),
    /// Run a command inside a namespace
    #[command(after_help = help::EXEC)]
    Exec(ExecArgs),
    /// Make, delete and find network namespaces
    #[command(after_help = help::NS)]
    Ns(NsArgs),
    /// List the networks and their endpoints
    #[command(alias = "list", after_help = help::LS)]
    Ls(LsArgs),
    /// Show all about one endpoint, or what is at the other end of an interface
    #[command(after_help = help::INSPECT)]
    Inspect(InspectArgs),
    /// List the flows that are translated now
    #[command(after_help = help::FLOWS)]
    Flows(FlowsArgs),
    /// Count packets by hook, interface and verdict
    #[command(after_help = help::STATS)]
    Stats(StatsArgs),
    /// Compare the data paths of this machine in a sandbox
    #[command(after_help = help::BENCH)]
    Bench(Box<BenchArgs>),
    /// Measure how long packets take between namespace and uplink
    #[command(after_help = help::LATENCY)]
    Latency(LatencyArgs),
    /// Show what is decided about each packet, hook by hook, and why
    #[command(after_help = help::TRACE)]
    Trace(TraceArgs),
    /// Ask the kernel for all that fwd needs of it
    #[command(after_help = help::FEATURES)]
    Features(FeaturesArgs),
    /// Write completions for a shell
    #[command(after_help = help::COMPLETIONS)]
    Completions(CompletionsArgs),
    /// Write manual pages
    #[command(after_help = help::MAN)]
    Man(ManArgs),
}

/// Whether the words of a command line ask for JSON; for errors in a command line that does not parse.
pub(crate) fn asks_for_json(args: &[OsString]) -> bool {
    values(args, &["--output", "-o"]).any(|value| value == "json") || options(args).any(|word| word == "--json")
}

/// What the words of a command line that does not parse say about colour.
pub(crate) fn color_asked(args: &[OsString]) -> Option<ColorArg> {
    values(args, &["--color"]).last().and_then(|value| ColorArg::from_str(value, false).ok())
}

/// The command of a line that does not parse.
pub(crate) fn command_word(args: &[OsString]) -> Option<&str> {
    let mut words = options(args).skip(1);
    while let Some(word) = words.next() {
        match word {
            "--host-netns" | "--run-dir" | "--output" | "-o" | "--color" => drop(words.next()),
            option if option.starts_with('-') => {}
            command => return Some(command),
        }
    }
    None
}

/// The words before `--`.
fn options(args: &[OsString]) -> impl Iterator<Item = &str> {
    args.iter().map_while(|word| word.to_str().filter(|word| *word != "--"))
}

/// The values given to an option: after it, after `=`, or for a short one right behind it.
fn values<'a>(args: &'a [OsString], names: &'a [&str]) -> impl Iterator<Item = &'a str> {
    let attached = move |word: &'a str| {
        let rest = names.iter().find_map(|name| word.strip_prefix(name).map(|rest| (name, rest)));
        rest.and_then(|(name, rest)| if name.starts_with("--") { rest.strip_prefix('=') } else { Some(rest) })
    };
    let pairs = options(args).zip(options(args).skip(1));
    let separate = pairs.filter(|(name, _)| names.contains(name)).map(|(_, value)| value);
    separate.chain(options(args).filter_map(attached))
}

#[cfg(test)]
mod tests;
