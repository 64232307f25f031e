//! Chains and rules of others, read.

use super::{
    CHAIN_HOOK, CHAIN_NAME, CHAIN_POLICY, CHAIN_TABLE, CHAIN_TYPE, HOOK_NUMBER, Message, Socket,
    message::{attribute, attributes, string, text},
    or_nothing,
    rule::{EXPRESSIONS, RULE_CHAIN, TABLE},
};
use fwd_base::Result;

// Attributes of include/uapi/linux/netfilter/nf_tables.h: NFTA_EXPR_*, NFTA_META_*, NFTA_CT_*, NFTA_CMP_*, NFTA_IMMEDIATE_*, NFTA_DATA_*,
// NFTA_VERDICT_*, NFTA_NAT_*; of nf_tables_compat.h NFTA_TARGET_*.
const EXPR_NAME: u16 = 1;
const EXPR_DATA: u16 = 2;
const META_KEY: u16 = 2;
const CT_KEY: u16 = 2;
const CMP_OP: u16 = 2;
const CMP_DATA: u16 = 3;
const IMMEDIATE_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const VERDICT_CHAIN: u16 = 2;
const NAT_TYPE: u16 = 1;
const TARGET_NAME: u16 = 1;
/// `NFT_NAT_DNAT`.
const DNAT: u32 = 1;
/// `NFT_CMP_EQ`.
const EQUAL: u32 = 0;
/// `NFT_CT_STATUS`.
const STATUS: u32 = 2;

/// A chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::netlink) struct Chain {
    /// The family's number, and its name as `nft` writes it.
    number: u8,
    pub(in crate::netlink) family: String,
    pub(in crate::netlink) table: String,
    pub(in crate::netlink) name: String,
    /// The hook that it stands at; none of a chain that rules lead to.
    pub(in crate::netlink) hook: Option<u32>,
    /// `filter`, `nat` or `route`.
    pub(in crate::netlink) kind: Option<String>,
    /// The verdict at its end.
    pub(in crate::netlink) policy: Option<u32>,
}

/// An expression of a rule, as far as it is understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::netlink) enum Expression {
    /// Loads this of a packet (`NFT_META_*`).
    Meta(u32),
    /// Loads what conntrack has done with the connection (`ct status`): such as that it was translated.
    Status,
    /// Goes on if what was loaded is this.
    Equals(Vec<u8>),
    /// Counts.
    Counter,
    /// Ends with this verdict.
    Verdict(u32),
    /// Goes on in another chain of the table, by this verdict.
    Leads(u32, String),
    /// Drops with an answer.
    Reject,
    /// Gives the packet another destination.
    Destination,
    /// Anything else.
    Other,
}

/// All chains.
///
/// # Errors
/// The kernel refuses. A kernel without nf_tables has none.
pub(in crate::netlink) fn chains() -> Result<Vec<Chain>> {
    let found = Socket::open().and_then(|socket| socket.list(&Message::get_chains()));
    let found = or_nothing(found).map_err(|failure| failure.doing("list", "the nftables chains"))?;
    Ok(found.iter().map(chain).collect())
}

/// The rules of the table that a chain is in: the name of the chain of each, and its expressions.
///
/// # Errors
/// The kernel refuses.
pub(in crate::netlink) fn rules_of_table(chain: &Chain) -> Result<Vec<(String, Vec<Expression>)>> {
    let query = Message::get_rules_of(chain.number, vec![text(TABLE, &chain.table)]);
    let found = Socket::open().and_then(|socket| socket.list(&query));
    let found = found.map_err(|failure| failure.doing("list", format!("the rules of {}", chain.table)))?;
    let of_table = found.iter().filter(|rule| rule.string(TABLE).as_deref() == Some(chain.table.as_str()));
    let read = |rule: &Message| {
        let list = attribute(rule.attributes(), EXPRESSIONS).unwrap_or_default();
        let expressions = attributes(&list).map(|(_, element)| expression(&element)).collect();
        (rule.string(RULE_CHAIN).unwrap_or_default(), expressions)
    };
    Ok(of_table.map(read).collect())
}

fn chain(message: &Message) -> Chain {
    let all = message.attributes();
    let hook = attribute(all, CHAIN_HOOK);
    Chain {
        number: message.family_number(),
        family: message.family(),
        table: message.string(CHAIN_TABLE).unwrap_or_default(),
        name: message.string(CHAIN_NAME).unwrap_or_default(),
        hook: hook.and_then(|hook| number(&hook, HOOK_NUMBER)),
        kind: message.string(CHAIN_TYPE),
        policy: number(all, CHAIN_POLICY),
    }
}

fn number(bytes: &[u8], kind: u16) -> Option<u32> {
    attribute(bytes, kind).and_then(|value| value.try_into().ok()).map(u32::from_be_bytes)
}

fn expression(element: &[u8]) -> Expression {
    let data = attribute(element, EXPR_DATA).unwrap_or_default();
    let inner = |kind| attribute(&data, kind).unwrap_or_default();
    let understood = match string(element, EXPR_NAME).as_deref() {
        Some("meta") => number(&data, META_KEY).map(Expression::Meta),
        Some("ct") if number(&data, CT_KEY) == Some(STATUS) => Some(Expression::Status),
        Some("cmp") if number(&data, CMP_OP) == Some(EQUAL) => {
            attribute(&inner(CMP_DATA), DATA_VALUE).map(Expression::Equals)
        }
        Some("counter") => Some(Expression::Counter),
        Some("immediate") => attribute(&inner(IMMEDIATE_DATA), DATA_VERDICT).and_then(|verdict| {
            let code = number(&verdict, VERDICT_CODE)?;
            Some(string(&verdict, VERDICT_CHAIN).map_or(Expression::Verdict(code), |to| Expression::Leads(code, to)))
        }),
        Some("reject") => Some(Expression::Reject),
        Some("nat") if number(&data, NAT_TYPE) == Some(DNAT) => Some(Expression::Destination),
        Some("redir") => Some(Expression::Destination),
        // As iptables writes them.
        Some("target") if matches!(string(&data, TARGET_NAME).as_deref(), Some("DNAT" | "REDIRECT")) => {
            Some(Expression::Destination)
        }
        _ => None,
    };
    understood.unwrap_or(Expression::Other)
}
