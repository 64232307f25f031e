//! What the words of a command line say that does not parse.

use std::ffi::OsString;

use clap::ValueEnum as _;

use super::ColorArg;

/// Whether the words of a command line ask for JSON; for errors in a command line that does not parse.
pub(crate) fn asks_for_json(args: &[OsString]) -> bool {
    values(args, &["--output", "-o"]).any(|value| value == "json") || options(args).any(|word| word == "--json")
}

/// What the words of a command line that does not parse say about colour.
pub(crate) fn color_asked(args: &[OsString]) -> Option<ColorArg> {
    values(args, &["--color"]).last().and_then(|value| ColorArg::from_str(value, false).ok())
}

/// The command of a line that does not parse.
pub(crate) fn command_word(args: &[OsString]) -> Option<&str> {
    let mut words = options(args).skip(1);
    while let Some(word) = words.next() {
        match word {
            "--host-netns" | "--run-dir" | "--output" | "-o" | "--color" => drop(words.next()),
            option if option.starts_with('-') => {}
            command => return Some(command),
        }
    }
    None
}

/// The words before `--`.
fn options(args: &[OsString]) -> impl Iterator<Item = &str> {
    args.iter().map_while(|word| word.to_str().filter(|word| *word != "--"))
}

/// The values given to an option: after it, after `=`, or for a short one right behind it.
fn values<'a>(args: &'a [OsString], names: &'a [&str]) -> impl Iterator<Item = &'a str> {
    let attached = move |word: &'a str| {
        let rest = names.iter().find_map(|name| word.strip_prefix(name).map(|rest| (name, rest)));
        rest.and_then(|(name, rest)| if name.starts_with("--") { rest.strip_prefix('=') } else { Some(rest) })
    };
    let pairs = options(args).zip(options(args).skip(1));
    let separate = pairs.filter(|(name, _)| names.contains(name)).map(|(_, value)| value);
    separate.chain(options(args).filter_map(attached))
}
