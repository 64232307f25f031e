//! Networks that reach each other, where the kernel forwards.

use std::fmt;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{Acts, Handling, Managed, removal, shell};
use crate::{Actual, NetworkRecord};
use fwd_kernel::netlink::nft::{self, TABLE};

/// Rules of nftables by which two networks reach each other that have allowed one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkPair {
    /// Both, in the order of their names.
    pub networks: [PairedNetwork; 2],
}

/// One of two networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairedNetwork {
    /// Its name.
    pub name: String,
    /// Its bridge.
    pub bridge: String,
    /// Its addresses of IPv4, if it has some.
    pub v4: Option<Ipv4Net>,
    /// Its addresses of IPv6, if it has some.
    pub v6: Option<Ipv6Net>,
}

impl PairedNetwork {
    /// One of which nothing else is known.
    pub(crate) fn named(name: &str) -> Self {
        Self { name: name.to_owned(), bridge: String::new(), v4: None, v6: None }
    }

    pub(crate) fn of(network: &NetworkRecord) -> Self {
        Self {
            name: network.name.clone(),
            bridge: network.bridge.clone(),
            v4: network.subnet(),
            v6: network.gateway6.map(|gateway| gateway.trunc()),
        }
    }
}

impl NetworkPair {
    /// The names of two networks, by what their rules are known by.
    pub(crate) fn names(comment: &str) -> Option<[&str; 2]> {
        nft::NetworkPair::names(comment)
    }

    /// These two; none if they have no addresses of the same family.
    pub(crate) fn new(one: PairedNetwork, other: PairedNetwork) -> Option<Self> {
        let mut networks = [one, other];
        networks.sort_by(|one, other| one.name.cmp(&other.name));
        Some(Self { networks }).filter(|pair| pair.subnets().next().is_some())
    }

    /// By what the rules are known, among those of this run directory.
    pub(crate) fn comment(&self) -> String {
        nft::NetworkPair::comment(&self.networks.clone().map(|network| network.name))
    }

    /// Their addresses, by family.
    pub fn subnets(&self) -> impl Iterator<Item = [IpNet; 2]> + use<> {
        let [one, other] = &self.networks;
        let v4 = one.v4.zip(other.v4).map(|(one, other)| [one, other].map(IpNet::V4));
        let v6 = one.v6.zip(other.v6).map(|(one, other)| [one, other].map(IpNet::V6));
        v4.into_iter().chain(v6)
    }

    /// Whether they reach each other by IPv4.
    pub(crate) fn is_of_v4(&self) -> bool {
        self.networks.iter().all(|network| network.v4.is_some())
    }

    /// The rules of each family; `network` is what the first network is called there.
    pub fn rules(&self, network: String) -> impl Iterator<Item = nft::NetworkPair> + use<> {
        let [one, other] = self.networks.clone();
        let (networks, bridges) = ([network, other.name], [one.bridge, other.bridge]);
        let of_family =
            move |subnets| nft::NetworkPair { networks: networks.clone(), bridges: bridges.clone(), subnets };
        self.subnets().map(of_family)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.rules(String::new()).map(|rules| rules.rules().len()).sum()
    }
}

impl Managed for NetworkPair {
    fn handling(&self) -> Handling {
        Handling::new("add", "remove", Acts::OnHost)
    }

    fn is_there(&self, actual: &Actual) -> bool {
        actual.host.pair_rules.get(&self.comment()) == Some(&self.count())
    }

    fn equivalent(&self, make: bool, _: &str) -> Vec<String> {
        if !make {
            // Prefixes may be given of what the first packet had alone (conntrack(8)). Where there is none, it fails.
            let ended = self.subnets().flat_map(|[one, other]| {
                let family = if matches!(one, IpNet::V4(_)) { "ipv4" } else { "ipv6" };
                [[one, other], [other, one]]
                    .map(|[from, to]| format!("conntrack -D -f {family} -s {from} -d {to} || true"))
            });
            return ["forward", "between"].map(removal).into_iter().chain(ended).collect();
        }
        let mut lines = Vec::new();
        for rules in self.rules(String::new()) {
            let ip = if matches!(rules.subnets[0], IpNet::V4(_)) { "ip" } else { "ip6" };
            lines.push(shell::nft(&format!("add chain {ip} {TABLE} {}", nft::NetworkPair::CHAIN)));
            let rules = rules.rules().into_iter();
            lines.extend(rules.map(|(chain, rule)| shell::nft(&format!("insert rule {ip} {TABLE} {chain} {rule}"))));
        }
        lines
    }
}

impl fmt::Display for NetworkPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [one, other] = &self.networks;
        write!(f, "rules by which networks {} and {} reach each other", one.name, other.name)
    }
}
