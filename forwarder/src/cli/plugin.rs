//! `fwd` as the plugin of a container runtime: who calls it says so by the environment and gives no words (CNI), or by words that are none
//! of the command line (netavark).

use std::{
    ffi::OsString,
    io::{self, IsTerminal as _},
    path::Path,
};

use super::{
    args::global::{cgroup, run_dir},
    caller,
    io::Io,
    logging,
};
use crate::{
    cni,
    execute::Observer,
    netavark,
    plugin::{Settings, Streams},
};

/// Whose plugin is called, and how.
enum Call {
    Cni(cni::Plugin),
    Netavark(netavark::Command),
}

impl Call {
    fn of(args: &[OsString]) -> Option<Self> {
        // Somebody at a terminal has mistyped a command.
        let is_called = |command: &netavark::Command| !command.reads() || !io::stdin().is_terminal();
        let netavark = || netavark::Command::called(args).filter(is_called);
        cni::Plugin::called(args).map(Self::Cni).or_else(|| netavark().map(Self::Netavark))
    }
}

/// The command line where the program is called as another, in whose place it is: `netavark setup …` is `fwd netavark setup …`.
pub(super) fn in_place_of_others(mut args: Vec<OsString>) -> Vec<OsString> {
    const NETAVARK: &str = "netavark";
    if args.first().is_some_and(|program| Path::new(program).file_name() == Some(NETAVARK.as_ref())) {
        args.insert(1, NETAVARK.into());
    }
    args
}

/// Answers a runtime, if one has called; the exit status.
pub(super) fn run(args: &[OsString], observer: &mut dyn Observer, io: &mut Io<'_>) -> Option<u8> {
    let call = Call::of(args)?;
    if caller::has_less_rights() {
        // What a plugin is told, it does: it writes files, and runs the programs that the environment names.
        return None;
    }
    logging::start(0);
    let settings = Settings { run_dir: run_dir(), cgroup: cgroup() };
    let mut streams = Streams { input: &mut io::stdin(), out: &mut *io.out, err: &mut *io.err };
    Some(match call {
        Call::Cni(plugin) => cni::run(plugin, &settings, observer, &mut streams),
        Call::Netavark(command) => netavark::run(&command, &settings, observer, &mut streams),
    })
}
