//! `fwd exec`.

use std::{ffi::OsString, path::PathBuf};

use clap::{ArgGroup, Args};

use crate::{
    cli::{args::TargetArgs, target},
    execute,
    netns::{self, EXIT_CODES, Failure, OWN_FAILURE},
};

/// Examples and exit statuses below the help.
pub(super) fn help() -> String {
    let codes = EXIT_CODES.map(|(code, meaning)| format!("  {code}  {}\n", meaning.replace('`', ""))).concat();
    format!("{EXAMPLES}\n\nExit status: the command's own, or\n{}", codes.trim_end())
}

const EXAMPLES: &str = "\
Examples:
  fwd exec mynet curl -s http://192.0.2.1/
  fwd exec --container web ip addr   in the network of a container, with programs of the host
  fwd exec mynet                     a shell ($SHELL)";

/// `fwd exec`.
#[derive(Args, Clone, Debug)]
#[command(
    override_usage = "fwd exec [OPTIONS] <NAME|--ns <NAME>|--pid <PID>|--netns <PATH>|--container <NAME|ID>> [--] [CMD]..."
)]
#[command(group = ArgGroup::new("option").multiple(false).args(["ns", "pid", "netns", "container"]))]
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
    /// Namespace of a container of docker, podman or containerd, by its name or id
    #[arg(long, value_name = "NAME|ID")]
    container: Option<String>,
}

impl ExecArgs {
    /// The namespace and the command.
    pub(crate) fn split(&self) -> (TargetArgs, Vec<OsString>) {
        let Self { words, ns, pid, netns, container } = self.clone();
        let is_named_by_option = ns.is_some() || pid.is_some() || netns.is_some() || container.is_some();
        let target = |name: Option<String>| TargetArgs { name, ns, pid, netns, container };
        match words.as_slice() {
            [name, command @ ..] if !is_named_by_option => {
                let command = command.strip_prefix(&[OsString::from("--")]).unwrap_or(command);
                (target(Some(name.to_string_lossy().into_owned())), command.to_vec())
            }
            command => (target(None), command.to_vec()),
        }
    }
}

/// Becomes the command; returns why that failed.
pub(super) fn run(args: &ExecArgs) -> Failure {
    let (args, command) = args.split();
    let opened = target::required(&args).and_then(|target| Ok((execute::open_target(&target)?, target)));
    match opened {
        Ok((ns, target)) => netns::exec(&ns, target.name(), &command),
        Err(error) => Failure { status: OWN_FAILURE, error },
    }
}
