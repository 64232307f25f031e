//! Which names there are, and what an asker may see of them.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use fwd_base::HostName;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// The names of all networks that have a name server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// By name.
    pub networks: BTreeMap<String, Network>,
}

/// The names of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Where it is asked: the addresses of the network's gateway, with the lengths of their prefixes.
    pub gateways: Vec<IpNet>,
    /// Whether names of others are asked of others: not of a network that nothing leaves.
    pub outside: bool,
    /// Who asks, and is asked for.
    pub endpoints: Vec<Endpoint>,
}

/// An endpoint of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Cookie of its namespace: one in several networks sees the names of each.
    pub namespace: u64,
    /// The first is what its addresses are called.
    pub names: Vec<HostName>,
    /// Of both families.
    pub addresses: Vec<IpAddr>,
}

/// The same, to be searched.
#[derive(Debug, Default)]
pub(crate) struct Names {
    zones: BTreeMap<String, Zone>,
    /// Networks by the cookies of namespaces in them.
    memberships: HashMap<u64, Vec<String>>,
}

#[derive(Debug, Default)]
struct Zone {
    /// What stands behind the names of this network; none where that could not be asked for.
    suffix: Option<String>,
    gateways: Vec<IpNet>,
    outside: bool,
    /// Cookies of namespaces by their addresses.
    askers: HashMap<IpAddr, u64>,
    addresses: HashMap<HostName, Vec<IpAddr>>,
    names: HashMap<IpAddr, HostName>,
}

impl Zone {
    fn of(name: &str, network: Network) -> Self {
        let Network { gateways, outside, endpoints } = network;
        let suffix = name.parse::<HostName>().ok().map(|name| format!(".{name}"));
        let mut zone = Self { suffix, gateways, outside, ..Self::default() };
        for Endpoint { namespace, names, addresses } in endpoints {
            for address in &addresses {
                zone.askers.insert(*address, namespace);
                zone.names.extend(names.first().map(|name| (*address, name.clone())));
            }
            for name in names {
                let known = zone.addresses.entry(name).or_default();
                known.extend(addresses.iter().copied());
            }
        }
        for addresses in zone.addresses.values_mut() {
            addresses.sort();
            addresses.dedup();
        }
        zone
    }
}

impl From<Table> for Names {
    fn from(table: Table) -> Self {
        let mut names = Self::default();
        for (name, network) in table.networks {
            for endpoint in &network.endpoints {
                names.memberships.entry(endpoint.namespace).or_default().push(name.clone());
            }
            names.zones.insert(name.clone(), Zone::of(&name, network));
        }
        names
    }
}

impl Names {
    /// What somebody with this address sees who asks at the gateway of a network. Nobody else than its endpoints and the host itself is
    /// answered: whatever reached the gateway's address on other ways is nobody's.
    pub(crate) fn seen_by(&self, network: &str, asker: IpAddr) -> Option<View<'_>> {
        let zone = self.zones.get(network)?;
        if zone.gateways.iter().any(|gateway| gateway.addr() == asker) {
            // The host has its own resolver, which may be the one that asks here.
            return Some(View { zones: vec![zone], others: Others::Refused });
        }
        let namespace = zone.askers.get(&asker)?;
        let others = self.memberships.get(namespace).into_iter().flatten().filter(|other| *other != network);
        let others = others.filter_map(|other| self.zones.get(other));
        let outside = if zone.outside { Others::Asked } else { Others::Absent };
        Some(View { zones: [zone].into_iter().chain(others).collect(), others: outside })
    }
}

impl Names {
    /// Whether somebody with this address may ask anywhere.
    pub(crate) fn has_asker(&self, asker: IpAddr) -> bool {
        self.zones.keys().any(|network| self.seen_by(network, asker).is_some())
    }

    /// How many names there are.
    pub(crate) fn len(&self) -> usize {
        self.zones.values().map(|zone| zone.addresses.len()).sum()
    }
}

/// What an asker sees: the network that it asks first, then the others that its namespace is in.
#[derive(Debug)]
pub(crate) struct View<'a> {
    zones: Vec<&'a Zone>,
    /// What becomes of other names.
    pub(crate) others: Others,
}

/// What becomes of names that are none of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Others {
    /// Others are asked for them.
    Asked,
    /// There are none, where nothing leaves the network: a query could carry something out.
    Absent,
    /// The asker has another resolver for them.
    Refused,
}

/// What is known of the name of an address.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reverse {
    /// It is called so.
    Name(String),
    /// It is of a network that is seen, and nobody's.
    Nobody,
    /// It is none of ours.
    Elsewhere,
}

impl View<'_> {
    /// The addresses of `NAME` or `NAME.NETWORK`, in lower case and without a dot at the end; none if it is nobody's name.
    pub(crate) fn addresses(&self, name: &str) -> Option<&[IpAddr]> {
        let known = |zone: &'_ Zone, name: &str| {
            let name: HostName = name.parse().ok()?;
            zone.addresses.contains_key(&name).then_some(name)
        };
        let bare = self.zones.iter().find_map(|zone| Some((zone, known(zone, name)?)));
        let full = || {
            self.zones.iter().find_map(|zone| {
                let name = name.strip_suffix(zone.suffix.as_deref()?)?;
                Some((zone, known(zone, name)?))
            })
        };
        let (zone, name) = bare.or_else(full)?;
        zone.addresses.get(&name).map(Vec::as_slice)
    }

    /// Whether a name, in lower case and without a dot at the end, stands below that of a network that is seen.
    pub(crate) fn is_below(&self, name: &str) -> bool {
        self.zones.iter().filter_map(|zone| zone.suffix.as_deref()).any(|suffix| name.ends_with(suffix))
    }

    /// What an address is called.
    pub(crate) fn reverse(&self, address: IpAddr) -> Reverse {
        for zone in &self.zones {
            if let Some(name) = zone.names.get(&address) {
                return Reverse::Name(format!("{name}{}", zone.suffix.as_deref().unwrap_or_default()));
            }
        }
        let ours = self.zones.iter().flat_map(|zone| &zone.gateways).any(|gateway| gateway.contains(&address));
        if ours { Reverse::Nobody } else { Reverse::Elsewhere }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn endpoint(namespace: u64, names: &[&str], addresses: &[&str]) -> Endpoint {
        Endpoint {
            namespace,
            names: names.iter().map(|name| name.parse().expect("a name")).collect(),
            addresses: addresses.iter().map(|address| address.parse().expect("an address")).collect(),
        }
    }

    /// Two networks: a namespace is in both.
    pub(crate) fn names() -> Names {
        let gateway = |text: &str| text.parse::<IpNet>().expect("a gateway");
        let web = Network {
            gateways: vec![gateway("10.77.0.1/24"), gateway("fd00:77::1/64")],
            outside: true,
            endpoints: vec![
                endpoint(1, &["a", "www"], &["10.77.0.2", "fd00:77::2"]),
                endpoint(2, &["b", "www"], &["10.77.0.3"]),
                endpoint(3, &[], &["10.77.0.4"]),
            ],
        };
        let db = Network {
            gateways: vec![gateway("10.77.1.1/24")],
            outside: false,
            endpoints: vec![endpoint(2, &["b"], &["10.77.1.2"]), endpoint(9, &["store"], &["10.77.1.9"])],
        };
        Table { networks: [("Web".into(), web), ("db".into(), db)].into() }.into()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn endpoints_see_their_networks_and_no_others() {
        let names = names();
        let a = names.seen_by("Web", ip("10.77.0.2")).expect("it is an endpoint");
        assert_eq!(a.addresses("a"), Some(&[ip("10.77.0.2"), ip("fd00:77::2")][..]));
        assert_eq!(a.addresses("a.web"), a.addresses("a"));
        assert_eq!(a.addresses("www.web").map(<[_]>::len), Some(3), "a name that several have");
        for absent in ["store", "store.db", "b.db", "web", "a.web.web", "", ".web", "a."] {
            assert_eq!(a.addresses(absent), None, "{absent}");
        }
        let b = names.seen_by("Web", ip("10.77.0.3")).expect("it is an endpoint");
        assert_eq!((a.others, b.others), (Others::Asked, Others::Asked));
        let internal = names.seen_by("db", ip("10.77.1.2")).expect("it is an endpoint");
        assert_eq!(internal.others, Others::Absent);
        assert_eq!(b.addresses("store"), Some(&[ip("10.77.1.9")][..]));
        assert_eq!(b.addresses("b"), Some(&[ip("10.77.0.3")][..]), "the network that is asked goes first");
        assert_eq!(b.addresses("b.db"), Some(&[ip("10.77.1.2")][..]));
    }

    #[test]
    fn nobody_else_is_answered_and_the_host_only_for_these_names() {
        let names = names();
        for (network, asker) in [("Web", "10.77.0.9"), ("Web", "10.77.1.2"), ("db", "10.77.0.2"), ("no", "10.77.0.2")] {
            assert!(names.seen_by(network, ip(asker)).is_none(), "{asker} at {network}");
        }
        let host = names.seen_by("Web", ip("fd00:77::1")).expect("the host may ask");
        assert_eq!(host.others, Others::Refused);
        assert!(host.addresses("a").is_some() && host.addresses("store").is_none());
    }

    #[test]
    fn addresses_of_the_networks_are_known_here_or_nowhere() {
        let names = names();
        let a = names.seen_by("Web", ip("10.77.0.2")).expect("it is an endpoint");
        assert_eq!(a.reverse(ip("fd00:77::2")), Reverse::Name("a.web".into()));
        assert_eq!(a.reverse(ip("10.77.0.4")), Reverse::Nobody, "one without a name");
        assert_eq!(a.reverse(ip("10.77.0.77")), Reverse::Nobody);
        assert_eq!(a.reverse(ip("10.77.1.9")), Reverse::Elsewhere, "another network");
    }
}
