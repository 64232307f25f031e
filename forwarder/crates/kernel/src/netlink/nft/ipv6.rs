//! IPv6 of a network: masquerade behind the uplink, unless it is routed, and the guard around it. The same table in the family `ip6`, whatever forwards IPv4.
//!
//! Forwarding of IPv6 is switched on for all interfaces of a host or for none, so the guard is stricter than that of
//! [`isolation`](super::isolation): nothing of a network leaves by another interface than its uplink, nor with an address that is not
//! translated. Nor does what conntrack does not know, such as a neighbour solicitation to somebody far away: no NAT would see it.

use std::fmt;

use ipnet::Ipv6Net;
use rtnetlink::packet_core::DefaultNla;

use super::{
    CHAIN, Failure, Leaving, Separation, Socket, all_rules, checked, delete_rules,
    expressions::{has_label, is_ethernet, is_original, is_reply, set_label},
    inward, isolation,
    message::Family,
    new_chain, new_table, rule,
    rule::Rule,
    rules, unsupported,
};
use fwd_base::Result;

/// Of the source address in an IPv6 header, bytes.
const SOURCE_OFFSET: u32 = 8;
const ADDRESS_LEN: u32 = 16;

/// The label of conntrack (one of 128) by which a connection is known that leaves by an interface without a link-layer header: whoever shares
/// an Ethernet with the host could answer it otherwise.
const BY_TUNNEL: u8 = 119;

/// Masquerade, if any, and guard of one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules6 {
    /// Name of the network: the comment of the rules.
    pub network: String,
    /// Its bridge.
    pub bridge: String,
    /// Its addresses.
    pub subnet: Ipv6Net,
    /// The interface by which alone its packets leave; none where they leave by whatever the host's routes lead by, or not at all (see
    /// [`Separation::internal`]).
    pub uplink: Option<String>,
    /// Its addresses are translated to one of the uplink's.
    pub masquerade: bool,
    /// What the kernel must not forward besides.
    pub separation: Separation,
    /// No programs guard what comes in (`--datapath kernel`).
    pub unguarded: bool,
}

/// Makes the rules of a network what is given, in place of those that it has.
///
/// # Errors
/// [`fwd_base::Kind::Unsupported`] where the kernel has no nf_tables with masquerade of IPv6, or without root.
pub fn ensure_rules6(wanted: &Rules6) -> Result<()> {
    let object = format!("nftables {wanted}");
    if let Some(uplink) = wanted.uplink.as_ref().filter(|_| !wanted.separation.internal) {
        checked(&wanted.network, uplink, &object)?;
    }
    checked(&wanted.network, &wanted.bridge, &object)?;
    let change = || -> Result<(), Failure> {
        let socket = Socket::open()?;
        let mut batch = vec![new_table(), new_chain(), isolation::chain()];
        batch.extend(wanted.unguarded.then(inward::chains).into_iter().flatten());
        batch.extend(rules(&socket, Family::V6)?.iter().filter(|rule| rule.is_of(&wanted.network)).map(Rule::deletion));
        batch.extend(expressions(wanted).into_iter().map(|(chain, it)| rule::addition(chain, &wanted.network, &it)));
        socket.commit(&batch.into_iter().map(|message| message.of(Family::V6)).collect::<Vec<_>>())
    };
    change().map_err(|failure| unsupported(failure, "set", object))
}

/// Removes the rules of a network, with what is left of those of its published ports and endpoints, and the table if no others are in it. False: there were none.
///
/// # Errors
/// The kernel refuses.
pub fn remove_rules6(network: &str) -> Result<bool> {
    let is_ours = |rule: &Rule| rule.is_of(network) || rule.is_of_part_of(network);
    delete_rules(Family::V6, is_ours, format!("nftables rules for IPv6 of network {network}"))
}

/// The networks that have such rules, each as often as it has one.
///
/// # Errors
/// The kernel refuses. A kernel without nf_tables has none.
pub fn networks_with_rules6() -> Result<Vec<String>> {
    let found = all_rules(Family::V6)?.into_iter();
    Ok(found.filter(Rule::is_of_whole_network).filter_map(|rule| rule.comment).collect())
}

impl fmt::Display for Rules6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rules for IPv6 of network {}", self.network)
    }
}

impl Rules6 {
    /// How many rules there are.
    #[must_use]
    pub fn count(&self) -> usize {
        expressions(self).len()
    }

    /// What keeps answers of others from the network, which conntrack does not tell by the interface: each behind the name of its chain, as
    /// nft(8) has it.
    #[must_use]
    pub fn guard(&self) -> Vec<String> {
        let bridge = &self.bridge;
        if !self.unguarded || self.separation.internal {
            return Vec::new();
        }
        let Some(uplink) = &self.uplink else {
            return vec![
                format!(
                    "forward iifname \"{bridge}\" meta oiftype != ether ct direction original ct label set {BY_TUNNEL}"
                ),
                format!("forward oifname \"{bridge}\" meta iiftype ether ct label {BY_TUNNEL} counter drop"),
            ];
        };
        let others = format!("iifname != \"{bridge}\" iifname != \"{uplink}\"");
        vec![format!("forward oifname \"{bridge}\" {others} ct direction reply counter drop")]
    }

    /// The same as expressions.
    fn guard_expressions(&self) -> Vec<Vec<DefaultNla>> {
        let bridge = self.bridge.as_str();
        let into = named(rule::OIFNAME, rule::EQUAL, bridge);
        let drop = [rule::counted::counter(0), rule::drop()];
        if let Some(uplink) = &self.uplink {
            let others = [bridge, uplink].map(|name| named(rule::IIFNAME, rule::DIFFERENT, name)).concat();
            return vec![[&into[..], &others, &is_reply(), &drop].concat()];
        }
        let out = named(rule::IIFNAME, rule::EQUAL, bridge);
        vec![
            [&out[..], &is_ethernet(rule::OIFTYPE, false), &is_original(), &set_label(BY_TUNNEL)].concat(),
            [&into[..], &is_ethernet(rule::IIFTYPE, true), &has_label(BY_TUNNEL), &drop].concat(),
        ]
    }
}

/// Each rule with the chain that it is in.
fn expressions(wanted: &Rules6) -> Vec<(&'static str, Vec<DefaultNla>)> {
    let Rules6 { network: _, bridge, subnet, uplink, masquerade: translated, separation, unguarded } = wanted;
    let bridge = bridge.as_str();
    let separated = separation.expressions(bridge).into_iter().map(|rule| (isolation::FORWARD, rule));
    let separated = separated.chain(unguarded.then(|| inward::expressions(bridge)));
    if separation.internal {
        return separated.collect();
    }
    // `iifname BRIDGE oifname != BRIDGE`
    let leaving =
        || [named(rule::IIFNAME, rule::EQUAL, bridge), named(rule::OIFNAME, rule::DIFFERENT, bridge)].concat();
    let known = rule::NEW | rule::ESTABLISHED | rule::RELATED;
    let unknown = [
        rule::conntrack_state(),
        rule::expression("bitwise", &rule::masked(&known.to_ne_bytes())),
        rule::expression("cmp", &rule::compared(rule::EQUAL, &[0; 4])),
    ];
    let drop = || vec![rule::drop()];
    let by = uplink.clone().map_or_else(|| Leaving::NotBy(bridge.into()), Leaving::By).expressions();
    let behind = || [source(rule::EQUAL, *subnet), by, masquerade()].concat();
    let mut rules: Vec<_> = translated.then(|| (CHAIN, behind())).into_iter().collect();
    let elsewhere = uplink.as_ref().map(|uplink| named(rule::OIFNAME, rule::DIFFERENT, uplink));
    rules.extend(elsewhere.map(|elsewhere| (isolation::FORWARD, [leaving(), elsewhere, drop()].concat())));
    rules.extend([
        (isolation::FORWARD, [leaving(), source(rule::DIFFERENT, *subnet), drop()].concat()),
        (isolation::FORWARD, [leaving(), unknown.to_vec(), drop()].concat()),
    ]);
    let guard = if *unguarded { wanted.guard_expressions() } else { Vec::new() };
    rules.extend(guard.into_iter().map(|rule| (isolation::FORWARD, rule)));
    rules.extend(separated);
    rules
}

/// The name of an interface is this one, or another.
fn named(which: u32, operation: u32, name: &str) -> Vec<DefaultNla> {
    vec![rule::meta(which), rule::expression("cmp", &rule::compared(operation, &rule::padded(name)))]
}

/// `ip6 saddr SUBNET`, or `ip6 saddr != SUBNET`.
fn source(operation: u32, subnet: Ipv6Net) -> Vec<DefaultNla> {
    vec![
        rule::of_network_header(SOURCE_OFFSET, ADDRESS_LEN),
        rule::expression("bitwise", &rule::masked(&subnet.netmask().octets())),
        rule::expression("cmp", &rule::compared(operation, &subnet.network().octets())),
    ]
}

fn masquerade() -> Vec<DefaultNla> {
    vec![rule::expression("masq", &[])]
}
