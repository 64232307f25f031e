//! Source NAT by nftables: the data path `kernel`, for comparison on the same network.
//!
//! Spoken over netlink, so it needs no `nft` program. Everything is in one table, `ip fwd_nat`, with a chain `postrouting` and
//! one rule per network: `ip saddr SUBNET oifname UPLINK masquerade comment "NETWORK"`, or of what leaves by whatever the host's routes
//! lead by `ip saddr SUBNET oifname != BRIDGE oifname != lo masquerade`; and a chain `forward`, see [`isolation`]. (A table called `fwd` would be accepted
//! by the kernel, but `nft` could not name it: `fwd` is a keyword of its language.) The table comes with the first network and
//! goes with the last.
//!
//! Functions act in the network namespace of the calling thread; each change is one transaction.

mod expressions;
mod flowtable;
mod inward;
mod ipv6;
mod isolation;
mod message;
mod policy;
mod ports;
mod rule;
mod ruleset;
mod socket;
mod source;

use ipnet::Ipv4Net;

pub(super) use self::ruleset::{Chain, Expression, chains, rules_of_table};
pub use self::{
    flowtable::make_flowtable,
    inward::{INWARD_CHAINS, inward_rule},
    ipv6::{Rules6, ensure_rules6, networks_with_rules6, remove_rules6},
    isolation::{
        NetworkPair, Separation, end_conversations, ensure_isolation, ensure_pair, isolated_networks, pair_rules,
        remove_isolation, remove_pair,
    },
    policy::{
        ByteRate, PolicyDirection, PolicyRule, PolicyRules, PortGuard, PortRate, RateRule, ensure_guard,
        ensure_policy_rules, ensure_rate, guard_rules, policy_counts, policy_rules, rate_rules, remove_guard,
        remove_policy_rules, remove_rate,
    },
    ports::{PORT_NAME_MAX, PortRules, ensure_port_rules, port_rules, remove_port_rules},
    source::{SourceRules, ensure_source_rules, remove_source_rules, source_rules},
};
use self::{
    message::{Family, Message, nested, number, text},
    rule::Rule,
    socket::Socket,
};
use super::transport::Failure;
use fwd_base::{Error, Kind, Result};

/// The table of `fwd`, of family `ip`; of family `ip6` for what [`Rules6`] says.
pub const TABLE: &str = "fwd_nat";
/// Its chain.
pub const CHAIN: &str = "postrouting";

/// The interface by which the host talks to itself.
const LOOPBACK: &str = "lo";

/// Priority `srcnat` (`NF_IP_PRI_NAT_SRC`, include/uapi/linux/netfilter_ipv4.h).
const PRIORITY_SRCNAT: i32 = 100;
/// `NF_INET_POST_ROUTING` (include/uapi/linux/netfilter.h).
const HOOK_POSTROUTING: u32 = 4;
/// Longest name of a network: what `nft` shows of a comment (`NFTNL_UDATA_COMMENT_MAXLEN`) without its NUL.
pub const NAME_MAX: usize = 127;

/// By which interfaces what is translated leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// By this one.
    By(String),
    /// By any that the host's routes lead by: any but this bridge, which is the network's own, and the loopback, by which the host talks
    /// to itself from the gateway's address.
    NotBy(String),
}

impl Leaving {
    /// The condition, as nft(8) has it.
    #[must_use]
    pub fn condition(&self) -> String {
        match self {
            Self::By(uplink) => format!("oifname \"{uplink}\""),
            Self::NotBy(bridge) => format!("oifname != \"{bridge}\" oifname != \"{LOOPBACK}\""),
        }
    }

    fn interface(&self) -> &str {
        let (Self::By(interface) | Self::NotBy(interface)) = self;
        interface
    }
}

/// Source NAT of one network behind the address of the interface by which a packet leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Masquerade {
    /// Name of the network: the comment of the rule.
    pub network: String,
    /// Whose packets are translated.
    pub subnet: Ipv4Net,
    /// By which interfaces they leave.
    pub leaving: Leaving,
}

/// Makes the rule of a network what is given, and the only one of that network. False: it was already.
///
/// # Errors
/// [`Kind::Unsupported`] where the kernel has no nf_tables with masquerade, or without root.
pub fn ensure_masquerade(wanted: &Masquerade) -> Result<bool> {
    let object = format!("nftables rule of network {}", wanted.network);
    let Masquerade { network, subnet, leaving } = wanted;
    checked(network, leaving.interface(), &object)?;
    let wanted = Masquerade { network: network.clone(), subnet: subnet.trunc(), leaving: leaving.clone() };
    let change = || -> Result<bool, Failure> {
        let socket = Socket::open()?;
        let (right, wrong): (Vec<_>, Vec<_>) =
            rules_of(&socket, network)?.into_iter().partition(|rule| rule.masquerade.as_ref() == Some(&wanted));
        if right.len() == 1 && wrong.is_empty() {
            return Ok(false);
        }
        let mut batch = vec![new_table(), new_chain()];
        batch.extend(right.iter().chain(&wrong).map(Rule::deletion));
        batch.push(rule::addition(CHAIN, network, &rule::expressions(&wanted)));
        socket.commit(&batch)?;
        Ok(true)
    };
    change().map_err(|failure| unsupported(failure, "set", object))
}

/// Removes the rule of a network, with what is left of those of its published ports and endpoints, and the table if no other rule is in it.
/// False: there was none.
///
/// # Errors
/// The kernel refuses.
pub fn remove_masquerade(network: &str) -> Result<bool> {
    let is_ours = |rule: &Rule| (rule.is_in(CHAIN) && rule.is_of(network)) || rule.is_of_part_of(network);
    delete_rules(Family::V4, is_ours, format!("nftables rule of network {network}"))
}

/// A name of a network and of an interface that fit into a rule.
fn checked(network: &str, interface: &str, object: &str) -> Result<()> {
    if network.len() > NAME_MAX || interface.is_empty() || interface.len() >= libc::IFNAMSIZ {
        let why = format!("a comment holds {NAME_MAX} bytes and the name of an interface 1 to {}", libc::IFNAMSIZ - 1);
        return Err(Error::new(Kind::Usage, "set", object, why));
    }
    Ok(())
}

/// Removes rules of a family, and the table if no others are in it. False: there were none.
fn delete_rules(family: Family, is_ours: impl Fn(&Rule) -> bool, object: String) -> Result<bool> {
    let change = || -> Result<bool, Failure> {
        let socket = Socket::open()?;
        let (ours, others): (Vec<_>, Vec<_>) = rules(&socket, family)?.into_iter().partition(&is_ours);
        match (ours.is_empty(), others.is_empty()) {
            (true, _) => return Ok(false),
            (false, true) => socket.commit(&[Message::delete_table(vec![text(TABLE_NAME, TABLE)]).of(family)])?,
            (false, false) => {
                socket.commit(&ours.iter().map(|rule| rule.deletion().of(family)).collect::<Vec<_>>())?;
            }
        }
        Ok(true)
    };
    change().map_err(|failure| unsupported(failure, "remove", object))
}

/// The rules of all networks.
///
/// # Errors
/// The kernel refuses. A kernel without nf_tables has none.
pub fn masquerade_rules() -> Result<Vec<Masquerade>> {
    Ok(all_rules(Family::V4)?.into_iter().filter_map(|rule| rule.masquerade).collect())
}

/// The tables of all families, as `nft list tables` names them, sorted.
///
/// # Errors
/// The kernel refuses. A kernel without nf_tables has none.
pub fn tables() -> Result<Vec<String>> {
    let found = Socket::open().and_then(|socket| socket.list(&Message::get_tables()));
    let found = or_nothing(found).map_err(|failure| failure.doing("list", "the nftables tables"))?;
    let mut tables: Vec<_> = found
        .iter()
        .map(|table| format!("{} {}", table.family(), table.string(TABLE_NAME).unwrap_or_default()))
        .collect();
    tables.sort();
    Ok(tables)
}

// Attributes of include/uapi/linux/netfilter/nf_tables.h: NFTA_TABLE_*, NFTA_CHAIN_*, NFTA_HOOK_*.
const TABLE_NAME: u16 = 1;
const TABLE_FLAGS: u16 = 2;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;

fn new_table() -> Message {
    Message::new_table(vec![text(TABLE_NAME, TABLE), number(TABLE_FLAGS, 0)])
}

fn new_chain() -> Message {
    base_chain(CHAIN, "nat", HOOK_POSTROUTING, PRIORITY_SRCNAT)
}

/// A chain of the table at a hook, of this type, which lets pass what no rule is about.
fn base_chain(name: &str, kind: &str, hook: u32, priority: i32) -> Message {
    let hook = [number(HOOK_NUMBER, hook), number(HOOK_PRIORITY, priority.cast_unsigned())];
    Message::new_chain(vec![
        text(CHAIN_TABLE, TABLE),
        text(CHAIN_NAME, name),
        text(CHAIN_TYPE, kind),
        number(CHAIN_POLICY, 1),
        nested(CHAIN_HOOK, &hook),
    ])
}

/// Every rule of the table of a family, in whatever chain.
fn rules(socket: &Socket, family: Family) -> Result<Vec<Rule>, Failure> {
    Ok(socket.list(&Message::get_rules(vec![text(rule::TABLE, TABLE)]).of(family))?.iter().map(Rule::read).collect())
}

/// The same, none of a kernel without nf_tables.
fn all_rules(family: Family) -> Result<Vec<Rule>> {
    let found = Socket::open().and_then(|socket| rules(&socket, family));
    or_nothing(found).map_err(|failure| failure.doing("list", format!("nftables table {} {TABLE}", family.name())))
}

fn rules_of(socket: &Socket, network: &str) -> Result<Vec<Rule>, Failure> {
    Ok(rules(socket, Family::V4)?.into_iter().filter(|rule| rule.is_in(CHAIN) && rule.is_of(network)).collect())
}

/// A kernel without nf_tables answers that it does not support the request.
fn or_nothing<T>(result: Result<Vec<T>, Failure>) -> Result<Vec<T>, Failure> {
    match result {
        Err(failure) if matches!(failure.errno(), Some(libc::EOPNOTSUPP | libc::EPROTONOSUPPORT)) => Ok(Vec::new()),
        result => result,
    }
}

fn unsupported(failure: Failure, doing: &str, object: String) -> Error {
    match failure.errno() {
        // ENOENT is the answer to an expression that the kernel does not have.
        Some(libc::EOPNOTSUPP | libc::EPROTONOSUPPORT | libc::ENOENT) => {
            let why = format!("this kernel has no nf_tables with masquerade: {failure}");
            Error::new(Kind::Unsupported, doing, object, why)
                .remedy("load nf_tables and nft_masq, or use --datapath tc")
                .caused_by(failure)
        }
        _ => failure.doing(doing, object),
    }
}
