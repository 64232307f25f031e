//! `fwd validate`: reads files, and touches nothing. It needs neither root nor a host.

use clap::Args;

use crate::{
    Result,
    cli::{
        args::{FilesArgs, GlobalArgs},
        io::{Io, written},
        privileges,
    },
    config,
    render::{self, Look, ValidView, View as _},
};

/// Examples below the help.
pub(super) const HELP: &str = "\
Examples:
  fwd validate -f network.toml     where something is wrong: file, line, column
  fwd validate --schema > fwd.schema.json
                                   the JSON schema of such files, for editors";

/// `fwd validate`.
#[derive(Args, Debug)]
pub(crate) struct ValidateArgs {
    #[command(flatten)]
    pub(crate) files: FilesArgs,
    /// Print the JSON schema of such files
    #[arg(long, conflicts_with = "files")]
    pub(crate) schema: bool,
}

/// Checks files.
pub(super) fn run(args: &ValidateArgs, global: &GlobalArgs, io: &mut Io<'_>) -> Result<()> {
    if args.schema {
        return written(io.out.write_all(config::schema().as_bytes()));
    }
    // It reads what its caller may read.
    privileges::give_up()?;
    let sources = config::read(&args.files.paths())?;
    let desired = config::desired(&sources)?;
    let files = sources.into_iter().map(|source| source.path.into()).collect();
    let view = ValidView { files, networks: desired.networks.len(), endpoints: desired.endpoints.len() };
    let look = Look { color: io.out_color(global.color), width: io.out_width, fwd: "fwd".into() };
    written(if global.is_json() { render::write_json(&view, io.out) } else { view.text(&look, io.out) })
}
