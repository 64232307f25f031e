//! What netfilter does to packets that the kernel forwards, or takes for itself: the chains of these hooks, whoever made them, with as much of
//! their rules as it takes to tell whether packets of a network get through.
//!
//! Rules that ask for more than interfaces are not evaluated, nor are chains that they lead to.

mod legacy;
mod nftables;

use std::fmt;

use fwd_base::Result;

/// A name that a rule compares an interface's with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// This name.
    Name(String),
    /// Every name that begins so (`fwd+` of iptables, `"fwd*"` of nft).
    Prefix(String),
    /// The interface of this index.
    Index(u32),
    /// Something else that is not evaluated.
    Unknown,
}

/// What a rule does with the packets that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Lets them through this chain.
    Accept,
    /// Drops or rejects them.
    Drop,
    /// Counts them, leads to other chains, or something else.
    Other,
}

/// A rule, as far as it is understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The interface by which they came.
    pub from: Option<Pattern>,
    /// The interface by which they leave.
    pub to: Option<Pattern>,
    /// It asks for more than that.
    pub more: bool,
    /// What is done.
    pub effect: Effect,
}

/// Who made a chain, and by what it is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// nftables; iptables too, where it is the one that speaks to nf_tables and the chain is one of its own.
    Nftables,
    /// The former iptables.
    Legacy,
}

/// A chain of the forward hook, or of the input hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardChain {
    /// By what it is changed.
    pub maker: Maker,
    /// `ip`, `ip6` or `inet`.
    pub family: String,
    /// Name of its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// What is left at its end is dropped.
    pub drops: bool,
    /// Its rules, in order; none if they could not be read.
    pub rules: Option<Vec<Rule>>,
}

/// An interface that packets pass.
#[derive(Clone, Copy, Debug)]
pub struct Interface<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its number.
    pub index: u32,
}

impl Pattern {
    fn matches(&self, interface: Interface<'_>) -> bool {
        match self {
            Self::Name(name) => name == interface.name,
            Self::Prefix(prefix) => interface.name.starts_with(prefix.as_str()),
            Self::Index(index) => *index == interface.index,
            Self::Unknown => false,
        }
    }
}

impl ForwardChain {
    /// Whether packets on their way from one interface to another are dropped at its end, or by a rule that is about all of them.
    ///
    /// `reply` says that a rule for a part of them is enough to let them through: that of established connections.
    #[must_use]
    pub fn drops_between(&self, from: Interface<'_>, to: Interface<'_>, reply: bool) -> bool {
        let Some(rules) = &self.rules else { return self.drops };
        for Rule { from: by, to: onto, more, effect } in rules {
            let concerns = by.as_ref().is_none_or(|pattern| pattern.matches(from))
                && onto.as_ref().is_none_or(|pattern| pattern.matches(to));
            match effect {
                Effect::Accept if concerns && (!more || reply) => return false,
                Effect::Drop if concerns && !more => return true,
                Effect::Accept | Effect::Drop | Effect::Other => {}
            }
        }
        self.drops
    }

    /// Whether iptables shows it, or ip6tables.
    fn is_of_iptables(&self) -> bool {
        matches!(self.family.as_str(), "ip" | "ip6") && self.table == "filter" && self.name == "FORWARD"
    }

    /// The command that changes it, where it is one of iptables.
    #[must_use]
    pub fn iptables(&self) -> Option<&'static str> {
        match (self.maker, self.family.as_str()) {
            (Maker::Legacy, _) => Some("iptables-legacy"),
            (Maker::Nftables, "ip6") if self.is_of_iptables() => Some("ip6tables"),
            (Maker::Nftables, _) => self.is_of_iptables().then_some("iptables"),
        }
    }
}

impl fmt::Display for ForwardChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { family, table, name, .. } = self;
        match self.iptables() {
            Some(tool) => write!(f, "the chain {name} of {tool}"),
            None => write!(f, "the nftables chain {family} {table} {name}"),
        }
    }
}

/// The chains that packets pass which the calling thread's namespace forwards; of those of the former iptables, IPv4's.
///
/// # Errors
/// The kernel refuses.
pub fn forward_chains() -> Result<Vec<ForwardChain>> {
    chains(&FORWARD)
}

/// The chains that IPv4 packets pass which are for the calling thread's namespace itself.
///
/// # Errors
/// The kernel refuses.
pub fn input_chains() -> Result<Vec<ForwardChain>> {
    chains(&INPUT)
}

/// A hook of netfilter: its number (`NF_INET_*`, include/uapi/linux/netfilter.h), and what iptables calls its chain.
struct Hook {
    number: u8,
    name: &'static str,
}

const INPUT: Hook = Hook { number: 1, name: "INPUT" };
const FORWARD: Hook = Hook { number: 2, name: "FORWARD" };

fn chains(hook: &Hook) -> Result<Vec<ForwardChain>> {
    let mut chains = nftables::chains(hook)?;
    chains.extend(legacy::chain(hook)?);
    Ok(chains)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BRIDGE: Interface<'_> = Interface { name: "fwd0", index: 7 };
    const UPLINK: Interface<'_> = Interface { name: "eth0", index: 2 };

    fn rule(from: Option<Pattern>, to: Option<Pattern>, more: bool, effect: Effect) -> Rule {
        Rule { from, to, more, effect }
    }

    fn chain(drops: bool, rules: Vec<Rule>) -> ForwardChain {
        ForwardChain {
            maker: Maker::Nftables,
            family: "ip".into(),
            table: "filter".into(),
            name: "FORWARD".into(),
            drops,
            rules: Some(rules),
        }
    }

    #[track_caller]
    fn dropped(chain: &ForwardChain) -> [bool; 2] {
        [chain.drops_between(BRIDGE, UPLINK, false), chain.drops_between(UPLINK, BRIDGE, true)]
    }

    #[test]
    fn policy_counts_where_no_rule_does() {
        assert_eq!(dropped(&chain(true, vec![])), [true, true]);
        assert_eq!(dropped(&chain(false, vec![])), [false, false]);
        let counted = rule(None, None, false, Effect::Other);
        let docker = rule(Some(Pattern::Name("docker0".into())), None, false, Effect::Accept);
        assert_eq!(dropped(&chain(true, vec![counted, docker])), [true, true]);
    }

    #[test]
    fn first_rule_that_is_about_all_decides() {
        let name = |name: &str| Some(Pattern::Name(name.into()));
        let accepts = chain(
            true,
            vec![
                rule(name("fwd0"), None, false, Effect::Accept),
                rule(None, Some(Pattern::Prefix("fw".into())), false, Effect::Accept),
            ],
        );
        assert_eq!(dropped(&accepts), [false, false]);
        let rejects = chain(
            false,
            vec![
                rule(None, None, true, Effect::Accept),
                rule(Some(Pattern::Index(7)), None, false, Effect::Accept),
                rule(None, None, false, Effect::Drop),
            ],
        );
        assert_eq!(dropped(&rejects), [false, false], "established connections are let in");
        let late = chain(
            false,
            vec![
                rule(name("fwd0"), name("eth0"), false, Effect::Drop),
                rule(name("fwd0"), None, false, Effect::Accept),
                rule(Some(Pattern::Unknown), None, false, Effect::Drop),
            ],
        );
        assert_eq!(dropped(&late), [true, false]);
        assert_eq!(dropped(&ForwardChain { rules: None, ..chain(true, vec![]) }), [true, true]);
    }
}
