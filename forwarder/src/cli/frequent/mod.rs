//! From words to a command, of which some are called again and again.
//!
//! To declare the options of all commands takes clap as long as a fifth of what a further `up` takes, and memory that is touched for the first
//! time. So what scripts and machines call again and again is declared by itself; whatever does not parse so, the whole declaration judges,
//! from which help and errors come.

use std::ffi::OsString;

use clap::{Parser, Subcommand};

use super::{
    Cli,
    args::{self, GlobalArgs},
    commands::{Command, DownArgs, PoolArgs, UpArgs},
};

/// The command line of a frequent command. What else there is, options of `fwd` itself among it, is declared once, in [`Cli`].
#[derive(Debug, Parser)]
#[command(name = "fwd")]
struct Frequent {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    command: FrequentCommand,
}

/// Commands that are called again and again.
#[derive(Debug, Subcommand)]
enum FrequentCommand {
    Up(Box<UpArgs>),
    Down(DownArgs),
    Pool(Box<PoolArgs>),
}

impl From<Frequent> for Cli {
    fn from(Frequent { global, command }: Frequent) -> Self {
        let command = match command {
            FrequentCommand::Up(args) => Command::Up(args),
            FrequentCommand::Down(args) => Command::Down(args),
            FrequentCommand::Pool(args) => Command::Pool(args),
        };
        Self { global, command }
    }
}

/// The command that the words say, of which the first is the program.
///
/// # Errors
/// They are none, or ask for help.
pub(super) fn parse(args: &[OsString]) -> Result<Cli, clap::Error> {
    match frequent(args) {
        Some(cli) => Ok(cli),
        None => Cli::try_parse_from(args),
    }
}

/// A frequent command; none if it is no such, or its words have to be judged.
fn frequent(args: &[OsString]) -> Option<Cli> {
    let is_one = args::command_word(args).is_some_and(FrequentCommand::has_subcommand);
    if is_one { Frequent::try_parse_from(args).ok().map(Cli::from) } else { None }
}

#[cfg(test)]
mod tests;
