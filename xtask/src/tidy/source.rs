//! As much of Rust's syntax as the checks need: words and paths outside comments and literals.

use super::File;

/// A source file, split into tokens.
pub(crate) struct Source {
    /// From the top of the checkout.
    pub(crate) path: String,
    /// How many lines it has.
    pub(crate) lines: usize,
    /// The identifiers and punctuation outside comments and literals.
    pub(crate) tokens: Vec<Token>,
}

/// An identifier, `::`, or one other character, and the line it stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// A path such as `std::fs::read`, written out or taken from a `use` with braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) line: usize,
    pub(crate) segments: Vec<String>,
}

impl Source {
    /// Splits a file into tokens.
    pub(crate) fn parse(file: &File) -> Self {
        let code = blank(&file.text);
        let mut tokens: Vec<Token> = Vec::new();
        for (number, line) in code.lines().enumerate() {
            let mut rest = line.trim_start();
            while let Some(first) = rest.chars().next() {
                let length = match first {
                    _ if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
                    ':' if rest.starts_with("::") => 2,
                    _ => first.len_utf8(),
                };
                let (text, after) = rest.split_at(length);
                tokens.push(Token { line: number + 1, text: text.to_owned() });
                rest = after.trim_start();
            }
        }
        Self { path: file.path.clone(), lines: file.text.lines().count(), tokens }
    }

    /// Every path of the file.
    pub(crate) fn paths(&self) -> Vec<Path> {
        let mut found = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            at = self.path(at, &[], &mut found).max(at + 1);
        }
        found
    }

    /// Reads the path at `at` behind `prefix`; braces after `::` are entered. Returns where it ends.
    fn path(&self, mut at: usize, prefix: &[String], found: &mut Vec<Path>) -> usize {
        let mut segments = prefix.to_vec();
        let line = self.tokens.get(at).map_or(0, |token| token.line);
        while let Some(word) = self.text(at).filter(|text| text.starts_with(is_word)) {
            segments.push(word.to_owned());
            at += 1;
            if self.text(at) != Some("::") {
                break;
            }
            at += 1;
            if self.text(at) == Some("{") {
                return self.group(at + 1, &segments, found);
            }
        }
        if segments.len() > prefix.len() {
            found.push(Path { line, segments });
        }
        at
    }

    /// Reads the paths between braces.
    fn group(&self, mut at: usize, prefix: &[String], found: &mut Vec<Path>) -> usize {
        while let Some(text) = self.text(at) {
            at = match text {
                "}" => return at + 1,
                "," => at + 1,
                _ => self.path(at, prefix, found).max(at + 1),
            };
        }
        at
    }

    fn text(&self, at: usize) -> Option<&str> {
        self.tokens.get(at).map(|token| token.text.as_str())
    }
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// `text` with comments and the insides of string and character literals replaced by spaces; lines stay where they are.
fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = skipped(rest, out.chars().next_back());
        let (piece, after) = rest.split_at(length.unwrap_or(first.len_utf8()));
        if length.is_some() {
            out.extend(piece.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        } else {
            out.push_str(piece);
        }
        rest = after;
    }
    out
}

/// The length of the comment or literal that `rest` starts with; `before` is the character in front of it.
fn skipped(rest: &str, before: Option<char>) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment(rest));
    }
    let word_before = before.is_some_and(is_word);
    if rest.starts_with('r') && !word_before || rest.starts_with("br") && !word_before {
        let hashes = rest.trim_start_matches(['b', 'r']).chars().take_while(|c| *c == '#').count();
        let open = rest.len() - rest.trim_start_matches(['b', 'r']).len() + hashes;
        if rest[open..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            return Some(rest[open + 1..].find(&end).map_or(rest.len(), |at| open + 1 + at + end.len()));
        }
    }
    if rest.starts_with('"') {
        return Some(quoted(rest, '"'));
    }
    // 'x' and '\n' are characters, 'a without a closing quote is a lifetime.
    let mut after = rest.strip_prefix('\'')?.chars();
    match after.next()? {
        '\\' => Some(quoted(rest, '\'')),
        c if after.next() == Some('\'') => Some(2 + c.len_utf8()),
        _ => None,
    }
}

/// The length of a nested `/* … */`.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    for (at, _) in rest.char_indices() {
        if rest[at..].starts_with("/*") {
            depth += 1;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            if depth == 0 {
                return at + 2;
            }
        }
    }
    rest.len()
}

/// The length of a literal with backslash escapes between two `quote`s.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        let source = Source::parse(&File { path: "a.rs".into(), text: text.into() });
        source.paths().into_iter().map(|path| path.segments.join("::")).collect()
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        let text =
            "// aya\n/* aya /* aya */ aya */ let a = \"aya \\\" aya\"; let b = r#\"aya \" aya\"#; 'x'; '\\''; b\"aya\"";
        assert!(!blank(text).contains("aya"), "{}", blank(text));
        assert_eq!(blank(text).lines().count(), 2);
    }

    #[test]
    fn lifetimes_are_code() {
        assert_eq!(blank("fn a<'a>(b: &'a str, c: &'a str)"), "fn a<'a>(b: &'a str, c: &'a str)");
    }

    #[test]
    fn braces_of_a_use_are_written_out() {
        let found = paths("use std::{fs, io::{self, Read as _}, process::Command};");
        for expected in ["std::fs", "std::io::self", "std::io::Read", "std::process::Command"] {
            assert!(found.iter().any(|path| path == expected), "{expected} in {found:?}");
        }
    }

    #[test]
    fn paths_in_expressions_are_found() {
        assert!(paths("let a = aya::Ebpf::load(&b)?;").contains(&"aya::Ebpf::load".to_owned()));
    }
}
