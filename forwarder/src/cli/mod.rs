//! The command line: from words to requests of the library, and from results to text or JSON.
//!
//! [`run`] is the whole program but for the process's own streams and exit; tests pass their own.

mod args;
mod commands;
mod export;
mod failure;
mod invocation;
mod io;
mod logging;
mod session;
mod target;

use std::ffi::{OsStr, OsString};

use clap::Parser;

pub(crate) use self::args::{declaration, defaults};
pub use self::io::Io;
use self::{
    args::{Cli, Command, GlobalArgs},
    session::Session,
};
use crate::{Error, Kind, Result, execute::Observer, query::HostNetns, render::Look};

/// Runs the command line `args`, of which the first word is the program, and returns the exit status (docs: `fwd --help`).
///
/// The calling thread is left in the namespace of `--host-netns`. `exec` returns only if it fails. `observer` sees each
/// operation of `up` and `down`.
pub fn run(args: impl IntoIterator<Item = OsString>, observer: &mut dyn Observer, io: &mut Io<'_>) -> u8 {
    let args: Vec<OsString> = args.into_iter().collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => return failure::misused(error, &args, io),
    };
    let global = cli.global.clone();
    let program = args.first().map_or(OsStr::new("fwd"), OsString::as_os_str);
    let fwd = invocation::prefix(program, &global);
    logging::start(global.verbose);
    if let Command::Exec(exec) = &cli.command {
        let failed = match privileged(&args) {
            Ok(()) => commands::exec::run(exec),
            Err(error) => crate::netns::Failure { status: commands::exec::OWN_FAILURE, error },
        };
        return failure::report(&failed.error, failed.status, fwd, &global, io);
    }
    if let Some(result) = unprivileged(&cli.command, io) {
        return finish(result, fwd, &global, io);
    }
    let at = match privileged(&args).and_then(|()| HostNetns::enter(global.host_netns.as_deref(), &global.run_dir())) {
        Ok(at) => at,
        Err(error) => {
            // What to do about a --host-netns that is none works without it.
            let fwd = invocation::prefix(program, &GlobalArgs { host_netns: None, ..global.clone() });
            return failure::report(&error, error.kind.exit_code(), fwd, &global, io);
        }
    };
    let look = Look { color: io.out_color(global.color), width: io.out_width, fwd: fwd.clone() };
    let result = dispatch(&cli, &mut Session::new(at, &global, look, io), observer);
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

/// Runs a command that needs no privilege, if it is one.
fn unprivileged(command: &Command, io: &mut Io<'_>) -> Option<Result<()>> {
    match command {
        Command::Completions(args) => Some(commands::shell::completions(args, io)),
        Command::Man(args) => Some(commands::shell::man(args, io)),
        _ => None,
    }
}

/// Runs any command but `exec`.
fn dispatch(cli: &Cli, session: &mut Session<'_, '_>, observer: &mut dyn Observer) -> Result<()> {
    match &cli.command {
        Command::Up(args) => commands::up::run(session, args, observer),
        Command::Down(args) => commands::down::run(session, args, observer),
        Command::Gc(args) => commands::gc::run(session, args),
        Command::Reload(args) => commands::reload::run(session, args),
        Command::Ns(args) => commands::ns::run(session, args),
        Command::Ls(args) => commands::ls::run(session, args),
        Command::Inspect(args) => commands::inspect::run(session, args),
        Command::Flows(args) => commands::flows::run(session, args),
        Command::Stats(args) => commands::stats::run(session, args),
        Command::Bench(args) => commands::bench::run(session, args),
        Command::Latency(args) => commands::latency::run(session, args),
        Command::Trace(args) => commands::trace::run(session, args),
        Command::Features(args) => commands::features::run(session, args),
        // They never come to a session: run() has taken them.
        Command::Exec(_) | Command::Completions(_) | Command::Man(_) => Ok(()),
    }
}

/// Refuses users other than root before anything is looked at.
fn privileged(args: &[OsString]) -> Result<()> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let error = Error::new(Kind::Unsupported, "run", "fwd", "only root may change namespaces and load programs");
    Err(error.remedy(format!("sudo {}", invocation::line(args))))
}

#[cfg(test)]
mod tests;
