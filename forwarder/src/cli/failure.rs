//! What the user sees when a command fails.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::{
    args::{self, ColorArg, GlobalArgs},
    io::{Io, is_broken_pipe, written},
};
use crate::{
    Error, Kind,
    netns::OWN_FAILURE,
    render::{self, Look},
    text::{harmless, is_harmless},
};

/// Writes `error` to stderr and returns `status`; `fwd` is what commands to try start with.
pub(super) fn report(error: &Error, status: u8, fwd: String, global: &GlobalArgs, io: &mut Io<'_>) -> u8 {
    let look = Look { color: io.err_color(global.color), width: None, fwd };
    // Where not even stderr can be written to, the status has to say it.
    drop(render::write_error(error, global.is_json(), &look, io.err));
    status
}

/// Answers a command line that is no command: help and version on stdout, mistakes on stderr.
pub(super) fn misused(mut error: clap::Error, args: &[OsString], io: &mut Io<'_>) -> u8 {
    let color = args::color_asked(args).unwrap_or(ColorArg::Auto);
    // Nobody means `up -- -p 80:80`.
    if let Some(ContextValue::StyledStrs(_)) = error.get(ContextKind::Suggested)
        && error.kind() == ErrorKind::UnknownArgument
    {
        error.insert(ContextKind::Suggested, ContextValue::None);
    }
    let styled = error.render();
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let color = io.out_color(color);
        let result = if color { write!(io.out, "{}", styled.ansi()) } else { write!(io.out, "{styled}") };
        return match written(result.and_then(|()| io.out.flush())) {
            Err(error) if !is_broken_pipe(&error) => Kind::Failed.exit_code(),
            _ => 0,
        };
    }
    let color = io.err_color(color);
    // As above: the status says the same.
    drop(if args::asks_for_json(args) {
        let (message, remedy) = split(&styled.to_string());
        render::write_usage_error(&message, &remedy, io.err)
    } else if color && args.iter().all(|word| is_harmless(&word.to_string_lossy())) {
        write!(io.err, "{}", styled.ansi())
    } else {
        // A script may have got its words from elsewhere.
        styled.to_string().lines().try_for_each(|line| writeln!(io.err, "{}", harmless(line)))
    });
    match args::command_word(args) {
        // As what else keeps the command from running.
        Some("exec") => OWN_FAILURE,
        _ => Kind::Usage.exit_code(),
    }
}

/// What is wrong, on one line, and what to do about it.
fn split(text: &str) -> (String, String) {
    let mut paragraphs = text.trim_start_matches("error: ").split("\n\n");
    let message = paragraphs.next().unwrap_or_default();
    let message = message.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    let usage = paragraphs.find_map(|paragraph| paragraph.trim().strip_prefix("Usage: ")).unwrap_or("fwd");
    let is_command = |word: &&str| word.starts_with(|c: char| c.is_ascii_lowercase());
    let command = usage.split_whitespace().take_while(is_command).collect::<Vec<_>>().join(" ");
    (message, format!("{command} --help"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::split;
    use crate::cli::Cli;

    #[test]
    fn mistakes_are_one_line_and_the_remedy_is_the_help() {
        let error = Cli::try_parse_from(["fwd", "down"]).expect_err("something is missing").to_string();
        let (message, remedy) = split(&error);
        assert!(message.starts_with("the following required arguments were not provided: <NAME|--ns"), "{message}");
        assert_eq!(remedy, "fwd down --help");
    }
}
