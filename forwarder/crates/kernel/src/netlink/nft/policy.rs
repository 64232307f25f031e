//! Rules about whom endpoints speak with on the data path `kernel`: two chains of the same table, for what an endpoint begins and for what others
//! begin with it.
//!
//! Who began a conversation, and with whom as it is after any translation, is what conntrack knows: the source of its first packet, and the
//! source of the answers. Every packet is asked and not the first one alone, so what a changed rule forbids ends at once. The first rule that
//! applies decides. Their comment is `NETWORK ADDRESS`, the address that of the endpoint; of a conversation between two endpoints each chain
//! asks the rules of one of them.

mod guard;
mod rate;

use std::net::IpAddr;

use ipnet::IpNet;
use rtnetlink::packet_core::DefaultNla;

use super::{
    Failure, Socket, SourceRules, all_rules, base_chain, checked, delete_rules,
    expressions::{
        Direction, End, accept, answering_port, different, l4proto, of_connection, of_prefix, of_protocol, ports,
    },
    isolation::HOOK_FORWARD,
    message::Family,
    new_table,
    rule::{self, Rule, expression},
    rules, unsupported,
};
use fwd_base::Result;

pub use self::{
    guard::{PortGuard, ensure_guard, guard_rules, remove_guard},
    rate::{ByteRate, PortRate, RateRule, ensure_rate, rate_rules, remove_rate},
};

/// The chain about what an endpoint begins, and that about what others begin with it.
const CHAINS: [&str; 2] = ["rules_out", "rules_in"];
/// Before the chains of priority `filter`.
const PRIORITY: i32 = -10;
/// `IPPROTO_ICMPV6`: neighbour discovery, which conntrack does not track, is of no conversation.
const ICMPV6: u8 = 58;

/// The rules of an endpoint, of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRules {
    /// Name of the network.
    pub network: String,
    /// The endpoint's address.
    pub address: IpAddr,
    /// Groups of multicast, and broadcasts, which it may speak to whatever the rules say.
    pub groups: Vec<IpNet>,
    /// What it may begin, and what others may begin with it.
    pub directions: [PolicyDirection; 2],
}

/// Those about what is begun on one side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyDirection {
    /// In the order in which they are asked: the first that applies decides.
    pub rules: Vec<PolicyRule>,
    /// Where what no rule is about does not pass: packets that were refused so before this was written.
    pub otherwise: Option<u64>,
}

impl PolicyDirection {
    fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.otherwise.is_none()
    }
}

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyRule {
    /// Addresses of the other end, of the family of the endpoint's.
    pub other: IpNet,
    /// IP protocol; all of them if there is none.
    pub proto: Option<u8>,
    /// First and last port of whom the conversation is begun with, as it is there.
    pub ports: Option<(u16, u16)>,
    /// Whether such a conversation passes.
    pub allows: bool,
    /// Packets that it has refused before it was written.
    pub refused: u64,
}

impl PolicyRule {
    fn is_of_everybody(&self) -> bool {
        self.other.prefix_len() == 0
    }
}

impl PolicyRules {
    /// How nft(8) declares their chains.
    #[must_use]
    pub fn chains() -> [String; 2] {
        CHAINS.map(|name| format!("{name} {{ type filter hook forward priority filter - 10; }}"))
    }

    /// The rules, each with its chain, as nft(8) has them.
    #[must_use]
    pub fn rules(&self) -> Vec<(&'static str, String)> {
        let Self { network: _, address, groups, directions } = self;
        let ip = Family::of(address.is_ipv4()).name();
        let mut all = Vec::new();
        for (inward, (chain, direction)) in CHAINS.into_iter().zip(directions).enumerate() {
            if direction.is_empty() {
                continue;
            }
            let (own, other, header) = match inward {
                0 => (format!("ct original {ip} saddr {address}"), format!("ct reply {ip} saddr"), "saddr"),
                _ => (format!("ct reply {ip} saddr {address}"), format!("ct original {ip} saddr"), "daddr"),
            };
            if inward == 0 {
                all.extend(
                    groups.iter().map(|to| (chain, format!("{ip} saddr {address} {ip} daddr {} accept", written(*to)))),
                );
            }
            all.push((chain, format!("{ip} {header} {address} meta l4proto != ipv6-icmp ct state untracked drop")));
            all.push((chain, format!("{ip} {header} {address} ct state invalid drop")));
            all.push((chain, format!("{own} {other} {address} accept")));
            for rule in &direction.rules {
                let mut text = own.clone();
                if !rule.is_of_everybody() {
                    text += &format!(" {other} {}", written(rule.other));
                }
                text += &rule.proto.map(|proto| format!(" ct protocol {}", name(proto))).unwrap_or_default();
                text += &rule.ports.map(|ports| format!(" ct reply proto-src {}", range(ports))).unwrap_or_default();
                all.push((chain, text + if rule.allows { " accept" } else { " counter drop" }));
            }
            if direction.otherwise.is_some() {
                all.push((chain, format!("{own} counter drop")));
            }
        }
        all
    }

    /// The same as expressions.
    fn expressions(&self) -> Vec<(&'static str, Vec<DefaultNla>)> {
        let address: IpNet = self.address.into();
        let mut all = Vec::new();
        for (inward, (chain, direction)) in CHAINS.into_iter().zip(&self.directions).enumerate() {
            if direction.is_empty() {
                continue;
            }
            let (own, other, end) = match inward {
                0 => (Direction::Original, Direction::Reply, End::Source),
                _ => (Direction::Reply, Direction::Original, End::Destination),
            };
            let mine = || of_connection(own, End::Source, address);
            let state = |bit| [of_prefix(end, address), has_state(bit)].concat();
            let known = [l4proto(), different(&[ICMPV6])];
            let untracked = [of_prefix(end, address), known.into(), has_state(rule::UNTRACKED)].concat();
            if inward == 0 {
                let to =
                    |group: &IpNet| [of_prefix(End::Source, address), of_prefix(End::Destination, *group)].concat();
                all.extend(self.groups.iter().map(|group| (chain, [to(group), vec![accept()]].concat())));
            }
            all.push((chain, [untracked, vec![rule::drop()]].concat()));
            all.push((chain, [state(rule::INVALID), vec![rule::drop()]].concat()));
            all.push((chain, [mine(), of_connection(other, End::Source, address), vec![accept()]].concat()));
            for rule in &direction.rules {
                let mut expressions = mine();
                if !rule.is_of_everybody() {
                    expressions.extend(of_connection(other, End::Source, rule.other));
                }
                expressions.extend(rule.proto.into_iter().flat_map(of_protocol));
                expressions.extend(rule.ports.into_iter().flat_map(|(one, last)| ports(answering_port(), one, last)));
                if rule.allows {
                    expressions.push(accept());
                } else {
                    expressions.extend([rule::counted::counter(rule.refused), rule::drop()]);
                }
                all.push((chain, expressions));
            }
            if let Some(refused) = direction.otherwise {
                all.push((chain, [mine(), vec![rule::counted::counter(refused), rule::drop()]].concat()));
            }
        }
        all
    }
}

/// Makes the rules of an endpoint what is given, in place of those that it has.
///
/// # Errors
/// [`fwd_base::Kind::Unsupported`] where the kernel has no nf_tables with conntrack, or without root.
pub fn ensure_policy_rules(wanted: &PolicyRules) -> Result<()> {
    let comment = SourceRules::comment(&wanted.network, wanted.address);
    let object = format!("nftables rules about whom {} speaks with", wanted.address);
    checked(&comment, "lo", &object)?;
    let change = || -> Result<(), Failure> {
        let (socket, family) = (Socket::open()?, Family::of(wanted.address.is_ipv4()));
        let mut batch = vec![new_table()];
        batch.extend(CHAINS.map(|name| base_chain(name, "filter", HOOK_FORWARD, PRIORITY)));
        batch.extend(rules(&socket, family)?.iter().filter(|rule| is_of(rule, &comment)).map(Rule::deletion));
        let additions = wanted.expressions();
        batch.extend(additions.iter().map(|(chain, it)| rule::addition(chain, &comment, it)));
        socket.commit(&batch.into_iter().map(|message| message.of(family)).collect::<Vec<_>>())
    };
    change().map_err(|failure| unsupported(failure, "set", object))
}

/// Removes the rules of the endpoint with this address, and the table if no others are in it. False: there were none.
///
/// # Errors
/// The kernel refuses.
pub fn remove_policy_rules(network: &str, address: IpAddr) -> Result<bool> {
    let comment = SourceRules::comment(network, address);
    let object = format!("nftables rules about whom {address} speaks with");
    delete_rules(Family::of(address.is_ipv4()), |rule| is_of(rule, &comment), object)
}

/// The comments of the rules of endpoints, of IPv4 or of IPv6, one for each rule.
///
/// # Errors
/// The kernel refuses. A kernel without nf_tables has none.
pub fn policy_rules(v4: bool) -> Result<Vec<String>> {
    let found = all_rules(Family::of(v4))?.into_iter().filter(|rule| CHAINS.iter().any(|chain| rule.is_in(chain)));
    Ok(found.filter_map(|rule| rule.comment).collect())
}

/// What the rules of the endpoint with this address have refused, of what it was to begin and of what others were: packets by rules that deny, in
/// their order, and then by [`PolicyDirection::otherwise`].
///
/// # Errors
/// The kernel refuses. A kernel without nf_tables has none.
pub fn policy_counts(address: IpAddr) -> Result<[Vec<u64>; 2]> {
    let found = all_rules(Family::of(address.is_ipv4()))?;
    Ok(CHAINS.map(|chain| {
        let own = found.iter().filter(|rule| rule.is_in(chain) && rule.is_of_endpoint(address));
        own.filter_map(Rule::counted).collect()
    }))
}

fn is_of(rule: &Rule, comment: &str) -> bool {
    rule.is_of(comment) && CHAINS.iter().any(|chain| rule.is_in(chain))
}

/// A prefix as nft(8) shows it.
fn written(prefix: IpNet) -> String {
    if prefix.prefix_len() == prefix.max_prefix_len() { prefix.addr().to_string() } else { prefix.to_string() }
}

/// A protocol, likewise.
fn name(proto: u8) -> String {
    let known = [(1, "icmp"), (6, "tcp"), (17, "udp"), (ICMPV6, "ipv6-icmp"), (132, "sctp")];
    known.iter().find(|(number, _)| *number == proto).map_or_else(|| proto.to_string(), |(_, name)| (*name).to_owned())
}

/// `80`, or `80-90`.
fn range((first, last): (u16, u16)) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

/// `ct state` has this bit.
fn has_state(bit: u32) -> Vec<DefaultNla> {
    vec![
        rule::conntrack_state(),
        expression("bitwise", &rule::masked(&bit.to_ne_bytes())),
        expression("cmp", &rule::compared(rule::DIFFERENT, &[0; 4])),
    ]
}
