//! `fwd restore`: what a machine does when it starts (contrib/fwd-restore.service).

use std::path::PathBuf;

use clap::Args;

use super::apply;
use crate::{Result, cli::session::Session, config::DIRECTORY, execute::Observer};

/// Examples below the help.
pub(super) const HELP: &str = "\
The same as `fwd apply -f /etc/fwd`; without files there, it does nothing.

Examples:
  fwd export > /etc/fwd/network.toml
  systemctl enable fwd-restore         runs `fwd restore` whenever the machine starts";

/// `fwd restore`.
#[derive(Args, Debug)]
pub(crate) struct RestoreArgs {
    /// Directory of files that end in .toml [default: /etc/fwd]
    #[arg(value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
}

/// Makes what the files of the directory say.
pub(super) fn run(session: &mut Session<'_, '_>, args: &RestoreArgs, observer: &mut dyn Observer) -> Result<()> {
    let RestoreArgs { directory } = args;
    let directory = directory.clone().unwrap_or_else(|| DIRECTORY.into());
    apply::apply(session, &[directory], false, observer)
}
