//! What `fwd doctor` looks at: one list of checks ([`CHECKS`]), each a row that says what it looks at, why that matters, and a function
//! that looks. What is wrong comes as a sentence with the commands that mend it, and, where these are ours, as a [`Mend`].

mod hooks;
mod interfaces;
mod kernel;
mod mend;
mod records;
mod surroundings;

use fwd_base::{Result, text::harmless};
use fwd_kernel::netlink::Netlink;
use fwd_plan::{Actual, on_host};

pub use self::{
    kernel::CAPABILITIES_NEEDED,
    mend::{Mend, mend},
};
use crate::{
    execute::{self, HostContext},
    query::{HostNetns, State},
};

/// A name that others chose, in a sentence or a command: on a terminal it does nothing, and it ends no command between backquotes.
fn shown(name: &str) -> String {
    harmless(name).replace('`', "\\u{60}")
}

/// How a check ended, or what a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It could not be told.
    Unknown,
    /// It works, but not for everything, or not for long.
    Warn,
    /// Something does not work.
    Fail,
}

impl Verdict {
    /// All, the least grave first.
    pub const ALL: [Self; 4] = [Self::Ok, Self::Unknown, Self::Warn, Self::Fail];

    /// Its name in text and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// Something that a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How grave it is.
    pub verdict: Verdict,
    /// What it is, with the commands that mend it between backquotes.
    pub what: String,
    /// How `--fix` mends it, where that touches nothing but what is ours.
    pub mend: Option<Mend>,
}

impl Finding {
    fn new(verdict: Verdict, what: impl Into<String>) -> Self {
        Self { verdict, what: what.into(), mend: None }
    }

    fn with(self, mend: Option<Mend>) -> Self {
        Self { mend, ..self }
    }

    /// The commands that mend it.
    #[must_use]
    pub fn commands(&self) -> Vec<String> {
        self.what.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }
}

/// A row of the list.
#[derive(Debug)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// What it looks at.
    pub looks_at: &'static str,
    /// Why that matters.
    pub why: &'static str,
    look: fn(&Subject<'_>) -> Result<Vec<Finding>>,
}

/// All of them, in the order in which they are shown.
pub const CHECKS: &[Check] = &[
    kernel::FEATURES_CHECK,
    kernel::CAPABILITIES,
    kernel::BTF,
    kernel::PINS,
    surroundings::FORWARDING,
    surroundings::REVERSE_PATH,
    surroundings::SOURCES,
    surroundings::FORWARD_CHAINS,
    surroundings::INPUT_CHAINS,
    surroundings::BRIDGE_NETFILTER,
    surroundings::CONNTRACK,
    surroundings::IPSEC,
    surroundings::MARKS,
    interfaces::UPLINKS,
    interfaces::MTUS,
    interfaces::OFFLOADS,
    interfaces::SUBNETS,
    interfaces::PORTS,
    hooks::OTHERS,
    records::PROGRAMS,
    records::NETWORKS,
    records::ENDPOINTS,
    records::HOSTS,
];

/// What checks look at: a host as it was read once.
pub struct Subject<'a> {
    at: &'a HostNetns,
    context: &'a HostContext,
    netlink: Netlink,
    actual: Actual,
    state: Option<State>,
}

impl<'a> Subject<'a> {
    /// Reads a host. The calling thread must be in its namespace.
    ///
    /// # Errors
    /// The maps or the kernel cannot be read.
    pub fn read(at: &'a HostNetns, context: &'a HostContext) -> Result<Self> {
        let actual = execute::recorded(context)?;
        Ok(Self { at, context, netlink: Netlink::here()?, actual, state: State::read(at)? })
    }

    /// A command line that acts on this host, between backquotes.
    fn command(&self, line: impl Into<String>) -> String {
        let line = line.into();
        format!("`{}`", self.context.host.as_deref().map_or(line.clone(), |host| on_host(line, host)))
    }
}

/// What a check found.
#[derive(Debug)]
pub struct Examined {
    /// Which check.
    pub check: &'static Check,
    /// The gravest of the findings.
    pub verdict: Verdict,
    /// What it found.
    pub findings: Vec<Finding>,
}

/// Looks at everything. What cannot be looked at is unknown.
#[must_use]
pub fn examine(subject: &Subject<'_>) -> Vec<Examined> {
    let examined = |check: &'static Check| {
        let findings =
            (check.look)(subject).unwrap_or_else(|error| vec![Finding::new(Verdict::Unknown, error.to_string())]);
        let verdict = findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok);
        Examined { check, verdict, findings }
    };
    CHECKS.iter().map(examined).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{CHECKS, Finding, Verdict, shown};

    #[test]
    fn names_of_others_become_no_command() {
        let finding = Finding::new(Verdict::Fail, format!("{} is down: `fwd gc`", shown("`reboot`\x1b[2J")));
        assert_eq!(finding.commands(), ["fwd gc"]);
        assert!(!finding.what.contains('\x1b'));
    }

    #[test]
    fn rows_are_whole_and_named_once() {
        let names: BTreeSet<&str> = CHECKS.iter().map(|check| check.name).collect();
        assert_eq!(names.len(), CHECKS.len());
        assert!(CHECKS.iter().all(|check| !check.looks_at.is_empty() && !check.why.is_empty()));
    }

    #[test]
    fn commands_are_what_stands_between_backquotes() {
        let finding = Finding::new(Verdict::Warn, "eth1 is off: `ip link set dev eth1 up`, or `fwd up --ns c1`");
        assert_eq!(finding.commands(), ["ip link set dev eth1 up", "fwd up --ns c1"]);
        assert!(Verdict::ALL.is_sorted());
    }
}
