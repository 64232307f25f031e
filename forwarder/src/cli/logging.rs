//! Logs on stderr.

use std::{env, io};

use tracing_subscriber::EnvFilter;

use super::caller;

/// Starts logging: what `FWD_LOG` says, else `RUST_LOG`, else warnings, and more with each `-v`. The first call of a process
/// counts.
pub(super) fn start(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        // Of this crate and those below it, which are all called fwd_….
        2 => "forwarder=debug,fwd=debug,info",
        _ => "trace",
    };
    let said = |name| env::var(name).ok().filter(|value| !value.is_empty());
    let asked = ["FWD_LOG", "RUST_LOG"].into_iter().find_map(said).filter(|_| !caller::has_less_rights());
    let filter = match asked.as_deref() {
        // -v on the command line goes before the environment.
        Some(directives) if verbose == 0 => EnvFilter::try_new(directives).unwrap_or_else(|_| EnvFilter::new(level)),
        _ => EnvFilter::new(level),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // A second call finds a subscriber installed and leaves it.
    drop(builder.without_time().with_target(verbose > 1).try_init());
}
