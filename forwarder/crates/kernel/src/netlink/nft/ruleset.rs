//! Chains and rules of others, read.

use super::{
    CHAIN_HOOK, CHAIN_NAME, CHAIN_POLICY, CHAIN_TABLE, CHAIN_TYPE, HOOK_NUMBER, Message, Socket,
    message::{attribute, attributes, string, text},
    or_nothing,
    rule::{EXPRESSIONS, RULE_CHAIN, TABLE},
};
use fwd_base::Result;

// Attributes of include/uapi/linux/netfilter/nf_tables.h: NFTA_EXPR_*, NFTA_META_*, NFTA_CMP_*, NFTA_IMMEDIATE_*, NFTA_DATA_*,
// NFTA_VERDICT_*.
const EXPR_NAME: u16 = 1;
const EXPR_DATA: u16 = 2;
const META_KEY: u16 = 2;
const CMP_OP: u16 = 2;
const CMP_DATA: u16 = 3;
const IMMEDIATE_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
/// `NFT_CMP_EQ`.
const EQUAL: u32 = 0;

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
    /// Goes on if what was loaded is this.
    Equals(Vec<u8>),
    /// Counts.
    Counter,
    /// Ends with this verdict.
    Verdict(u32),
    /// Drops with an answer.
    Reject,
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

/// The rules of a chain, each as its expressions.
///
/// # Errors
/// The kernel refuses.
pub(in crate::netlink) fn rules_of_chain(chain: &Chain) -> Result<Vec<Vec<Expression>>> {
    let query = Message::get_rules_of(chain.number, vec![text(TABLE, &chain.table), text(RULE_CHAIN, &chain.name)]);
    let found = Socket::open().and_then(|socket| socket.list(&query));
    let found =
        found.map_err(|failure| failure.doing("list", format!("the rules of {} {}", chain.table, chain.name)))?;
    let of_chain = found.iter().filter(|rule| rule.string(RULE_CHAIN).as_deref() == Some(chain.name.as_str()));
    let list = |rule: &Message| attribute(rule.attributes(), EXPRESSIONS).unwrap_or_default();
    Ok(of_chain.map(|rule| attributes(&list(rule)).map(|(_, element)| expression(&element)).collect()).collect())
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
        Some("cmp") if number(&data, CMP_OP) == Some(EQUAL) => {
            attribute(&inner(CMP_DATA), DATA_VALUE).map(Expression::Equals)
        }
        Some("counter") => Some(Expression::Counter),
        Some("immediate") => attribute(&inner(IMMEDIATE_DATA), DATA_VERDICT)
            .and_then(|verdict| number(&verdict, VERDICT_CODE))
            .map(Expression::Verdict),
        Some("reject") => Some(Expression::Reject),
        _ => None,
    };
    understood.unwrap_or(Expression::Other)
}
