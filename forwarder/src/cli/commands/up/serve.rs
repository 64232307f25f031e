//! `fwd dns serve`: what the name server of a host is started as. Not for use by hand.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::{
    Result,
    cli::{args::global::run_dir, caller},
    dns::{Serve, serve},
};

/// `fwd dns`.
#[derive(Args, Debug)]
pub(crate) struct DnsArgs {
    #[command(subcommand)]
    pub(crate) what: Dns,
}

/// What is asked of it.
#[derive(Debug, Subcommand)]
pub(crate) enum Dns {
    /// Be the name server of a host; started by `fwd up --dns`
    Serve(ServeArgs),
}

/// `fwd dns serve`.
#[derive(Args, Debug)]
pub(crate) struct ServeArgs {
    /// Where commands find it
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: PathBuf,
    /// Whom the host asks says the first of these that exists
    #[arg(long, value_name = "FILE")]
    pub(crate) resolv_conf: Vec<PathBuf>,
}

/// Serves until no network has names.
pub(in crate::cli::commands) fn run(args: &DnsArgs) -> Result<()> {
    let Dns::Serve(ServeArgs { socket, resolv_conf }) = &args.what;
    // `up` starts it with a socket in the run directory, which who has less rights does not choose.
    if !socket.starts_with(run_dir()) {
        caller::check_file("--socket")?;
    }
    serve(&Serve { socket: socket.clone(), resolv_conf: resolv_conf.clone() })
}
