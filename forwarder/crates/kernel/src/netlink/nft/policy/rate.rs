//! What endpoints may send in a second on the data path `kernel`, at their ports of the bridge, whatever the queue inside does.
//!
//! The same table in the family `bridge`, a chain `rate` before that of the [guard](super::guard): `iif PORT limit rate over N bytes/second burst
//! M bytes counter drop`. The bytes are those of IP packets, of which one that is cut later counts as one (net/netfilter/nft_limit.c). What may come at
//! once is at least what may come in a second, because the kernel adds the burst to that. The comment is `NETWORK ADDRESS`, as the guard's.

use std::net::IpAddr;

use rtnetlink::packet_core::DefaultNla;

use super::super::{
    Failure, Socket, SourceRules, all_rules, base_chain, checked, delete_rules,
    expressions::equal,
    message::Family,
    new_table,
    rule::{
        self, Rule,
        counted::{counter_of, over},
    },
    rules, unsupported,
};
use fwd_base::{Kind, Result};

const CHAIN: &str = "rate";
/// `NF_BR_PRE_ROUTING`.
const HOOK_PREROUTING: u32 = 0;
const PRIORITY: i32 = -310;

/// How much may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRate {
    /// Bytes a second, at least one.
    pub rate: u64,
    /// Bytes that may come at once, beside those of a second.
    pub burst: u32,
}

impl ByteRate {
    /// The most, bytes a second: 100 Gbit/s. The kernel multiplies rate and burst by the nanoseconds of a second, in 64 bits.
    pub const FASTEST: u64 = 12_500_000_000;

    /// What keeps to `rate` bytes a second, with `burst` bytes at once as far as the kernel lets that be.
    #[must_use]
    pub fn new(rate: u64, burst: u64) -> Self {
        Self { rate, burst: u32::try_from(burst.saturating_sub(rate)).unwrap_or(u32::MAX) }
    }
}

/// What an endpoint may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortRate {
    /// Name of the network.
    pub network: String,
    /// Name of the port, the endpoint's host-side veth.
    pub port: String,
    /// Its ifindex.
    pub index: u32,
    /// The first of the endpoint's addresses.
    pub address: IpAddr,
    /// How much.
    pub most: ByteRate,
}

/// What a rule says, and what it has dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateRule {
    /// By what it is known: `NETWORK ADDRESS`.
    pub comment: String,
    /// What may pass.
    pub most: ByteRate,
    /// Packets and bytes that did not.
    pub dropped: (u64, u64),
}

impl RateRule {
    /// The address of the endpoint.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.comment.split_once(' ')?.1.parse().ok()
    }

    fn read(rule: &Rule) -> Option<Self> {
        let (rate, burst) = rule.limited().filter(|_| rule.is_in(CHAIN))?;
        let dropped = rule.counted_bytes()?;
        Some(Self { comment: rule.comment.clone()?, most: ByteRate { rate, burst }, dropped })
    }
}

impl PortRate {
    /// How nft(8) declares the chain.
    #[must_use]
    pub fn chain() -> String {
        format!("{CHAIN} {{ type filter hook prerouting priority {PRIORITY}; }}")
    }

    /// The rule behind its chain, as nft(8) has it.
    #[must_use]
    pub fn rule(&self) -> String {
        let ByteRate { rate, burst } = self.most;
        let burst = if burst == 0 { String::new() } else { format!(" burst {burst} bytes") };
        format!("{CHAIN} iif \"{}\" limit rate over {rate} bytes/second{burst} counter drop", self.port)
    }

    fn expressions(&self, dropped: (u64, u64)) -> Vec<DefaultNla> {
        let ByteRate { rate, burst } = self.most;
        let port = [rule::meta(rule::IIF), equal(&self.index.to_ne_bytes())];
        [&port[..], &[over(rate, burst), counter_of(dropped), rule::drop()]].concat()
    }
}

/// Makes the rule of an endpoint what is given, in place of the one that it has, whose count goes on.
///
/// # Errors
/// [`Kind::Unsupported`] where the kernel has no nf_tables for bridges with limits, or without root.
pub fn ensure_rate(wanted: &PortRate) -> Result<()> {
    let comment = SourceRules::comment(&wanted.network, wanted.address);
    let object = format!("nftables limit of {}", wanted.port);
    checked(&comment, &wanted.port, &object)?;
    let change = || -> Result<(), Failure> {
        let socket = Socket::open()?;
        let found = rules(&socket, Family::Bridge)?;
        let former: Vec<&Rule> = found.iter().filter(|rule| rule.is_of(&comment) && rule.is_in(CHAIN)).collect();
        let counted = former.iter().filter_map(|rule| rule.counted_bytes());
        let dropped = counted.fold((0, 0), |(packets, bytes), (more, longer)| (packets + more, bytes + longer));
        let mut batch = vec![new_table(), base_chain(CHAIN, "filter", HOOK_PREROUTING, PRIORITY)];
        batch.extend(former.iter().map(|rule| rule.deletion()));
        batch.push(rule::addition(CHAIN, &comment, &wanted.expressions(dropped)));
        socket.commit(&batch.into_iter().map(|message| message.of(Family::Bridge)).collect::<Vec<_>>())
    };
    change().map_err(|failure| {
        let error = unsupported(failure, "set", object);
        let lacks = error.kind == Kind::Unsupported;
        if lacks {
            error.remedy("load nft_limit (it needs CONFIG_NF_TABLES_BRIDGE, too), or leave out --rate-out")
        } else {
            error
        }
    })
}

/// Removes the limit of the endpoint with this address as the first of its own, and the table if no other rules are in it. False: there was none.
///
/// # Errors
/// The kernel refuses.
pub fn remove_rate(network: &str, address: IpAddr) -> Result<bool> {
    let comment = SourceRules::comment(network, address);
    let is_ours = |rule: &Rule| rule.is_of(&comment) && rule.is_in(CHAIN);
    delete_rules(Family::Bridge, is_ours, format!("nftables limit of {address}"))
}

/// The limits of endpoints, and what they have dropped.
///
/// # Errors
/// The kernel refuses. A kernel without nf_tables has none.
pub fn rate_rules() -> Result<Vec<RateRule>> {
    Ok(all_rules(Family::Bridge)?.iter().filter_map(RateRule::read).collect())
}
