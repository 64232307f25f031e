//! What is made of the command line's own declaration: completions and manual pages.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

/// `fwd completions`.
#[derive(Args, Debug)]
pub(crate) struct CompletionsArgs {
    /// The shell that is to read them
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}

/// `fwd man`.
#[derive(Args, Debug)]
pub(crate) struct ManArgs {
    /// Existing directory to write the pages into, such as /usr/local/share/man/man1
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
}
