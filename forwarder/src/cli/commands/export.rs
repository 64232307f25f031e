//! `fwd export`.

use clap::Args;

use crate::{Result, cli::session::Session, config, execute};

/// Examples below the help.
pub(super) const HELP: &str = "\
What container runtimes have attached is left out: that is theirs to say.

Examples:
  fwd export > network.toml            what is up, as `fwd apply` takes it
  fwd export --json | jq .networks     the same for other programs (fwd validate --schema)
  fwd export | fwd plan -f -           nothing to do";

/// `fwd export`.
#[derive(Args, Debug)]
pub(crate) struct ExportArgs {}

/// Writes what is up as a file.
pub(super) fn run(session: &mut Session<'_, '_>, args: &ExportArgs) -> Result<()> {
    let ExportArgs {} = args;
    let up = execute::export(&session.context())?;
    let said = if session.is_json() { config::json(&up) } else { config::text(&up) };
    session.write(&said?)
}
