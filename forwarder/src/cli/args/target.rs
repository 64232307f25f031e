//! Commands that name a namespace: the target group, `down`, `exec`, `ns`.

use std::{ffi::OsString, path::PathBuf};

use clap::{ArgGroup, Args, Subcommand};

use super::help;

/// Which namespace: exactly one of these, where the command needs one.
#[derive(Args, Clone, Debug, Default)]
#[group(multiple = false)]
pub(crate) struct TargetArgs {
    /// Namespace, the same as --ns NAME
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Namespace by the name that `ip netns list` shows
    #[arg(long, value_name = "NAME")]
    pub(crate) ns: Option<String>,
    /// Namespace of a process, such as a container's first
    #[arg(long, value_name = "PID")]
    pub(crate) pid: Option<u32>,
    /// Namespace by the path of its file, such as /run/netns/NAME or /proc/PID/ns/net
    #[arg(long, value_name = "PATH")]
    pub(crate) netns: Option<PathBuf>,
}

/// A group of which one argument must be given.
pub(crate) fn one_of(args: impl IntoIterator<Item = &'static str>) -> ArgGroup {
    ArgGroup::new("which namespace").required(true).multiple(false).args(args)
}

/// `fwd down`.
#[derive(Args, Debug)]
#[command(group = one_of(["name", "ns", "pid", "netns", "all"]))]
pub(crate) struct DownArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Every endpoint of every network
    #[arg(long)]
    pub(crate) all: bool,
    /// Delete the namespace even if `up` did not make it
    #[arg(long)]
    pub(crate) delete_ns: bool,
    /// Print the operations and their equivalent commands; change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `fwd exec`.
#[derive(Args, Debug)]
#[command(override_usage = "fwd exec [OPTIONS] <NAME|--ns <NAME>|--pid <PID>|--netns <PATH>> [--] [CMD]...")]
#[command(group = ArgGroup::new("option").multiple(false).args(["ns", "pid", "netns"]))]
pub(crate) struct ExecArgs {
    /// Namespace, unless an option names it; then the command and its arguments, without one $SHELL
    // One argument, so that from the first word on nothing is an option of fwd.
    #[arg(value_names = ["NAME", "CMD"], num_args = 0.., trailing_var_arg = true)]
    words: Vec<OsString>,
    /// Namespace by the name that `ip netns list` shows
    #[arg(long, value_name = "NAME")]
    ns: Option<String>,
    /// Namespace of a process, such as a container's first
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// Namespace by the path of its file, such as /run/netns/NAME or /proc/PID/ns/net
    #[arg(long, value_name = "PATH")]
    netns: Option<PathBuf>,
}

impl ExecArgs {
    /// The namespace and the command.
    pub(crate) fn split(&self) -> (TargetArgs, Vec<OsString>) {
        let Self { words, ns, pid, netns } = self;
        let target = |name: Option<String>| TargetArgs { name, ns: ns.clone(), pid: *pid, netns: netns.clone() };
        match words.as_slice() {
            [name, command @ ..] if ns.is_none() && pid.is_none() && netns.is_none() => {
                let command = command.strip_prefix(&[OsString::from("--")]).unwrap_or(command);
                (target(Some(name.to_string_lossy().into_owned())), command.to_vec())
            }
            command => (target(None), command.to_vec()),
        }
    }
}

/// `fwd ns`.
#[derive(Args, Debug)]
pub(crate) struct NsArgs {
    #[command(subcommand)]
    pub(crate) command: NsCommand,
}

/// The commands of `fwd ns`.
#[derive(Debug, Subcommand)]
#[command(arg_required_else_help = true, subcommand_required = true, after_help = help::NS)]
pub(crate) enum NsCommand {
    /// Make an empty namespace, as `ip netns add` does
    Add {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Delete a namespace that is in no network of fwd
    #[command(alias = "del")]
    Rm {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// List the namespaces that have a name
    #[command(alias = "list")]
    Ls {
        /// Also those without a name: every network namespace of the machine
        #[arg(long)]
        all: bool,
    },
    /// Tell in which namespace processes are, and who shares it
    Of {
        /// Processes
        #[arg(value_name = "PID", required = true)]
        pids: Vec<u32>,
    },
}
