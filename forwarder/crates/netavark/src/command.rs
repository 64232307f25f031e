//! What is to be done, by the words of a call.

use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
};

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Complete and check a network that podman is about to note.
    Create,
    /// Attach a container to a network.
    Setup {
        /// Its namespace.
        netns: PathBuf,
    },
    /// Detach it.
    Teardown {
        /// What was its namespace.
        netns: PathBuf,
    },
    /// Tell which version of the interface is spoken.
    Info,
}

impl Command {
    /// The command that the words `args` say, of which the first is the program; none where they are of the command line.
    #[must_use]
    pub fn called(args: &[OsString]) -> Option<Self> {
        let words: Vec<&OsStr> = args.iter().skip(1).map(OsString::as_os_str).collect();
        match (words.first()?.to_str()?, words.get(1..)?) {
            ("create", []) => Some(Self::Create),
            ("info", []) => Some(Self::Info),
            ("setup", [netns]) => Some(Self::Setup { netns: netns.into() }),
            ("teardown", [netns]) => Some(Self::Teardown { netns: netns.into() }),
            _ => None,
        }
    }

    /// Whether the call comes with a document on standard input.
    #[must_use]
    pub fn reads(&self) -> bool {
        *self != Self::Info
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_word_tells_the_command() {
        let called = |words: &[&str]| Command::called(&words.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(called(&["fwd", "create"]), Some(Command::Create));
        assert_eq!(called(&["fwd", "info"]), Some(Command::Info));
        assert_eq!(called(&["fwd", "setup", "/run/netns/a"]), Some(Command::Setup { netns: "/run/netns/a".into() }));
        assert_eq!(called(&["fwd", "teardown", "/x"]), Some(Command::Teardown { netns: "/x".into() }));
        for words in
            [&["fwd"][..], &["fwd", "ls"], &["fwd", "setup"], &["fwd", "create", "x"], &["fwd", "setup", "a", "b"]]
        {
            assert_eq!(called(words), None, "{words:?}");
        }
    }
}
