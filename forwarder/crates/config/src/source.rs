//! A file as it was read, and where in it something is wrong.

use std::ops::Range;

use fwd_base::{Error, Kind};

/// Characters of a line that are shown before and after what is wrong.
const SHOWN: usize = 60;

/// A file as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its path, or what else stands for it.
    pub path: String,
    /// What it says.
    pub text: String,
}

/// A place in a text, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MarkedLine<'a> {
    /// From 1.
    line: usize,
    /// From 1, in characters.
    column: usize,
    /// The whole line.
    text: &'a str,
    /// How many characters of it are meant.
    width: usize,
}

impl Source {
    /// `network.toml:3:5`.
    pub(crate) fn at(&self, span: &Range<usize>) -> String {
        let MarkedLine { line, column, .. } = self.place(span);
        format!("{}:{line}:{column}", self.path)
    }

    /// What is wrong at these bytes of it.
    pub(crate) fn refuse(&self, span: &Range<usize>, why: impl Into<String>) -> Error {
        Error::new(Kind::Usage, "read", self.at(span), why).with_excerpt(self.excerpt(span))
    }

    fn place(&self, span: &Range<usize>) -> MarkedLine<'_> {
        let start = self.text.floor_char_boundary(span.start);
        let (before, rest) = self.text.split_at(start);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let end = rest.find('\n').map_or(self.text.len(), |at| start + at);
        let text = self.text.get(line_start..end).unwrap_or_default().trim_end_matches('\r');
        let meant = self.text.get(start..self.text.floor_char_boundary(span.end.clamp(start, end))).unwrap_or_default();
        MarkedLine {
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            text,
            width: meant.chars().count().max(1),
        }
    }

    /// The line, and marks below what is meant; of a very long line a part.
    fn excerpt(&self, span: &Range<usize>) -> Vec<String> {
        let MarkedLine { line, column, text, width } = self.place(span);
        let from = column.saturating_sub(SHOWN);
        let shown: String = text.chars().skip(from).take(2 * SHOWN).map(|c| if c == '\t' { ' ' } else { c }).collect();
        let marks = "^".repeat(width.min(SHOWN));
        let (number, before) = (line.to_string(), " ".repeat(column - 1 - from));
        let blank = " ".repeat(number.len());
        vec![format!("{number} | {shown}"), format!("{blank} | {before}{marks}")]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Source;

    fn source(text: &str) -> Source {
        Source { path: "a.toml".into(), text: text.into() }
    }

    #[test]
    fn place_is_told_by_line_and_column_and_marked() {
        let file = source("[networks.wéb]\nmtu = \"x\"\r\n");
        let value = 22..25;
        assert_eq!(file.at(&value), "a.toml:2:7");
        assert_eq!(file.excerpt(&value), ["2 | mtu = \"x\"", "  |       ^^^"]);
        assert_eq!(file.at(&(0..1)), "a.toml:1:1");
        assert_eq!(file.at(&(999..1000)), "a.toml:3:1");
    }

    proptest! {
        #[test]
        fn any_place_in_any_text_can_be_shown(text in "(\\PC|\n|\t){0,300}", from in 0..1200usize, length in 0..400usize) {
            let file = source(&text);
            let shown = file.refuse(&(from..from + length), "it is wrong");
            prop_assert!(shown.excerpt()[1].contains('^'));
            prop_assert!(shown.excerpt().iter().all(|line| line.chars().count() <= 3 * super::SHOWN));
        }
    }
}
