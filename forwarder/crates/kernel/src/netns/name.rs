//! Names under /run/netns.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use fwd_base::{Error, Kind};

/// Longest name in bytes: the longest file name (NAME_MAX of Linux).
const LONGEST: usize = 255;

/// A valid name of a network namespace: what may become a file directly under /run/netns.
///
/// 1–255 bytes, no `/`, no control characters, neither `.` nor `..`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// A name by the same rules for something else, such as `a network`.
    ///
    /// # Errors
    /// [`Kind::Usage`] with the value, escaped and shortened, and the rule it breaks.
    pub fn of(what: &str, text: &str) -> Result<Self, Error> {
        match broken_rule(text) {
            None => Ok(Self(text.to_owned())),
            Some(rule) => Err(Error::new(Kind::Usage, "use", format!("{} as the name of {what}", shown(text)), rule)
                .remedy(
                    "a name is a plain file name, such as `mynet`: 1 to 255 bytes without `/` and control characters",
                )),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for Name {
    type Error = Error;

    /// # Errors
    /// [`Kind::Usage`] with the value, escaped and shortened, and the rule it breaks.
    fn try_from(text: &str) -> Result<Self, Error> {
        Self::of("a namespace", text)
    }
}

impl TryFrom<String> for Name {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        Self::try_from(text.as_str())
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl FromStr for Name {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::try_from(text)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// The first rule that `text` breaks as a name.
fn broken_rule(text: &str) -> Option<String> {
    if text.is_empty() {
        Some("it is empty".into())
    } else if text.len() > LONGEST {
        Some(format!("it has {} bytes, the most is {LONGEST}", text.len()))
    } else if text == "." || text == ".." {
        Some("it means a directory".into())
    } else if text.contains('/') {
        Some("it contains a `/`".into())
    } else {
        text.chars().find(|c| c.is_control()).map(|c| format!("it contains the control character {c:?}"))
    }
}

/// `text` quoted for a message: control characters escaped, and cut where it would fill the terminal.
fn shown(text: &str) -> String {
    const SHOWN: usize = 40;
    match text.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{:?}…", &text[..cut]),
        None => format!("{text:?}"),
    }
}

/// The candidate that a mistyped `name` most likely means: at most a third of its characters differ.
#[must_use]
pub fn nearest<'a, T: AsRef<str> + Ord>(name: &str, candidates: &'a [T]) -> Option<&'a T> {
    let most = (name.chars().count() / 3).max(1);
    candidates
        .iter()
        .map(|candidate| (strsim::levenshtein(name, candidate.as_ref()), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn refuses(text: &str, rule: &str) {
        let error = Name::try_from(text).expect_err("the name is refused");
        assert_eq!(error.kind, Kind::Usage);
        assert!(error.why.contains(rule), "{error}");
        assert!(error.remedy.is_some());
        assert!(!error.to_string().contains(char::is_control), "{error}");
    }

    fn names(texts: &[&str]) -> Vec<Name> {
        texts.iter().map(|text| Name::try_from(*text).expect("a valid name")).collect()
    }

    #[test]
    fn what_is_no_plain_file_name_is_refused() {
        refuses("", "empty");
        refuses(".", "directory");
        refuses("..", "directory");
        refuses("../x", "`/`");
        refuses("a/b", "`/`");
        refuses("a\0b", "control");
        refuses("a\nb", "control");
        refuses("a\u{7f}", "control");
        refuses("\u{1b}[31mred", "control");
        refuses(&"x".repeat(300), "300 bytes");
        refuses(&"ä".repeat(128), "256 bytes");
    }

    #[test]
    fn a_long_value_is_shortened_in_the_error() {
        let error = Name::try_from("x".repeat(300).as_str()).expect_err("300 bytes are too many");
        assert!(error.to_string().len() < 160, "{error}");
    }

    #[test]
    fn ordinary_and_odd_names_are_taken() {
        for text in ["mynet", "cni-3f1a", "...", "a b", "-x", "ä", &"x".repeat(255)] {
            assert_eq!(Name::try_from(text).expect("a valid name").as_str(), text);
        }
    }

    #[test]
    fn a_typo_finds_the_name_meant() {
        let names = names(&["mynet", "host", "db"]);
        assert_eq!(nearest("mynte", &names).map(Name::as_str), None, "two of five characters differ");
        assert_eq!(nearest("mynett", &names).map(Name::as_str), Some("mynet"));
        assert_eq!(nearest("dv", &names).map(Name::as_str), Some("db"));
        assert_eq!(nearest("elsewhere", &names), None);
    }

    proptest! {
        #[test]
        fn a_name_taken_is_one_component_below_its_directory(text in any::<String>()) {
            if let Ok(name) = Name::try_from(text.as_str()) {
                let path = std::path::Path::new("/run/netns").join(name.as_str());
                prop_assert_eq!(path.parent(), Some(std::path::Path::new("/run/netns")));
                prop_assert_eq!(path.file_name(), Some(std::ffi::OsStr::new(name.as_str())));
                prop_assert!(std::ffi::CString::new(name.as_str()).is_ok());
            }
        }

        #[test]
        fn names_of_harmless_characters_are_taken(text in "[a-zA-Z0-9_-][a-zA-Z0-9._ -]{0,254}") {
            let name: Name = text.parse().expect("a valid name");
            prop_assert_eq!(name.to_string(), text);
        }
    }
}
