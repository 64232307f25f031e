//! Names by which hosts are asked for: labels of letters, digits, hyphens and underscores with dots between them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Bytes of a label at most (RFC 1035 section 2.3.4).
const LABEL_MAX: usize = 63;
/// Bytes of a name at most as text, so that another label has room behind it (RFC 1035 section 2.3.4 has 255 for the whole).
const NAME_MAX: usize = 180;

/// A name that resolvers ask for, in lower case: what differs in nothing else is the same name (RFC 4343).
///
/// Wider than RFC 1123 by the underscore, which container runtimes use in names and all resolvers pass on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostName(String);

impl HostName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is no name of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoHostName(&'static str);

impl fmt::Display for NoHostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for NoHostName {}

impl FromStr for HostName {
    type Err = NoHostName;

    fn from_str(text: &str) -> Result<Self, NoHostName> {
        let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let check = |label: &str| {
            if label.is_empty() {
                return Err(NoHostName("something stands before, behind and between its dots"));
            }
            if label.len() > LABEL_MAX {
                return Err(NoHostName("there are at most 63 bytes between its dots"));
            }
            if label.starts_with('-') || label.ends_with('-') || !label.bytes().all(is_inner) {
                return Err(NoHostName("it is made of letters, digits, _ and, between them, -"));
            }
            Ok(())
        };
        if text.len() > NAME_MAX {
            return Err(NoHostName("it has at most 180 bytes"));
        }
        text.split('.').try_for_each(check)?;
        // What is all digits and dots would be taken for an address.
        if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return Err(NoHostName("it has something besides digits and dots"));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl TryFrom<String> for HostName {
    type Error = NoHostName;

    fn try_from(text: String) -> Result<Self, NoHostName> {
        text.parse()
    }
}

impl From<HostName> for String {
    fn from(name: HostName) -> Self {
        name.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_what_cannot_be_asked_for() {
        for name in ["web", "web-1", "Web_1", "a.b", "1a", "_dmarc", &"x".repeat(63)] {
            assert_eq!(name.parse::<HostName>().map(String::from), Ok(name.to_ascii_lowercase()));
        }
        let long = [&"x".repeat(60); 4].map(String::as_str).join(".");
        for name in
            ["", ".", "a.", ".a", "a..b", "-a", "a-", "a b", "ä", "a\n", "a/b", "10.0.0.1", "7", &"x".repeat(64), &long]
        {
            assert!(name.parse::<HostName>().is_err(), "{name:?}");
        }
    }
}
