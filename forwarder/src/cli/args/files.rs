//! Files that say what there is to be.

use std::path::PathBuf;

use clap::Args;

use crate::{
    Result,
    cli::caller,
    config::{self, DIRECTORY, Source},
};

/// Which files.
#[derive(Args, Clone, Debug)]
pub(crate) struct FilesArgs {
    /// File (docs/config.md; .json if it is JSON), directory of files that end in .toml, or -
    /// for the standard input; several times for several, which are one whole [default: /etc/fwd]
    #[arg(short, long = "file", value_name = "PATH")]
    pub(crate) files: Vec<PathBuf>,
}

/// Which files, and what else they are about.
#[derive(Args, Clone, Debug)]
pub(crate) struct DeclaredArgs {
    #[command(flatten)]
    pub(crate) files: FilesArgs,
    /// Remove networks too that no file names, with what commands have attached to them
    #[arg(long)]
    pub(crate) prune: bool,
}

impl FilesArgs {
    /// What they say.
    ///
    /// # Errors
    /// One cannot be read, or may be none that the caller can.
    pub(crate) fn read(&self) -> Result<Vec<Source>> {
        if self.files.iter().any(|path| path.as_os_str() != "-") {
            caller::check_file("--file")?;
        }
        config::read(&self.paths())
    }

    /// Those that are named, else the usual directory.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        if self.files.is_empty() { vec![DIRECTORY.into()] } else { self.files.clone() }
    }
}
