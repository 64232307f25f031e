//! Colours, where a terminal shows them and nobody asked for none (<https://no-color.org>).

use std::io::{IsTerminal as _, stderr, stdout};

/// Paints for one output stream.
#[derive(Clone, Copy)]
pub(crate) struct Style {
    /// The stream is a terminal: progress may be redrawn in place.
    pub(crate) terminal: bool,
    colour: bool,
}

/// The style of standard output.
pub(crate) fn out() -> Style {
    Style::new(stdout().is_terminal())
}

/// The style of standard error.
pub(crate) fn err() -> Style {
    Style::new(stderr().is_terminal())
}

impl Style {
    fn new(terminal: bool) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { terminal, colour: terminal && !refused }
    }

    /// Whether children whose output is passed on to this stream should colour it.
    pub(crate) fn colour(self) -> bool {
        self.colour
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// `text` without its escape sequences for colours.
pub(crate) fn plain(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(part.split_once('m').map_or("", |(_, rest)| rest));
    }
    plain
}

#[cfg(test)]
mod tests {
    #[test]
    fn plain_text_has_no_colours() {
        assert_eq!(super::plain("test a ... \x1b[32mok\x1b(B\x1b[m"), "test a ... ok\x1b(B");
        assert_eq!(super::plain("nothing"), "nothing");
    }
}
