//! README.md: exit codes.

use super::markdown::table;
use crate::{cli::exit_codes, netns::EXIT_CODES};

/// Those of every command, and those of `fwd exec`.
pub(super) fn exit_codes_table() -> String {
    let all = exit_codes().into_iter().map(|(code, meaning)| [code.to_string(), meaning.into()]);
    let exec = EXIT_CODES.iter().map(|(code, meaning)| [code.to_string(), format!("of `fwd exec` alone: {meaning}")]);
    table(["code", "meaning"], all.chain(exec))
}
