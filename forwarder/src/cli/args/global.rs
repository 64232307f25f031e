//! Options that every command takes.

use std::{env, path::PathBuf};

use clap::{ArgAction, Args, ValueEnum};

use super::defaults;
use crate::{cli::caller, dataplane::RunDir};

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
    #[arg(long, global = true, value_name = "DIR")]
    #[arg(help = defaults::told("Cgroup (version 2) whose processes reach published ports by the host's own addresses [env: FWD_CGROUP]", defaults::CGROUP))]
    pub(crate) cgroup: Option<PathBuf>,
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
        self.run_dir.clone().unwrap_or_else(run_dir)
    }

    /// `--cgroup`, else FWD_CGROUP where it is set to something.
    pub(crate) fn cgroup(&self) -> Option<PathBuf> {
        self.cgroup.clone().or_else(cgroup)
    }

    /// Whether results are shown as JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json || self.output == OutputArg::Json
    }
}

/// FWD_RUN_DIR where it is set to something, else the usual place.
pub(crate) fn run_dir() -> PathBuf {
    from_environment("FWD_RUN_DIR").unwrap_or_else(|| RunDir::DEFAULT.into())
}

/// FWD_CGROUP where it is set to something.
pub(crate) fn cgroup() -> Option<PathBuf> {
    from_environment("FWD_CGROUP")
}

/// A path that a variable of the environment is set to, where the environment may say something.
fn from_environment(name: &str) -> Option<PathBuf> {
    let value = env::var_os(name).filter(|value| !value.is_empty())?;
    (!caller::has_less_rights()).then(|| value.into())
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
