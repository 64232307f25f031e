//! `fwd` as the plugin of a container runtime: who calls it says so by the environment, and gives no words.

use std::{ffi::OsString, io};

use super::{
    args::global::{cgroup, run_dir},
    caller,
    io::Io,
    logging,
};
use crate::{
    cni::{self, Plugin, Settings, Streams},
    execute::Observer,
};

/// Answers a runtime, if one has called; the exit status.
pub(super) fn run(args: &[OsString], observer: &mut dyn Observer, io: &mut Io<'_>) -> Option<u8> {
    let plugin = Plugin::called(args)?;
    if caller::has_less_rights() {
        // What a plugin is told, it does: it writes files, and runs the programs that the environment names.
        return None;
    }
    logging::start(0);
    let settings = Settings { run_dir: run_dir(), cgroup: cgroup() };
    let mut streams = Streams { input: &mut io::stdin(), out: &mut *io.out, err: &mut *io.err };
    Some(cni::run(plugin, &settings, observer, &mut streams))
}
