//! What a subnet shares with networks, addresses and routes that exist.
//!
//! Addresses and routes within it are in use. A route to more than the subnet is not: the longer prefix wins, and what the route leads
//! to is hardly ever there as a whole.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use crate::{Actual, NetConfig};

/// What of `subnet` is in use, in words: by a network, an address or a route of the host, or inside the target.
#[must_use]
pub(crate) fn occupant(actual: &Actual, subnet: Ipv4Net) -> Option<String> {
    Overlaps::of(actual, &[subnet.into()]).occupant(subnet.into())
}

/// What of `subnet` is in use inside the target, in words.
#[must_use]
pub(crate) fn inside(actual: &Actual, subnet: IpNet) -> Option<String> {
    let mut overlaps = Overlaps::default();
    overlaps.add(&actual.target_netns()?.net, " in the namespace", &[subnet]);
    overlaps.occupant(subnet)
}

/// What `subnet` is a part of, in words: the route there leads no further for these addresses.
#[must_use]
pub(crate) fn cover(actual: &Actual, subnet: Ipv4Net) -> Option<String> {
    Overlaps::of(actual, &[subnet.into()]).cover(subnet.into())
}

/// Everything that overlaps some subnets.
#[derive(Default)]
pub(crate) struct Overlaps {
    /// Whose an address is, and what network is on the link with it.
    addresses: Vec<(IpNet, String)>,
    /// Where a route leads, its router, and the interface.
    routes: Vec<(IpNet, Option<IpAddr>, String)>,
    networks: Vec<(IpNet, String)>,
}

impl Overlaps {
    /// What overlaps `subnets` on the host and inside the target.
    pub(crate) fn of(actual: &Actual, subnets: &[IpNet]) -> Self {
        let networks = actual.records.networks.iter();
        let networks = networks.flat_map(|network| network.subnets().map(|subnet| (subnet, network.name.clone())));
        let mut overlaps = Self { networks: networks.collect(), ..Self::default() };
        overlaps.add(&actual.host.net, "", subnets);
        if let Some(inside) = actual.target_netns() {
            overlaps.add(&inside.net, " in the namespace", subnets);
        }
        overlaps
    }

    /// The same with networks that nobody has made yet.
    pub(crate) fn and(mut self, taken: &[IpNet]) -> Self {
        self.networks.extend(taken.iter().map(|subnet| (*subnet, "that is noted".to_owned())));
        self
    }

    fn add(&mut self, net: &NetConfig, place: &str, subnets: &[IpNet]) {
        let concerns = |other: IpNet| subnets.iter().any(|subnet| overlap(other, *subnet));
        for (index, address) in &net.addresses {
            if concerns(*address) {
                self.addresses.push((*address, format!("{}{place}", net.name_of(*index))));
            }
        }
        for route in &net.routes {
            let (destination, router) = (route.destination, route.gateway);
            if concerns(destination) || router.is_some_and(|router| concerns(router.into())) {
                self.routes.push((destination, router, format!("{}{place}", net.name_of(route.ifindex))));
            }
        }
    }

    /// What is in use within `subnet`, in words.
    pub(crate) fn occupant(&self, subnet: IpNet) -> Option<String> {
        if let Some((network, name)) = self.networks.iter().find(|(network, _)| overlap(*network, subnet)) {
            return Some(format!("network {name} has {network}"));
        }
        let is_within = |other: IpNet| subnet.contains(&other);
        let owned = |address: &IpNet| subnet.contains(&address.addr()) || is_within(*address);
        if let Some((address, interface)) = self.addresses.iter().find(|(address, _)| owned(address)) {
            return Some(format!("{interface} has the address {address}"));
        }
        let used = |(destination, router, _): &&(IpNet, Option<IpAddr>, String)| {
            is_within(*destination) || router.is_some_and(|router| subnet.contains(&router))
        };
        self.routes.iter().find(used).map(|(destination, router, interface)| match router {
            Some(router) if !is_within(*destination) => format!("the router {router} is in it ({interface})"),
            _ => format!("there is a route to {destination} through {interface}"),
        })
    }

    /// The longest route of which `subnet` is only a part, in words.
    pub(crate) fn cover(&self, subnet: IpNet) -> Option<String> {
        let specific = self.routes.iter().filter(|(destination, ..)| !is_default(*destination));
        let covers = specific.filter(|(destination, ..)| is_part(subnet, *destination));
        let (destination, _, interface) = covers.max_by_key(|(destination, ..)| destination.prefix_len())?;
        Some(format!("{destination}, to which there is a route through {interface}"))
    }

    /// Whether `subnet` is a part of a network in which an interface has its address: its hosts are there, unlike those of a route.
    pub(crate) fn is_on_link(&self, subnet: IpNet) -> bool {
        self.addresses.iter().any(|(address, _)| is_part(subnet, address.trunc()))
    }
}

/// A default route, or half of one: VPNs route 0.0.0.0/1 and 128.0.0.0/1 instead.
fn is_default(destination: IpNet) -> bool {
    destination.prefix_len() <= 1
}

fn is_part(subnet: IpNet, whole: IpNet) -> bool {
    subnet != whole && whole.contains(&subnet)
}

fn overlap(a: IpNet, b: IpNet) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}
