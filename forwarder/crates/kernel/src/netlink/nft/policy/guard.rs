//! The guard of endpoints that have rules on the data path `kernel`, at their ports of the bridge: these go by addresses, which root inside
//! could choose, and by what netfilter sees, which is nothing behind a tag of a VLAN.
//!
//! The same table in the family `bridge`. `guard_from` lets in what has an address of the endpoint, and of IPv6 what neighbours are found by and
//! what is for groups from its address of the link; `guard_to` lets out what the rules have looked at, which is what has one of its addresses or is
//! for a group: a bridge goes by hardware addresses, whatever the others are. They look at what has a conversation, which ICMPv6 of the link never
//! has (`nf_conntrack_proto_icmpv6.c`). Nothing passes for its address of the link but neighbour discovery, nothing with a tag. Their comment is
//! `NETWORK ADDRESS`, with the first of its addresses.

use std::{
    net::{IpAddr, Ipv6Addr},
    ops::RangeInclusive,
};

use ipnet::{IpNet, Ipv6Net};
use rtnetlink::packet_core::DefaultNla;

use super::super::{
    Failure, Socket, SourceRules, all_rules, base_chain, checked, delete_rules,
    expressions::{End, accept, equal, frame_type, is_icmpv6, is_neighbour_discovery, l4proto, of_prefix},
    message::Family,
    new_table,
    rule::{self, Rule},
    rules, unsupported,
};
use super::written;
use fwd_base::Result;

const FROM: &str = "guard_from";
const TO: &str = "guard_to";
/// `NF_BR_PRE_ROUTING` and `NF_BR_FORWARD`.
const HOOKS: [(&str, u32); 2] = [(FROM, 0), (TO, 2)];
/// `NF_BR_PRI_FIRST` has room before it: before bridge netfilter has a look.
const PRIORITY: i32 = -300;
/// ETH_P_IP, ETH_P_ARP, ETH_P_IPV6.
const IP: u16 = 0x0800;
const ARP: u16 = 0x0806;
const IP6: u16 = 0x86dd;
/// `IPPROTO_ICMPV6`.
const ICMPV6: u8 = 58;
/// Types of ICMPv6 that conntrack does not follow, but for neighbour discovery, and how nft(8) has them: reports of groups, routers, redirects (RFC 4861,
/// RFC 2710, RFC 3810).
const UNTRACKED: [(RangeInclusive<u8>, &str); 3] =
    [(130..=134, "130-134"), (137..=137, "nd-redirect"), (143..=143, "mld2-listener-report")];

/// An endpoint, as its port of the bridge is guarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortGuard {
    /// Name of the network.
    pub network: String,
    /// Name of the port, the endpoint's host-side veth.
    pub port: String,
    /// Its ifindex.
    pub index: u32,
    /// The endpoint's addresses, at least one.
    pub addresses: Vec<IpAddr>,
    /// Groups of multicast, and broadcasts, by which neighbours may speak to it whatever the rules say: of the families of its addresses.
    pub groups: Vec<IpNet>,
}

impl PortGuard {
    /// The comment of the rules; none of an endpoint without addresses.
    #[must_use]
    pub fn comment(&self) -> Option<String> {
        self.addresses.first().map(|address| SourceRules::comment(&self.network, *address))
    }

    /// How nft(8) declares the chains.
    #[must_use]
    pub fn chains() -> [String; 2] {
        let hooks = ["prerouting", "forward"];
        std::array::from_fn(|place| {
            format!("{} {{ type filter hook {} priority {PRIORITY}; }}", HOOKS[place].0, hooks[place])
        })
    }

    /// Its addresses, each as a prefix.
    fn prefixes(&self) -> impl Iterator<Item = IpNet> {
        self.addresses.iter().map(|address| (*address).into())
    }

    fn has_ipv6(&self) -> bool {
        self.addresses.iter().any(IpAddr::is_ipv6)
    }

    /// The rules, each with its chain, as nft(8) has them.
    #[must_use]
    pub fn rules(&self) -> Vec<(&'static str, String)> {
        let link = link();
        let has = |end: &str, prefix: &IpNet| format!("{} {end} {} accept", family(prefix), written(*prefix));
        let mut from = vec!["ether type arp accept".to_owned()];
        from.extend(self.prefixes().map(|own| has("saddr", &own)));
        let mut to = vec!["ether type arp accept".to_owned()];
        to.extend(self.groups.iter().map(|group| has("daddr", group)));
        if self.has_ipv6() {
            let senders = [link.to_string(), "::".into()];
            from.extend(senders.map(|sender| format!("ip6 saddr {sender} icmpv6 type 135-136 accept")));
            from.push(format!("ip6 saddr {link} ip6 daddr {} accept", groups()));
            to.push("icmpv6 type 135-136 accept".into());
            to.extend(UNTRACKED.map(|(_, types)| format!("icmpv6 type {types} drop")));
        }
        to.extend(self.prefixes().map(|own| has("daddr", &own)));
        from.push("counter drop".into());
        to.push("counter drop".into());
        let port = &self.port;
        let from = from.into_iter().map(|rule| (FROM, format!("iif \"{port}\" {rule}")));
        from.chain(to.into_iter().map(|rule| (TO, format!("oif \"{port}\" {rule}")))).collect()
    }

    /// The same as expressions.
    fn expressions(&self) -> Vec<(&'static str, Vec<DefaultNla>)> {
        let of_type = |kind: u16| vec![frame_type(), equal(&kind.to_be_bytes())];
        let icmpv6 = |kind: [DefaultNla; 2]| [of_type(IP6), vec![l4proto(), equal(&[ICMPV6])], kind.into()].concat();
        let has = |end: End, prefix: IpNet| {
            let kind = if prefix.addr().is_ipv4() { IP } else { IP6 };
            [of_type(kind), of_prefix(end, prefix)].concat()
        };
        let accepted = |it: Vec<DefaultNla>| [it, vec![accept()]].concat();
        let dropped = |it: Vec<DefaultNla>| [it, vec![rule::drop()]].concat();
        let mut from = vec![accepted(of_type(ARP))];
        from.extend(self.prefixes().map(|own| accepted(has(End::Source, own))));
        let mut to = vec![accepted(of_type(ARP))];
        to.extend(self.groups.iter().map(|group| accepted(has(End::Destination, *group))));
        if self.has_ipv6() {
            let nobody = IpAddr::from(Ipv6Addr::UNSPECIFIED).into();
            from.extend([link(), nobody].map(|sender| {
                let discovery = [vec![l4proto(), equal(&[ICMPV6])], is_neighbour_discovery().into()].concat();
                accepted([has(End::Source, sender), discovery].concat())
            }));
            from.push(accepted([has(End::Source, link()), of_prefix(End::Destination, groups())].concat()));
            to.push(accepted(icmpv6(is_neighbour_discovery())));
            to.extend(UNTRACKED.map(|(types, _)| dropped(icmpv6(is_icmpv6(types)))));
        }
        to.extend(self.prefixes().map(|own| accepted(has(End::Destination, own))));
        let at = |end: u32| vec![rule::meta(end), equal(&self.index.to_ne_bytes())];
        let of = |chain: &'static str, end: u32, judged: Vec<Vec<DefaultNla>>| {
            let rest = (chain, [at(end), vec![rule::counted::counter(0), rule::drop()]].concat());
            let judged = judged.into_iter().map(move |it| (chain, [at(end), it].concat()));
            judged.chain([rest]).collect::<Vec<_>>()
        };
        [of(FROM, rule::IIF, from), of(TO, rule::OIF, to)].concat()
    }
}

/// What headers of this family are called.
fn family(prefix: &IpNet) -> &'static str {
    Family::of(prefix.addr().is_ipv4()).name()
}

/// Addresses of the link.
fn link() -> IpNet {
    Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10).into()
}

/// Groups of multicast.
fn groups() -> IpNet {
    Ipv6Net::new_assert(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8).into()
}

/// Makes the rules of an endpoint what is given, in place of those that it has.
///
/// # Errors
/// [`fwd_base::Kind::Unsupported`] where the kernel has no nf_tables for bridges, or without root.
pub fn ensure_guard(wanted: &PortGuard) -> Result<()> {
    let Some(comment) = wanted.comment() else { return Ok(()) };
    let object = format!("nftables guard of {}", wanted.port);
    checked(&comment, &wanted.port, &object)?;
    let change = || -> Result<(), Failure> {
        let socket = Socket::open()?;
        let mut batch = vec![new_table()];
        batch.extend(HOOKS.map(|(name, hook)| base_chain(name, "filter", hook, PRIORITY)));
        batch.extend(rules(&socket, Family::Bridge)?.iter().filter(|rule| is_of(rule, &comment)).map(Rule::deletion));
        batch.extend(wanted.expressions().iter().map(|(chain, it)| rule::addition(chain, &comment, it)));
        socket.commit(&batch.into_iter().map(|message| message.of(Family::Bridge)).collect::<Vec<_>>())
    };
    change().map_err(|failure| unsupported(failure, "set", object))
}

/// Removes the guard of the endpoint with this address as the first of its own, and the table if no others are in it. False: there was none.
///
/// # Errors
/// The kernel refuses.
pub fn remove_guard(network: &str, address: IpAddr) -> Result<bool> {
    let comment = SourceRules::comment(network, address);
    delete_rules(Family::Bridge, |rule| is_of(rule, &comment), format!("nftables guard of {address}"))
}

fn is_of(rule: &Rule, comment: &str) -> bool {
    rule.is_of(comment) && is_guard(rule)
}

fn is_guard(rule: &Rule) -> bool {
    rule.is_in(FROM) || rule.is_in(TO)
}

/// The comments of the rules that guard endpoints, one for each rule.
///
/// # Errors
/// The kernel refuses. A kernel without nf_tables has none.
pub fn guard_rules() -> Result<Vec<String>> {
    Ok(all_rules(Family::Bridge)?.into_iter().filter(is_guard).filter_map(|rule| rule.comment).collect())
}
