//! Addresses behind which endpoints appear on the data path `kernel`: source NAT in the same table, before what masquerades.
//!
//! Each endpoint that has some has two rules. `postrouting` translates what it begins; `source` drops what was translated to an address that
//! is the host's no more, and whose answers would go elsewhere. Their comment is `NETWORK ADDRESS`, the address that of the endpoint.

use std::net::IpAddr;

use rtnetlink::packet_core::DefaultNla;

use super::{
    CHAIN, Failure, HOOK_POSTROUTING, Leaving, Message, PRIORITY_SRCNAT, Socket, all_rules, base_chain, checked,
    delete_rules,
    expressions::{Direction, End, is_local, of_connection, of_prefix, of_range, snat},
    message::Family,
    new_chain, new_table,
    rule::{self, Rule},
    rules, unsupported,
};
use fwd_base::Result;

/// The chain that looks at what was translated.
const SOURCE: &str = "source";
/// After the translation.
const PRIORITY: i32 = PRIORITY_SRCNAT + 10;

/// The addresses of the host behind which an endpoint appears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceRules {
    /// Name of the network.
    pub network: String,
    /// By which interfaces its packets leave.
    pub leaving: Leaving,
    /// The endpoint's address.
    pub address: IpAddr,
    /// First and last of the addresses, of the same family.
    pub source: (IpAddr, IpAddr),
}

impl SourceRules {
    /// How nft(8) declares the chain that is theirs alone.
    pub const CHAIN: &str = "source { type filter hook postrouting priority srcnat + 10; }";

    /// The comment of the rules of an endpoint with this address.
    #[must_use]
    pub fn comment(network: &str, address: IpAddr) -> String {
        format!("{network} {address}")
    }

    /// Whether a comment is that of an endpoint of this network.
    #[must_use]
    pub fn is_of(comment: &str, network: &str) -> bool {
        comment.rsplit_once(' ').is_some_and(|(name, _)| name == network)
    }

    /// The rules, each with its chain, as nft(8) has them.
    #[must_use]
    pub fn rules(&self) -> Vec<(&'static str, String)> {
        let Self { network: _, leaving, address, source: (first, last) } = self;
        let ip = Family::of(address.is_ipv4()).name();
        let (range, kept) =
            if first == last { (first.to_string(), "") } else { (format!("{first}-{last}"), " persistent") };
        vec![
            (CHAIN, format!("{ip} saddr {address} {} snat to {range}{kept}", leaving.condition())),
            (SOURCE, format!("ct original {ip} saddr {address} {ip} saddr {range} fib saddr type != local drop")),
        ]
    }

    /// The same as expressions.
    fn expressions(&self) -> [(&'static str, Vec<DefaultNla>); 2] {
        let Self { network: _, leaving, address, source: (first, last) } = self;
        let (address, first, last) = (*address, *first, *last);
        let translated = [of_prefix(End::Source, address.into()), leaving.expressions(), snat(first, last)].concat();
        let mut gone = of_connection(Direction::Original, End::Source, address.into());
        gone.extend(of_range(End::Source, first, last));
        gone.extend(is_local(End::Source, false));
        gone.push(rule::drop());
        [(CHAIN, translated), (SOURCE, gone)]
    }
}

/// Makes the rules of an endpoint what is given, in place of those that it has.
///
/// # Errors
/// [`fwd_base::Kind::Unsupported`] where the kernel has no nf_tables with NAT and fib, or without root.
pub fn ensure_source_rules(wanted: &SourceRules) -> Result<()> {
    let comment = SourceRules::comment(&wanted.network, wanted.address);
    let object = format!("nftables rules of source {}", wanted.source.0);
    checked(&comment, wanted.leaving.interface(), &object)?;
    let change = || -> Result<(), Failure> {
        let (socket, family) = (Socket::open()?, Family::of(wanted.address.is_ipv4()));
        let mut batch = vec![new_table(), new_chain(), chain()];
        let is_former = |rule: &&Rule| rule.is_of(&comment) && (rule.is_in(CHAIN) || rule.is_in(SOURCE));
        batch.extend(rules(&socket, family)?.iter().filter(is_former).map(Rule::deletion));
        // Before what translates to the address of the uplink.
        batch.extend(wanted.expressions().iter().map(|(chain, it)| rule::addition(chain, &comment, it).first()));
        socket.commit(&batch.into_iter().map(|message| message.of(family)).collect::<Vec<_>>())
    };
    change().map_err(|failure| unsupported(failure, "set", object))
}

/// Removes the rules of the endpoint with this address, and the table if no others are in it. False: there were none.
///
/// # Errors
/// The kernel refuses.
pub fn remove_source_rules(network: &str, address: IpAddr) -> Result<bool> {
    let comment = SourceRules::comment(network, address);
    let is_ours = |rule: &Rule| rule.is_of(&comment) && (rule.is_in(CHAIN) || rule.is_in(SOURCE));
    delete_rules(Family::of(address.is_ipv4()), is_ours, format!("nftables rules of endpoint {comment}"))
}

/// The comments of the rules of endpoints, of IPv4 or of IPv6, each once.
///
/// # Errors
/// The kernel refuses. A kernel without nf_tables has none.
pub fn source_rules(v4: bool) -> Result<Vec<String>> {
    let found = all_rules(Family::of(v4))?;
    let of_endpoints = found.into_iter().filter(|rule| rule.is_in(SOURCE) && rule.is_of_any_endpoint());
    Ok(of_endpoints.filter_map(|rule| rule.comment).collect())
}

fn chain() -> Message {
    base_chain(SOURCE, "filter", HOOK_POSTROUTING, PRIORITY)
}
