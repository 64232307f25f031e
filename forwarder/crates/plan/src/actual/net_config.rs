//! The configuration of one namespace.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv6Addr},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use fwd_base::text::word;
use fwd_kernel::netlink::{Address, Link, LinkLayer, Mac, Neighbour, Route, TABLE_MAIN};

/// The configuration of one namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetConfig {
    /// Interfaces.
    pub links: Vec<Link>,
    /// Addresses, by ifindex.
    pub addresses: Vec<Address>,
    /// Unicast routes.
    pub routes: Vec<Route>,
    /// Neighbours.
    pub neighbours: Vec<Neighbour>,
    /// Addresses of IPv6 for which the host answers by neighbour discovery, and at which interface.
    pub proxies: Vec<(u32, Ipv6Addr)>,
}

impl NetConfig {
    /// The interface called `name`, which may be an alternative one: the kernel keeps both apart from those of others alike.
    #[must_use]
    pub fn link(&self, name: &str) -> Option<&Link> {
        let called_so = |link: &&Link| link.name == name || link.altnames.iter().any(|altname| altname == name);
        self.links.iter().find(called_so)
    }

    /// The interface of this index.
    #[must_use]
    pub fn by_index(&self, index: u32) -> Option<&Link> {
        // The kernel lists them in this order. What is not found there is looked for everywhere.
        let ordered = self.links.binary_search_by_key(&index, |link| link.index).ok();
        let ordered = ordered.and_then(|position| self.links.get(position));
        ordered.or_else(|| self.links.iter().find(|link| link.index == index))
    }

    /// The name of an interface, or its number where it has gone: for messages.
    #[must_use]
    pub fn name_of(&self, index: u32) -> String {
        self.by_index(index).map_or_else(|| format!("interface {index}"), |link| link.name.clone())
    }

    /// The first IPv4 address of an interface.
    #[must_use]
    pub fn ipv4(&self, index: u32) -> Option<Ipv4Net> {
        self.addresses.iter().find_map(|(owner, address)| match address {
            IpNet::V4(v4) if *owner == index => Some(*v4),
            _ => None,
        })
    }

    /// The IPv4 default route of the main table with the lowest metric.
    #[must_use]
    pub fn default_route(&self) -> Option<&Route> {
        let everything = IpNet::V4(Ipv4Net::default());
        let routes = self.routes.iter().filter(|route| route.destination == everything && route.table == TABLE_MAIN);
        routes.min_by_key(|route| route.metric)
    }

    /// The IPv4 default route by which most leaves: that of the main table, or, where only rules of routing lead outside, of another one.
    #[must_use]
    pub fn way_out(&self) -> Option<&Route> {
        let everything = IpNet::V4(Ipv4Net::default());
        let elsewhere =
            || self.routes.iter().filter(|route| route.destination == everything).min_by_key(|it| it.metric);
        self.default_route().or_else(elsewhere)
    }

    /// The first IPv6 address of an interface that is good for more than its link.
    #[must_use]
    pub fn ipv6(&self, index: u32) -> Option<Ipv6Net> {
        self.addresses.iter().find_map(|(owner, address)| match address {
            IpNet::V6(v6) if *owner == index && !v6.addr().is_unicast_link_local() && !v6.addr().is_loopback() => {
                Some(*v6)
            }
            _ => None,
        })
    }

    /// The IPv6 default routes of the main table.
    pub(crate) fn default_routes6(&self) -> impl Iterator<Item = &Route> {
        let everything = IpNet::V6(Ipv6Net::default());
        self.routes.iter().filter(move |route| route.destination == everything && route.table == TABLE_MAIN)
    }

    /// Where the host's routes of IPv6 lead that do not leave by the uplink of a network, nor into one of `networks` (each by the number of its
    /// interface): what goes there leaves by no network's uplink. Each with its interface: `2001:db8:1::/64 by eth1`.
    #[must_use]
    pub fn elsewhere6(&self, uplink: u32, networks: &[u32]) -> Vec<String> {
        let leads_there = |route: &&Route| {
            let IpNet::V6(to) = route.destination else { return false };
            let stays = to.addr().is_unicast_link_local() || to.addr().is_multicast();
            let there = self.by_index(route.ifindex).is_some_and(|link| !link.loopback);
            route.table == TABLE_MAIN
                && !stays
                && there
                && route.ifindex != uplink
                && !networks.contains(&route.ifindex)
        };
        let named = |route: &Route| format!("{} by {}", route.destination, self.name_of(route.ifindex));
        self.routes.iter().filter(leads_there).map(named).collect()
    }

    /// The routers of IPv6 by which routes leave by an interface, and which have not answered by neighbour discovery.
    #[must_use]
    pub fn silent_routers6(&self, index: u32) -> BTreeSet<Ipv6Addr> {
        let asked_for = |address: IpAddr| {
            let mut entries = self.neighbours.iter().filter(|it| it.ifindex == index && it.address == address);
            entries.any(|it| it.mac.is_none())
        };
        let leaving = self.routes.iter().filter(|route| route.ifindex == index);
        let routers = leaving.filter_map(|route| route.gateway).filter(|router| asked_for(*router));
        let of_ipv6 = |router| if let IpAddr::V6(router) = router { Some(router) } else { None };
        routers.filter_map(of_ipv6).collect()
    }

    /// What is said of an uplink to which networks are bound and which has no route beyond its own link, with the remedy.
    #[must_use]
    pub fn no_way_out(&self, index: u32) -> Option<String> {
        let is_link = |destination: &IpNet| self.addresses.iter().any(|(_, address)| address.trunc() == *destination);
        let leads_out = |route: &&Route| {
            matches!(route.destination, IpNet::V4(_)) && (route.gateway.is_some() || !is_link(&route.destination))
        };
        if self.routes.iter().filter(|route| route.ifindex == index).any(|route| leads_out(&route)) {
            return None;
        }
        let name = self.name_of(index);
        let via =
            if self.by_index(index).is_some_and(|link| link.layer == LinkLayer::None) { "" } else { "via ROUTER " };
        Some(format!(
            "{name} has no route beyond its own link, so that nothing that leaves by it alone gets farther: `ip route add default {via}dev \
             {} metric 200` adds one that the host itself uses last",
            word(&name)
        ))
    }

    pub(crate) fn has_address(&self, name: &str, address: IpNet) -> bool {
        self.link(name).is_some_and(|link| self.addresses.contains(&(link.index, address)))
    }

    pub(crate) fn has_neighbour(&self, name: &str, address: impl Into<IpAddr>, mac: Mac) -> bool {
        let address = address.into();
        self.link(name).is_some_and(|link| {
            self.neighbours
                .iter()
                .any(|n| n.ifindex == link.index && n.address == address && n.mac == Some(mac) && n.permanent)
        })
    }

    /// Whether the hosts at the link of an interface take the addresses of `subnet` for their neighbours': it is a part of the prefix there.
    pub(crate) fn has_on_link(&self, index: u32, subnet: Ipv6Net) -> bool {
        let subnet = IpNet::V6(subnet);
        self.addresses.iter().any(|(owner, address)| *owner == index && address.trunc().contains(&subnet))
    }

    pub(crate) fn drop_neighbour(&mut self, interface: &str, address: IpAddr) {
        let index = self.link(interface).map(|link| link.index);
        self.neighbours.retain(|neighbour| Some(neighbour.ifindex) != index || neighbour.address != address);
    }

    /// Forgets an interface and what refers to it.
    pub(crate) fn forget(&mut self, index: u32) {
        self.links.retain(|link| link.index != index);
        self.addresses.retain(|(owner, _)| *owner != index);
        self.routes.retain(|route| route.ifindex != index);
        self.neighbours.retain(|neighbour| neighbour.ifindex != index);
        self.proxies.retain(|(ifindex, _)| *ifindex != index);
    }
}

/// Whether these are the two ends of one pair. The numbers alone could meet by chance, but hardly both ways.
#[must_use]
pub(crate) fn are_ends(host: &Link, inside: &Link) -> bool {
    host.is_of_pair() && host.kind == inside.kind && host.peer == Some(inside.index) && inside.peer == Some(host.index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(destination: &str, ifindex: u32, gateway: Option<&str>) -> Route {
        let gateway = gateway.map(|router| router.parse().expect("an address"));
        Route {
            destination: destination.parse().expect("a prefix"),
            ifindex,
            gateway,
            metric: 0,
            table: TABLE_MAIN,
            mtu: None,
        }
    }

    fn host() -> NetConfig {
        let link =
            |(index, name): (u32, &str)| Link { index, name: name.into(), loopback: index == 1, ..Link::default() };
        NetConfig {
            links: [(1, "lo"), (2, "eth0"), (3, "eth1"), (4, "fwd0")].map(link).into(),
            routes: vec![
                route("::1/128", 1, None),
                route("::/0", 2, Some("fe80::1")),
                route("2001:db8:1::/64", 3, None),
                route("fe80::/64", 3, None),
                route("fd00:77::/64", 4, None),
                route("10.0.0.0/8", 3, None),
            ],
            ..NetConfig::default()
        }
    }

    #[test]
    fn routes_that_leave_by_another_interface_are_named_with_it() {
        assert_eq!(host().elsewhere6(2, &[4]), ["2001:db8:1::/64 by eth1"]);
        assert_eq!(host().elsewhere6(3, &[4]), ["::/0 by eth0"]);
    }

    #[test]
    fn routers_that_were_asked_in_vain_are_silent() {
        let mut host = host();
        assert!(host.silent_routers6(2).is_empty(), "nobody has asked");
        let address = "fe80::1".parse().expect("an address");
        host.neighbours.push(Neighbour { ifindex: 2, address, mac: None, permanent: false });
        assert_eq!(host.silent_routers6(2).into_iter().map(IpAddr::from).collect::<Vec<_>>(), [address]);
        host.neighbours[0].mac = Some([2; 6]);
        assert!(host.silent_routers6(2).is_empty(), "it answers");
    }
}
