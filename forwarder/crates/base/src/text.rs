//! Text that others chose, made harmless for a terminal, and words quoted for a shell.
//!
//! Whoever is inside a namespace names its interfaces and processes. Such a text is shown with everything escaped that would not
//! take a place of its own on the screen: control characters, and what reverses, joins or hides others. JSON has it as it is.

mod number;

use std::{borrow::Cow, fmt};

use serde::Serialize;
use unicode_width::UnicodeWidthChar as _;

pub use self::number::{decimal, ports};

/// A text from outside: the name or alias of an interface, a process's name, a namespace's name, a path.
///
/// Displayed harmless, serialised as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Untrusted(String);

impl Untrusted {
    /// The text as it is: to compare it, not to show it.
    #[must_use]
    pub fn exact(&self) -> &str {
        &self.0
    }
}

impl<T: Into<String>> From<T> for Untrusted {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&harmless(&self.0))
    }
}

/// `text` on one line, with `\u{1b}` for what a terminal would act upon or not show.
#[must_use]
pub fn harmless(text: &str) -> Cow<'_, str> {
    if is_harmless(text) {
        return text.into();
    }
    let escaped = |c: char| match c {
        c if is_harmful(c) => c.escape_default().to_string(),
        c => c.into(),
    };
    text.chars().map(escaped).collect::<String>().into()
}

/// Whether [`harmless`] leaves `text` as it is.
#[must_use]
pub fn is_harmless(text: &str) -> bool {
    !text.chars().any(is_harmful)
}

/// Whether a character does something else than to fill columns of its own.
fn is_harmful(c: char) -> bool {
    // Separators of lines and paragraphs, for which some terminals begin a line.
    c.width().unwrap_or(0) == 0 || matches!(c, '\u{2028}' | '\u{2029}')
}

/// `text` as one word of a shell, to be pasted: what is harmful to see is written in its escapes (`$'…'`, POSIX.1-2024).
#[must_use]
pub fn word(text: &str) -> String {
    if !is_harmless(text) {
        return format!("$'{}'", text.chars().map(escaped).collect::<String>());
    }
    // Only NUL is refused, which is a control character.
    shlex::try_quote(text).unwrap_or(Cow::Borrowed(text)).into_owned()
}

/// An option and its value as words of a shell: `--ns mynet`, or `--ns=-x` for what would be read as an option itself.
#[must_use]
pub fn option(name: &str, value: &str) -> String {
    let between = if value.starts_with('-') { '=' } else { ' ' };
    format!("{name}{between}{}", word(value))
}

/// A character between `$'` and `'`.
fn escaped(c: char) -> String {
    match c {
        '\'' | '\\' => format!("\\{c}"),
        c if is_harmful(c) => {
            let mut bytes = [0; 4];
            // Octal has a fixed length: a digit that follows is no part of it.
            c.encode_utf8(&mut bytes).bytes().map(|byte| format!("\\{byte:03o}")).collect()
        }
        c => c.into(),
    }
}

/// A hardware address as `ip link` writes it: `02:66:0a:4d:00:01`.
#[must_use]
pub fn mac(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::{Untrusted, harmless, option, word};

    #[test]
    fn what_moves_hides_or_joins_others_is_escaped() {
        for (text, shown) in [
            ("eth0", "eth0"),
            ("münchen-東京 🐧", "münchen-東京 🐧"),
            ("\x1b[31mred", r"\u{1b}[31mred"),
            ("\u{9b}31m", r"\u{9b}31m"),
            ("a\nb\tc\rd", r"a\nb\tc\rd"),
            ("a\u{202e}b\u{200f}c\u{2066}", r"a\u{202e}b\u{200f}c\u{2066}"),
            ("e\u{301}\u{302}", r"e\u{301}\u{302}"),
            ("a\u{200b}b\u{feff}\u{2028}c", r"a\u{200b}b\u{feff}\u{2028}c"),
            ("\u{e0041}\u{7f}\0", r"\u{e0041}\u{7f}\u{0}"),
        ] {
            assert_eq!(harmless(text), shown);
            let untrusted = Untrusted::from(text);
            assert_eq!(untrusted.to_string(), shown);
            assert_eq!(serde_json::to_value(&untrusted).expect("text"), text, "JSON has it as it is");
        }
    }

    #[test]
    fn shown_text_keeps_its_width() {
        assert_eq!(format!("[{:8}]", Untrusted::from("a\nb")), r"[a\nb    ]");
    }

    #[test]
    fn words_that_need_no_quotes_have_none() {
        for plain in ["mynet", "10.77.0.0/16", "/run/netns/a-b_c.d", "--ns"] {
            assert_eq!(word(plain), plain);
        }
        assert_eq!(word("a b"), "'a b'");
        assert_eq!(word(""), "''");
        assert_eq!(word("a$(id)"), "'a$(id)'");
        assert_eq!(word("it's\x1b7"), r"$'it\'s\0337'");
    }

    #[test]
    fn values_are_no_options() {
        assert_eq!(option("--ns", "my net"), "--ns 'my net'");
        assert_eq!(option("--ns", "-x"), "--ns=-x");
    }

    #[track_caller]
    fn survives(text: &str) {
        let quoted = word(text);
        assert_eq!(harmless(&quoted), quoted, "it can be seen whole");
        let output = Command::new("bash").args(["-c", &format!("printf %s {quoted}")]).output().expect("bash runs");
        assert_eq!(String::from_utf8_lossy(&output.stdout), text, "{quoted}");
    }

    #[test]
    fn words_survive_a_shell() {
        for text in ["a b", "it's", "$(id)", "`id`", "!x", "~", "*", "a\nb", "\x1b]0;x\x07", "\u{202e}1", "e\u{301}'\\"]
        {
            survives(text);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn any_word_survives_a_shell(text in "[^\0]{1,12}") {
            survives(&text);
        }

        #[test]
        fn nothing_harmful_is_left(text in any::<String>()) {
            let shown = harmless(&text).into_owned();
            prop_assert_eq!(harmless(&shown), shown.as_str());
            prop_assert!(!shown.contains(char::is_control));
        }
    }
}
