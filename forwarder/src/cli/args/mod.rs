//! What the user may type: clap types only. They become requests of the library in the commands' own modules.

mod help;
mod show;
mod target;
mod up;

use std::{ffi::OsString, path::PathBuf};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

pub(crate) use show::{FlowsArgs, InspectArgs, LsArgs, StatsArgs};
pub(crate) use target::{DownArgs, ExecArgs, NsArgs, NsCommand, TargetArgs};
pub(crate) use up::{DatapathArg, UpArgs};

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

/// Options that every command takes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// Act as if this network namespace were the host: a name, or a path with a slash
    #[arg(long, global = true, value_name = "NAME|PATH")]
    pub(crate) host_netns: Option<String>,
    /// Directory of fwd's pins and locks
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "FWD_RUN_DIR",
        default_value = "/run/fwd",
        hide_env_values = true
    )]
    pub(crate) run_dir: PathBuf,
    /// How to show results
    #[arg(long, short, global = true, value_name = "FORMAT", default_value = "table")]
    pub(crate) output: OutputArg,
    /// Short for --output json
    #[arg(long, global = true, conflicts_with = "output")]
    pub(crate) json: bool,
    /// When to use colour (auto: on a terminal, unless NO_COLOR is set)
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorArg,
    /// Log to stderr; repeat for more (-vv, -vvv). FWD_LOG or RUST_LOG choose finer
    #[arg(long, short, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

impl GlobalArgs {
    /// Whether results are shown as JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json || self.output == OutputArg::Json
    }
}

/// `--output`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputArg {
    /// Text for people
    Table,
    /// JSON with stable keys
    Json,
}

/// `--color`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorArg {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
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
}

impl Command {
    /// The name that the user typed, for messages.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Up(_) => "up",
            Self::Down(_) => "down",
            Self::Exec(_) => "exec",
            Self::Ns(_) => "ns",
            Self::Ls(_) => "ls",
            Self::Inspect(_) => "inspect",
            Self::Flows(_) => "flows",
            Self::Stats(_) => "stats",
        }
    }
}

/// Whether the words of a command line ask for JSON; for errors in a command line that does not parse.
pub(crate) fn asks_for_json(args: &[OsString]) -> bool {
    let mut previous = None;
    for word in args.iter().map_while(|word| word.to_str().filter(|word| *word != "--")) {
        let value = match previous {
            Some("--output" | "-o") => Some(word),
            _ => word.strip_prefix("--output=").or_else(|| word.strip_prefix("-o")),
        };
        if word == "--json" || value == Some("json") {
            return true;
        }
        previous = Some(word);
    }
    false
}

#[cfg(test)]
mod tests;
