//! What netfilter does to packets that the kernel forwards, or takes for itself: the chains of these hooks, whoever made them, with as much of
//! their rules as it takes to tell whether packets of a network get through.
//!
//! Rules that ask for more than interfaces are not evaluated. Chains that rules lead to are, but of the former iptables.

mod legacy;
mod nftables;

use std::{collections::BTreeMap, fmt};

use super::nft;
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Lets them through this chain.
    Accept,
    /// Drops or rejects them.
    Drop,
    /// Goes on in the chain of this name, and behind the rule with what comes to its end.
    Jump(String),
    /// The same, but what comes to that one's end has come to the end of this one, too.
    Goto(String),
    /// Ends this chain.
    Return,
    /// Counts them, or something else.
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
    /// Among that for what conntrack has done with the connection (`ct status`), such as that it was translated.
    pub status: bool,
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
    /// Those of the other chains of its table, to which its own may lead.
    pub others: BTreeMap<String, Vec<Rule>>,
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

impl Rule {
    fn concerns(&self, way: &Between<'_>) -> bool {
        let is = |pattern: &Option<Pattern>, interface| pattern.as_ref().is_none_or(|it| it.matches(interface));
        is(&self.from, way.from) && is(&self.to, way.to)
    }
}

/// Which packets are asked about. Of some it is enough if a rule lets a part of them through, whatever part that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packets {
    /// All.
    All,
    /// Those of established connections: any rule.
    Replies,
    /// Those that begin a connection to a published port, and are translated: rules about translated connections, or about an interface by which
    /// packets leave.
    ToPorts,
}

/// Packets from one interface to another.
struct Between<'a> {
    from: Interface<'a>,
    to: Interface<'a>,
    packets: Packets,
}

/// No chain leads deeper (`NFT_JUMP_STACK_SIZE`).
const DEEPEST: usize = 16;

impl ForwardChain {
    /// Whether packets on their way from one interface to another are dropped at its end, or by a rule that is about all of them.
    #[must_use]
    pub fn drops_between(&self, from: Interface<'_>, to: Interface<'_>, packets: Packets) -> bool {
        let Some(rules) = &self.rules else { return self.drops };
        self.dropped_by(rules, &Between { from, to, packets }, 0, &mut BTreeMap::new()).unwrap_or(self.drops)
    }

    /// Whether these rules drop what goes this way; none if they leave it to what comes behind them. `known` is what other chains do: where many
    /// rules lead to the same ones there are far more ways through them than chains.
    fn dropped_by<'a>(
        &'a self,
        rules: &'a [Rule],
        way: &Between<'_>,
        depth: usize,
        known: &mut BTreeMap<&'a str, Option<bool>>,
    ) -> Option<bool> {
        for rule in rules.iter().filter(|rule| rule.concerns(way)) {
            let all = !rule.more;
            let some = match way.packets {
                Packets::All => all,
                Packets::Replies => true,
                Packets::ToPorts => all || rule.status || rule.to.is_some(),
            };
            match &rule.effect {
                Effect::Accept if some => return Some(false),
                Effect::Drop if all => return Some(true),
                Effect::Return if all => return None,
                Effect::Jump(chain) | Effect::Goto(chain) if some && depth < DEEPEST => {
                    let rules = self.others.get(chain).map_or(&[][..], Vec::as_slice);
                    let dropped = match known.get(chain.as_str()) {
                        Some(dropped) => *dropped,
                        None => self.dropped_by(rules, way, depth + 1, known),
                    };
                    known.insert(chain, dropped);
                    match dropped {
                        // What the rule is not about goes on behind it.
                        Some(dropped) if all || !dropped => return Some(dropped),
                        None if all && matches!(rule.effect, Effect::Goto(_)) => return None,
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        None
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

/// Tables of nftables and iptables that give packets another destination as they come in, such as a published port's, by family and name: but
/// for the one that is ours. Those of the former iptables are not read.
///
/// # Errors
/// The kernel refuses.
pub fn redirecting_tables() -> Result<Vec<String>> {
    nftables::redirecting(nft::TABLE)
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
        Rule { from, to, more, status: false, effect }
    }

    fn chain(drops: bool, rules: Vec<Rule>) -> ForwardChain {
        ForwardChain {
            maker: Maker::Nftables,
            family: "ip".into(),
            table: "filter".into(),
            name: "FORWARD".into(),
            drops,
            rules: Some(rules),
            others: BTreeMap::new(),
        }
    }

    #[track_caller]
    fn dropped(chain: &ForwardChain) -> [bool; 2] {
        [chain.drops_between(BRIDGE, UPLINK, Packets::All), chain.drops_between(UPLINK, BRIDGE, Packets::Replies)]
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
    #[test]
    fn ports_are_reached_by_rules_for_what_is_translated_or_for_the_network() {
        let closed = |rule: Rule| chain(true, vec![rule]).drops_between(UPLINK, BRIDGE, Packets::ToPorts);
        let some = rule(None, None, true, Effect::Accept);
        assert!(closed(some.clone()), "of established connections");
        assert!(!closed(Rule { status: true, ..some.clone() }));
        assert!(!closed(Rule { to: Some(Pattern::Name("fwd0".into())), ..some.clone() }));
        assert!(closed(Rule { to: Some(Pattern::Name("eth7".into())), ..some.clone() }));
        assert!(!closed(Rule { more: false, ..some }));
    }

    /// As firewalld has it (a zone for each interface, and a rejection behind them), and ufw (a policy, and a chain for the rules of users).
    #[test]
    fn chains_that_rules_lead_to_are_followed() {
        let name = |name: &str| Some(Pattern::Name(name.into()));
        let to = |by: Option<Pattern>, effect: fn(String) -> Effect, chain: &str| {
            rule(by, None, false, effect(chain.to_owned()))
        };
        let all = |effect| rule(None, None, false, effect);
        let established = rule(None, None, true, Effect::Accept);
        let firewalld = |zones: Vec<Rule>| ForwardChain {
            others: BTreeMap::from([
                ("zones".to_owned(), zones),
                ("trusted".to_owned(), vec![to(None, Effect::Jump, "pre"), all(Effect::Accept)]),
                ("pre".to_owned(), vec![all(Effect::Return), all(Effect::Drop)]),
                ("public".to_owned(), vec![rule(name("eth7"), None, false, Effect::Accept)]),
            ]),
            ..chain(false, vec![established.clone(), to(None, Effect::Jump, "zones"), all(Effect::Drop)])
        };
        let public = to(None, Effect::Goto, "public");
        assert_eq!(dropped(&firewalld(vec![public.clone()])), [true, false]);
        assert_eq!(dropped(&firewalld(vec![to(name("fwd0"), Effect::Goto, "trusted"), public.clone()])), [false; 2]);
        assert_eq!(dropped(&firewalld(vec![to(name("lan0"), Effect::Goto, "trusted"), public])), [true, false]);
        let ufw = |rules: Vec<Rule>| ForwardChain {
            others: BTreeMap::from([("before".to_owned(), vec![established.clone()]), ("user".to_owned(), rules)]),
            ..chain(true, vec![to(None, Effect::Jump, "before"), to(None, Effect::Jump, "user")])
        };
        assert_eq!(dropped(&ufw(vec![])), [true, false]);
        assert_eq!(dropped(&ufw(vec![rule(name("fwd0"), None, false, Effect::Accept)])), [false, false]);
        assert_eq!(dropped(&ufw(vec![rule(name("fwd0"), None, true, Effect::Accept)])), [true, false], "for a part");
        // A jump for a part of the packets drops no others, and a chain that leads to itself ends.
        let some = |chain: &str| rule(None, None, true, Effect::Jump(chain.to_owned()));
        let drops = |rules| ForwardChain {
            others: BTreeMap::from([("drop".to_owned(), vec![all(Effect::Drop)])]),
            ..chain(false, rules)
        };
        assert_eq!(dropped(&drops(vec![some("drop")])), [false, false]);
        assert_eq!(dropped(&drops(vec![to(None, Effect::Jump, "drop")])), [true, true]);
        // 2⁴⁷ ways lead through these.
        let jumps = |level: usize| vec![to(None, Effect::Jump, &format!("level{}", level + 1)); 4];
        let broad = (1..DEEPEST).map(|level| (format!("level{level}"), [jumps(level), jumps(level)].concat()));
        let broad = ForwardChain { others: broad.collect(), ..chain(true, jumps(0)) };
        assert_eq!(dropped(&broad), [true, true]);
        let endless = BTreeMap::from([("on".to_owned(), vec![to(None, Effect::Jump, "on")])]);
        let endless = ForwardChain { others: endless, ..chain(true, vec![to(None, Effect::Jump, "on")]) };
        assert_eq!(dropped(&endless), [true, true]);
    }
}
