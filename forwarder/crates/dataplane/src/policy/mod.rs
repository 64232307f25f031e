//! Rules of endpoints about whom they speak with: how they are written, and their entries in the maps.

mod ended;
mod matching;
mod nodes;
mod records;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::{
    matching::Match,
    records::{CountedRule, Policies, Refusals},
};

/// What a rule does, and with conversations that begin on which side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// The namespace may begin them.
    AllowOut,
    /// It may not.
    DenyOut,
    /// Others may begin them with the namespace.
    AllowIn,
    /// They may not.
    DenyIn,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::AllowOut, Self::DenyOut, Self::AllowIn, Self::DenyIn];

    /// As the option is called, without its dashes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AllowOut => "allow-out",
            Self::DenyOut => "deny-out",
            Self::AllowIn => "allow-in",
            Self::DenyIn => "deny-in",
        }
    }

    /// Whether it is about what others begin.
    #[must_use]
    pub const fn is_inward(self) -> bool {
        matches!(self, Self::AllowIn | Self::DenyIn)
    }

    /// Whether it allows.
    #[must_use]
    pub const fn allows(self) -> bool {
        matches!(self, Self::AllowOut | Self::AllowIn)
    }
}

/// A rule. As text: `deny-out 0.0.0.0/0:25/tcp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rule {
    /// What it does.
    pub verb: Verb,
    /// With which conversations.
    pub what: Match,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb.name(), self.what)
    }
}

impl From<Rule> for String {
    fn from(rule: Rule) -> Self {
        rule.to_string()
    }
}

impl TryFrom<String> for Rule {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (name, what) = text.split_once(' ').ok_or("a rule is a verb and what it is about")?;
        let verb = Verb::ALL.into_iter().find(|verb| verb.name() == name);
        let verb = verb.ok_or_else(|| format!("{name:?} is none of allow-out, deny-out, allow-in, deny-in"))?;
        Ok(Self { verb, what: what.parse()? })
    }
}
