//! Networks that reach each other on the data path `kernel`, because each has allowed the other.
//!
//! Two rules of `forward` let pass what one says to the other, before [`isolation`](super) keeps it out; two of a chain of their own,
//! `between`, keep what is begun so from being translated: before what translates, a connection is given the source that it has.
//! Their comment is `NETWORK with NETWORK`.

use ipnet::IpNet;
use rtnetlink::packet_core::DefaultNla;

use super::{
    super::{
        Failure, HOOK_POSTROUTING, Message, NAME_MAX, PRIORITY_SRCNAT, Socket, all_rules, base_chain, checked,
        delete_rules,
        expressions::{End, accept, equal, of_prefix, snat_to_source, untranslated},
        message::Family,
        new_table,
        rule::{self, Rule},
        rules, unsupported,
    },
    FORWARD, chain, conversations,
};
use fwd_base::Result;

/// The chain that looks at what is begun, before that which translates.
const BETWEEN: &str = "between";
const PRIORITY: i32 = PRIORITY_SRCNAT - 10;
/// Between the names of both, in a comment.
const WITH: &str = " with ";

/// Two networks that reach each other, by addresses of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkPair {
    /// Their names: the comment of the rules.
    pub networks: [String; 2],
    /// Their bridges.
    pub bridges: [String; 2],
    /// Their addresses.
    pub subnets: [IpNet; 2],
}

impl NetworkPair {
    /// How nft(8) declares the chain that is theirs alone.
    pub const CHAIN: &str = "between { type nat hook postrouting priority srcnat - 10; }";
    /// Longest names of both together, bytes.
    pub const NAMES_MAX: usize = NAME_MAX - WITH.len();

    /// The comment of the rules of these two.
    #[must_use]
    pub fn comment([one, other]: &[String; 2]) -> String {
        format!("{one}{WITH}{other}")
    }

    /// The names in a comment, if it is that of a pair.
    #[must_use]
    pub fn names(comment: &str) -> Option<[&str; 2]> {
        comment.split_once(WITH).map(<[&str; 2]>::from)
    }

    fn family(&self) -> Family {
        Family::of(matches!(self.subnets[0], IpNet::V4(_)))
    }

    /// Who speaks and who is spoken to, one way and the other: bridge and addresses of each.
    fn ways(&self) -> [[(&str, IpNet); 2]; 2] {
        let [one, other] = [0, 1].map(|side| (self.bridges[side].as_str(), self.subnets[side]));
        [[one, other], [other, one]]
    }

    /// The rules, each with its chain, as nft(8) has them.
    #[must_use]
    pub fn rules(&self) -> Vec<(&'static str, String)> {
        let ip = self.family().name();
        let of_way = |[(from, source), (to, destination)]: [(&str, IpNet); 2]| {
            let addresses = format!("{ip} saddr {source} {ip} daddr {destination}");
            [
                (FORWARD, format!("iifname \"{from}\" oifname \"{to}\" {addresses} accept")),
                (BETWEEN, format!("oifname \"{to}\" {addresses} ct status ! dnat snat to {ip} saddr")),
            ]
        };
        self.ways().into_iter().flat_map(of_way).collect()
    }

    /// The same as expressions.
    fn expressions(&self) -> Vec<(&'static str, Vec<DefaultNla>)> {
        let v4 = self.family() == Family::V4;
        let of_way = |[(from, source), (to, destination)]: [(&str, IpNet); 2]| {
            let named = |which, name: &str| vec![rule::meta(which), equal(&rule::padded(name))];
            let addresses = [of_prefix(End::Source, source), of_prefix(End::Destination, destination)].concat();
            let (from, to) = (named(rule::IIFNAME, from), named(rule::OIFNAME, to));
            let kept = [&untranslated()[..], &snat_to_source(v4)].concat();
            [
                (FORWARD, [&from[..], &to, &addresses, &[accept()]].concat()),
                (BETWEEN, [&to[..], &addresses, &kept].concat()),
            ]
        };
        self.ways().into_iter().flat_map(of_way).collect()
    }
}

/// Makes the rules of a pair what is given, in place of those that it has.
///
/// # Errors
/// [`fwd_base::Kind::Unsupported`] where the kernel has no nf_tables with NAT, or without root.
pub fn ensure_pair(wanted: &NetworkPair) -> Result<()> {
    let comment = NetworkPair::comment(&wanted.networks);
    let object = format!("nftables rules of {comment}");
    wanted.bridges.iter().try_for_each(|bridge| checked(&comment, bridge, &object))?;
    let change = || -> Result<(), Failure> {
        let (socket, family) = (Socket::open()?, wanted.family());
        let between = base_chain(BETWEEN, "nat", HOOK_POSTROUTING, PRIORITY);
        let mut batch: Vec<Message> = vec![new_table(), chain(), between];
        batch.extend(rules(&socket, family)?.iter().filter(|rule| rule.is_of(&comment)).map(Rule::deletion));
        // Before what keeps others out.
        batch.extend(wanted.expressions().iter().map(|(chain, it)| rule::addition(chain, &comment, it).first()));
        socket.commit(&batch.into_iter().map(|message| message.of(family)).collect::<Vec<_>>())
    };
    change().map_err(|failure| unsupported(failure, "set", object))
}

/// Removes the rules of two networks, and the table if no others are in it.
///
/// # Errors
/// The kernel refuses.
pub fn remove_pair(networks: &[String; 2]) -> Result<()> {
    let comment = NetworkPair::comment(networks);
    let remove = |family: Family| {
        let object = format!("nftables rules of {comment}");
        delete_rules(family, |rule| rule.is_of(&comment), object).map(drop)
    };
    [Family::V4, Family::V6].into_iter().try_for_each(remove)
}

/// Ends what these networks speak with each other, of which conntrack would let pass the rest.
///
/// # Errors
/// The kernel refuses, or cannot list what conntrack knows.
pub fn end_conversations(subnets: [IpNet; 2]) -> Result<()> {
    conversations::end(subnets)
}

/// The comments of the rules of pairs, of IPv4 or of IPv6, one for each rule.
///
/// # Errors
/// The kernel refuses. A kernel without nf_tables has none.
pub fn pair_rules(v4: bool) -> Result<Vec<String>> {
    let comments = all_rules(Family::of(v4))?.into_iter().filter_map(|rule| rule.comment);
    Ok(comments.filter(|comment| NetworkPair::names(comment).is_some()).collect())
}
