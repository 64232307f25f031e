//! By what networks leave that follow the host's routes: every interface that these lead by, as far as programs can guard it where
//! programs forward.

use std::{collections::BTreeSet, net::Ipv4Addr};

use ipnet::IpNet;

use crate::{
    Actual, Ipv4, NetConfig, NetworkRecord, Object, Records, names, object,
    settled::Network,
    uplink::{self, Uplink, VRF},
};
use fwd_base::Result;
use fwd_dataplane::TcxOrder;
use fwd_kernel::netlink::{Link, LinkLayer, Route};

/// So many interfaces are taken in by themselves; of default routes all. A host that routes to each of its containers by an interface of its
/// own has thousands, each of which would take two programs.
const MOST: usize = 32;

impl Network {
    /// Whether it leaves by whatever the host's routes lead by.
    pub(crate) fn follows_routes(&self) -> bool {
        !self.treatment.internal && !self.treatment.bound
    }

    /// Of which families it follows them.
    pub(crate) fn followed(&self) -> Followed {
        let follows = self.follows_routes();
        Followed { v4: follows && self.gateway.is_some(), v6: follows && self.gateway6.is_some() }
    }

    /// By what it leaves: the routes that it follows, and, where it has IPv6, its uplink.
    pub(crate) fn by_ipv6(&self) -> (Followed, Option<u32>) {
        (self.followed(), self.gateway6.map(|_| self.uplink_index()))
    }
}

impl NetworkRecord {
    /// Whether it leaves by whatever the host's routes lead by.
    #[must_use]
    pub fn follows_routes(&self) -> bool {
        !self.treatment.internal && !self.treatment.bound
    }

    /// By what it leaves: the routes that it follows, and, where it has IPv6, its uplink.
    pub(crate) fn by_ipv6(&self) -> (Followed, Option<u32>) {
        (Followed::by([self]), self.gateway6.map(|_| self.uplink))
    }
}

/// Of which families the host's routes are followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// IPv4.
    pub v4: bool,
    /// IPv6.
    pub v6: bool,
}

impl Followed {
    /// What these networks follow.
    pub fn by<'a>(networks: impl IntoIterator<Item = &'a NetworkRecord>) -> Self {
        let of = |it: &NetworkRecord| Self { v4: it.gateway.is_some(), v6: it.gateway6.is_some() };
        let networks = networks.into_iter().filter(|network| network.follows_routes());
        networks.map(of).fold(Self::default(), Self::or)
    }

    /// Both together.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self { v4: self.v4 || other.v4, v6: self.v6 || other.v6 }
    }

    /// Whether packets of networks may leave by a unicast route, of whatever table: none does that leads to the link alone, or to a group.
    #[must_use]
    pub fn leads(self, route: &Route) -> bool {
        match route.destination {
            IpNet::V4(_) => self.v4,
            IpNet::V6(to) => self.v6 && !to.addr().is_unicast_link_local() && !to.addr().is_multicast(),
        }
    }
}

/// What the host's routes lead by, and what of it is not taken in, because it is too much.
pub(crate) struct Ways {
    pub(crate) uplinks: Vec<Uplink>,
    pub(crate) left_out: usize,
}

/// Every interface that a route leads by that is `followed`, and that can be an uplink: first those of default routes.
pub(crate) fn ways(actual: &Actual, followed: Followed) -> Ways {
    let net = &actual.host.net;
    let leading = net.routes.iter().filter(|route| followed.leads(route));
    let (outside, others): (Vec<_>, Vec<_>) = leading.partition(|route| route.destination.prefix_len() == 0);
    let outside: BTreeSet<u32> = outside.into_iter().map(|route| route.ifindex).collect();
    let others: BTreeSet<u32> = others.into_iter().map(|route| route.ifindex).collect();
    let others: Vec<u32> = others.difference(&outside).copied().collect();
    let usable = |indexes: Vec<u32>| {
        let links = indexes.into_iter().filter_map(|index| net.by_index(index));
        links.filter(|link| is_way(net, link)).map(|link| way(actual, link)).collect::<Vec<_>>()
    };
    let (mut uplinks, others) = (usable(outside.into_iter().collect()), usable(others));
    let known = |uplink: &Uplink| actual.records.uplinks.iter().any(|record| record.index == uplink.index);
    // What is one already stays one, however many there are by now.
    let (known, new): (Vec<_>, Vec<_>) = others.into_iter().partition(known);
    let room = MOST.saturating_sub(uplinks.len() + known.len());
    let left_out = new.len().saturating_sub(room);
    uplinks.extend(known.into_iter().chain(new.into_iter().take(room)));
    Ways { uplinks, left_out }
}

/// What a network leaves by that takes any way: what the host's default route leads by, else another of its routes, if any leads anywhere.
///
/// # Errors
/// There is a default route, and it leads by an interface that is not fit.
pub(crate) fn first(actual: &Actual, ipv4: Ipv4) -> Result<Option<Uplink>> {
    if uplink::default_route(&actual.host.net, ipv4).is_some() {
        return uplink::choose(actual, None, ipv4).map(Some);
    }
    let followed = Followed { v4: ipv4 == Ipv4::On, v6: ipv4 == Ipv4::Off };
    let fit = |way: Uplink| uplink::choose(actual, Some(&way.name), ipv4).ok();
    Ok(ways(actual, followed).uplinks.into_iter().find_map(fit))
}

/// What there is to be at these interfaces; `guarded` with the programs, without which the kernel forwards by nftables alone.
pub(crate) fn objects(actual: &Actual, followed: Followed, guarded: bool) -> Vec<Object> {
    let of_ipv4 = Followed { v6: false, ..followed };
    let leading = actual.host.net.routes.iter().filter(|route| of_ipv4.leads(route));
    let indexes: BTreeSet<u32> = leading.map(|route| route.ifindex).collect();
    let uplinks = ways(actual, followed).uplinks;
    let ipv4 = |uplink: &Uplink| Ipv4::of(indexes.contains(&uplink.index));
    uplinks.iter().flat_map(|uplink| uplink.objects(actual, ipv4(uplink), (guarded, false))).collect()
}

/// What to say where some were left out.
pub(crate) fn left_out(actual: &Actual, followed: Followed) -> Option<String> {
    let Ways { left_out, .. } = ways(actual, followed);
    (left_out != 0).then(|| {
        format!(
            "the routes of this host lead by {left_out} more interfaces than fwd takes in by itself ({MOST}): what leaves by one of those is \
             refused (UplinkUnguarded), until `fwd uplink add INTERFACE` takes it in"
        )
    })
}

/// Names of interfaces that the host's routes lead by and that no programs guard, first those of default routes.
#[must_use]
pub fn unguarded(net: &NetConfig, records: &Records) -> Vec<String> {
    let followed = Followed::by(records.networks.iter().filter(|network| network.datapath.is_ebpf()));
    let leading = net.routes.iter().filter(|route| followed.leads(route));
    let mut indexes: Vec<(u8, u32)> =
        leading.map(|route| (route.destination.prefix_len().min(1), route.ifindex)).collect();
    indexes.sort_unstable();
    let mut names: Vec<String> = Vec::new();
    for link in indexes.into_iter().filter_map(|(_, index)| net.by_index(index)) {
        let is_known = records.uplink_hooks.contains(&link.index) && records.devices.contains(&link.index);
        if !is_known && !link.loopback && !names::is_made(link) && !names.contains(&link.name) {
            names.push(link.name.clone());
        }
    }
    names
}

/// Names of the interfaces that a unicast route of IPv4 leads by, of whatever table, and that can be uplinks.
#[must_use]
pub fn led_by(net: &NetConfig) -> Vec<String> {
    let of_ipv4 = net.routes.iter().filter(|route| matches!(route.destination, IpNet::V4(_)));
    let indexes: BTreeSet<u32> = of_ipv4.map(|route| route.ifindex).collect();
    let links = indexes.into_iter().filter_map(|index| net.by_index(index));
    links.filter(|link| is_way(net, link)).map(|link| link.name.clone()).collect()
}

/// What makes of an uplink one that stays, whoever leads through it.
pub(crate) fn asked(uplink: &Uplink) -> Object {
    Object::UplinkAsked(object::UplinkAsked { name: uplink.name.clone(), index: uplink.index })
}

/// The programs at an uplink in another place among those of others; none if they stand there.
pub(crate) fn ordered(actual: &Actual, uplink: &Uplink, to: TcxOrder) -> Option<Object> {
    let from = actual.records.uplinks.iter().find(|record| record.index == uplink.index)?.order;
    let object = object::UplinkOrder { name: uplink.name.clone(), index: uplink.index, from, to };
    let object = Object::UplinkOrder(object);
    (!actual.has(&object)).then_some(object)
}

/// Whether programs can guard it, and what leaves by it is the host's own business: not what is inside of a VRF, nor of `fwd`.
fn is_way(net: &NetConfig, link: &Link) -> bool {
    let is_vrf = |link: &Link| link.kind.as_deref() == Some(VRF);
    let controller = link.controller.and_then(|index| net.by_index(index));
    let of_vrf = is_vrf(link) || controller.is_some_and(is_vrf);
    link.up && !link.loopback && !names::is_made(link) && !of_vrf && !matches!(link.layer, LinkLayer::Other(_))
}

/// The interface as an uplink. One without an address of its own (unnumbered) is left from the address that the route names; one that has
/// lost it for a moment is known by the former one.
fn way(actual: &Actual, link: &Link) -> Uplink {
    let record = actual.records.uplinks.iter().find(|record| record.index == link.index);
    let known = record.map_or(Ipv4Addr::UNSPECIFIED, |record| record.address);
    Uplink::of(link, actual.host.net.ipv4(link.index).map_or(known, |net| net.addr()))
}
