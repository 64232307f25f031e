//! `fwd completions` and `fwd man`: both are made of the declaration of the command line. They need neither root nor a host.

use std::{fs, io, path::PathBuf};

use clap::Args;
use clap_complete::Shell;

use crate::{
    Context as _, Error, Kind, Result,
    cli::{
        declaration,
        io::{Io, written},
        privileges,
    },
    text::word,
};

/// Examples below the help.
pub(super) const COMPLETIONS_HELP: &str = "\
Examples:
  fwd completions bash > /etc/bash_completion.d/fwd
  fwd completions zsh > /usr/local/share/zsh/site-functions/_fwd
  fwd completions fish > /etc/fish/completions/fwd.fish";

/// Examples below the help.
pub(super) const MAN_HELP: &str = "\
Examples:
  fwd man /usr/local/share/man/man1
  man fwd-up";

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

/// Writes the completions for a shell.
pub(super) fn completions(args: &CompletionsArgs, io: &mut Io<'_>) -> Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut declaration(), "fwd", &mut text);
    written(io.out.write_all(&text))
}

/// Writes a manual page for `fwd` and one for each command.
pub(super) fn man(args: &ManArgs, io: &mut Io<'_>) -> Result<()> {
    let ManArgs { directory } = args;
    // The directory is of the caller's choice.
    privileges::give_up()?;
    if !directory.is_dir() {
        let shown = directory.display().to_string();
        let error = Error::new(Kind::NotFound, "write", format!("pages into {shown}"), "there is no such directory");
        return Err(error.remedy(format!("mkdir -p {}", word(&shown))));
    }
    for (name, page) in pages(&built()) {
        let path = directory.join(format!("{name}.1"));
        fs::write(&path, page.doing("make", format!("the page {name}"))?).doing("write", path.display().to_string())?;
        written(writeln!(io.out, "{}", path.display()))?;
    }
    Ok(())
}

/// The declaration in which every command knows its place and all its options, without the commands `help`.
fn built() -> clap::Command {
    let mut command = declaration().disable_help_subcommand(true);
    command.build();
    command
}

/// The pages of a command and those below it, by name, such as `fwd-ns-add`.
fn pages(command: &clap::Command) -> Vec<(String, io::Result<Vec<u8>>)> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let mut text = Vec::new();
    let page = clap_mangen::Man::new(command.clone()).render(&mut text).map(|()| text);
    std::iter::once((name, page)).chain(shown(command).flat_map(pages)).collect()
}

/// The commands below one that are for people.
fn shown(command: &clap::Command) -> impl Iterator<Item = &clap::Command> {
    command.get_subcommands().filter(|below| !below.is_hide_set())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every command with the name of its page.
    fn commands(command: &clap::Command, name: &str) -> Vec<(String, clap::Command)> {
        let below = |command: &clap::Command| commands(command, &format!("{name}-{}", command.get_name()));
        let below = shown(command).flat_map(below);
        std::iter::once((name.to_owned(), command.clone())).chain(below).collect()
    }

    #[test]
    fn every_command_has_a_page_with_every_option() {
        let declared = built();
        let pages: Vec<(String, String)> = pages(&declared)
            .into_iter()
            .map(|(name, page)| (name, String::from_utf8(page.unwrap()).unwrap().replace("\\-", "-")))
            .collect();
        let commands = commands(&declared, "fwd");
        assert_eq!(pages.len(), commands.len());
        for ((name, page), (command_name, command)) in pages.iter().zip(&commands) {
            assert_eq!(name, command_name);
            let options = command.get_arguments().filter(|argument| !argument.is_hide_set());
            for option in options.filter_map(clap::Arg::get_long) {
                assert!(page.contains(&format!("--{option}")), "{name}: no --{option} in {page}");
            }
            for below in shown(command) {
                assert!(page.contains(&format!("{name}-{}", below.get_name())), "{name}: {}", below.get_name());
            }
        }
    }

    #[test]
    fn completions_are_made_for_every_shell() {
        for shell in <clap_complete::Shell as clap::ValueEnum>::value_variants() {
            let mut text = Vec::new();
            let io = &mut Io { out: &mut text, err: &mut Vec::new(), out_width: None, err_is_terminal: false };
            completions(&CompletionsArgs { shell: *shell }, io).unwrap();
            assert!(String::from_utf8(text).unwrap().contains("datapath"), "{shell}");
        }
    }
}
