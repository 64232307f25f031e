//! What strangers do not know: the token of a server, and the key of one load.
//!
//! Both cross the network as they are: they keep out who cannot read the traffic, and no one else.

use std::fmt;

use rustix::rand::{GetRandomFlags, getrandom};
use serde::{Deserialize, Serialize};

use fwd_base::{Error, Kind, Result};

/// 32 letters and digits, none of which looks like another one.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// Letters of a token, 5 bits each: as many as nobody tries.
const LETTERS: usize = 16;
/// Letters of a token that are written together.
const GROUP: usize = 4;

/// Shows a server that its user has sent the client.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A new one, such as `k7qf-2m3x-9dwa-p5bt`.
    ///
    /// # Errors
    /// The kernel has no random numbers.
    pub(super) fn random() -> Result<Self> {
        let mut text = String::new();
        for (place, byte) in random::<LETTERS>()?.into_iter().enumerate() {
            if place > 0 && place % GROUP == 0 {
                text.push('-');
            }
            text.push(char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]));
        }
        Ok(Self(text))
    }

    /// Whether `said` is this token. How long that takes does not tell how much of it is right.
    pub(super) fn is(&self, said: &str) -> bool {
        same(self.0.as_bytes(), said.as_bytes())
    }
}

/// For its user, who passes it on.
impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Not for logs.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// Bytes of a [`Key`].
pub(super) const KEY: usize = 16;

/// Begins each connection of one load, so that it is told from what others send to the same port.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Key(pub(super) [u8; KEY]);

impl Key {
    /// A new one.
    ///
    /// # Errors
    /// The kernel has no random numbers.
    pub(super) fn random() -> Result<Self> {
        random().map(Self)
    }

    /// Whether `said` is this key and nothing else.
    pub(super) fn is(&self, said: &[u8]) -> bool {
        same(&self.0, said)
    }
}

/// Hexadecimal digits.
impl From<Key> for String {
    fn from(Key(bytes): Key) -> Self {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl TryFrom<String> for Key {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        let wrong = || format!("a key has {} hexadecimal digits", 2 * KEY);
        let number = (text.len() == 2 * KEY).then(|| u128::from_str_radix(&text, 16).ok()).flatten();
        number.map(|number| Self(number.to_be_bytes())).ok_or_else(wrong)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let failed = |why: String| Error::new(Kind::Failed, "choose", "a token", why);
    match getrandom(&mut bytes, GetRandomFlags::empty()) {
        Ok(length) if length == N => Ok(bytes),
        Ok(length) => Err(failed(format!("the kernel gave {length} of {N} random bytes"))),
        Err(error) => Err(failed(error.to_string())),
    }
}

fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |apart, (one, other)| apart | (one ^ other)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_out_easily_and_never_the_same() {
        let [one, other] = [Token::random(), Token::random()].map(|token| token.expect("random numbers"));
        let text = one.to_string();
        assert_eq!(text.split('-').map(str::len).collect::<Vec<_>>(), [4, 4, 4, 4], "{text}");
        assert!(text.bytes().all(|byte| byte == b'-' || ALPHABET.contains(&byte)), "{text}");
        assert!(one.is(&text) && !other.is(&text) && !one.is("") && !one.is(&text[1..]), "{text} {other}");
        assert_eq!(format!("{one:?}"), "Token");
    }

    #[test]
    fn a_key_survives_json_and_nothing_else_is_one() {
        let key = Key::random().expect("random numbers");
        let json = serde_json::to_string(&key).expect("JSON");
        let back: Key = serde_json::from_str(&json).expect("a key");
        assert!(key.is(&back.0) && !key.is(&back.0[1..]) && !key.is(&[0; KEY]), "{json}");
        assert_eq!(String::from(Key([0xab; KEY])), "ab".repeat(KEY));
        for nonsense in ["", "ab", &"x".repeat(2 * KEY), &"é".repeat(KEY)] {
            assert!(Key::try_from(nonsense.to_owned()).is_err(), "{nonsense}");
        }
    }
}
