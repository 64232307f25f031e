//! The command line: from words to requests of the library, and from results to text or JSON.
//!
//! [`run`] is the whole program but for the process's own streams and exit; tests pass their own.

mod args;
mod caller;
mod commands;
mod export;
mod failure;
mod frequent;
mod invocation;
mod io;
mod logging;
mod plugin;
mod privileges;
mod progress;
mod session;
mod target;

use std::ffi::{OsStr, OsString};

use clap::{CommandFactory as _, Parser};

pub use self::io::Io;
use self::{
    args::GlobalArgs,
    commands::{Command, Run},
    session::Session,
};
pub(crate) use self::{args::defaults, privileges::NEEDED as NEEDED_CAPABILITIES};
use crate::{Kind, Result, execute::Observer, netns, query::HostNetns, render::Look};

const EXAMPLES: &str = "\
Examples:
  fwd up --ns mynet --uplink eth0             make mynet, connect it through eth0
  fwd exec mynet ping -c1 192.0.2.1           run a program inside
  fwd ls                                      networks and their endpoints
  fwd flows --ns mynet                        what is translated now
  fwd bench                                   what it gains over the alternatives
  fwd down --ns mynet                         undo it all";

/// Every exit status, with what it means.
pub(crate) fn exit_codes() -> Vec<(u8, &'static str)> {
    let failures = Kind::ALL.map(|kind| (kind.exit_code(), kind.meaning()));
    std::iter::once((0, "done, or nothing to do")).chain(failures).collect()
}

/// Examples and exit statuses below the help.
fn help() -> String {
    let codes: String = exit_codes().into_iter().map(|(code, meaning)| format!("  {code}  {meaning}\n")).collect();
    format!("{EXAMPLES}\n\nExit status:\n{}", codes.trim_end())
}

/// Connect Linux network namespaces to each other and to an uplink with eBPF.
#[derive(Debug, Parser)]
#[command(name = "fwd", version, max_term_width = 100, arg_required_else_help = true, subcommand_required = true)]
#[command(after_help = help())]
struct Cli {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    command: Command,
}

/// The declaration of the command line: all commands and options with their words.
pub(crate) fn declaration() -> clap::Command {
    Cli::command()
}

/// Runs the command line `args`, of which the first word is the program, and returns the exit status (docs: `fwd --help`).
///
/// The calling thread is left in the namespace of `--host-netns`. `exec` returns only if it fails. `observer` sees each
/// operation of `up` and `down`.
pub fn run(args: impl IntoIterator<Item = OsString>, observer: &mut dyn Observer, io: &mut Io<'_>) -> u8 {
    let args = plugin::in_place_of_others(args.into_iter().collect());
    if let Some(status) = plugin::run(&args, observer, io) {
        return status;
    }
    let cli = match frequent::parse(&args) {
        Ok(cli) => cli,
        Err(error) => return failure::misused(error, &args, io),
    };
    let global = cli.global.clone();
    let program = args.first().map_or(OsStr::new("fwd"), OsString::as_os_str);
    let fwd = invocation::prefix(program, &global);
    logging::start(global.verbose);
    let run = match cli.command.run() {
        Run::Anywhere(run) => return finish(run(&global, io), fwd, &global, io),
        Run::Answers(run) => {
            let answered = run(io, observer);
            return answered.unwrap_or_else(|error| failure::report(&error, error.kind.exit_code(), fwd, &global, io));
        }
        Run::Becomes(run) => {
            let failed = match privileges::check(&args) {
                Ok(()) => run(),
                Err(error) => netns::Failure { status: netns::OWN_FAILURE, error },
            };
            return failure::report(&failed.error, failed.status, fwd, &global, io);
        }
        Run::AtHost(run) => run,
    };
    let checked = privileges::check(&args).and_then(|()| match global.run_dir {
        Some(_) => caller::check_file("--run-dir"),
        None => Ok(()),
    });
    let at = checked.and_then(|()| {
        let at = HostNetns::open(global.host_netns.as_deref(), &global.run_dir())?;
        at.enter().map(|()| at)
    });
    let at = match at {
        Ok(at) => at,
        Err(error) => {
            // What to do about a --host-netns that is none works without it.
            let fwd = invocation::prefix(program, &GlobalArgs { host_netns: None, ..global.clone() });
            return failure::report(&error, error.kind.exit_code(), fwd, &global, io);
        }
    };
    let look = Look { color: io.out_color(global.color), width: io.out_width, fwd: fwd.clone() };
    let result = run(&mut Session::new(at, &global, look, io), observer);
    finish(result, fwd, &global, io)
}

/// The exit status of a command, of which a failure is reported.
fn finish(result: Result<()>, fwd: String, global: &GlobalArgs, io: &mut Io<'_>) -> u8 {
    match result {
        Ok(()) => 0,
        Err(error) if io::is_broken_pipe(&error) => 0,
        Err(error) => failure::report(&error, error.kind.exit_code(), fwd, global, io),
    }
}

#[cfg(test)]
mod tests;
