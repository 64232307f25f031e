//! Routes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rtnetlink::{
    RouteMessageBuilder,
    packet_core::{NLM_F_CREATE, NLM_F_EXCL},
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        route::{
            RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteNextHop,
            RouteProtocol, RouteScope, RouteType, RouteVia,
        },
    },
};

use crate::netlink::Netlink;
use fwd_base::Result;

/// The main routing table.
pub const TABLE_MAIN: u32 = RouteHeader::RT_TABLE_MAIN as u32;

/// A unicast route. Of a route with several next hops, the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where to; the default route is the one to everything.
    pub destination: IpNet,
    /// Through which interface.
    pub ifindex: u32,
    /// By which router; none: the destination is on the link.
    pub gateway: Option<IpAddr>,
    /// The lower of two to the same destination wins.
    pub metric: u32,
    /// Routing table.
    pub table: u32,
    /// The MTU that it asks for by a metric, bytes.
    pub mtu: Option<u32>,
}

/// What becomes of packets by a route of which the kernel finds the interface itself, or that has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteKind {
    /// They go to this router.
    By(IpAddr),
    /// They are dropped.
    Blackhole,
    /// They are dropped, and who sent them is told that nobody is there.
    Unreachable,
    /// They are dropped, and who sent them is told that it is not allowed.
    Prohibit,
}

impl Netlink {
    /// The unicast routes of both families and all tables; one with several next hops is as many.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn routes(&self) -> Result<Vec<Route>> {
        self.routes_of(AddressFamily::Unspec)
    }

    /// Those of IPv4 alone, which takes half as long.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn routes_v4(&self) -> Result<Vec<Route>> {
        self.routes_of(AddressFamily::Inet)
    }

    fn routes_of(&self, family: AddressFamily) -> Result<Vec<Route>> {
        let mut query = RouteMessage::default();
        query.header.address_family = family;
        let objects = self.dump(&RouteNetlinkMessage::GetRoute(query));
        let objects = objects.map_err(|failure| failure.doing("list", "the routes"))?;
        Ok(objects.into_iter().flat_map(read).collect())
    }

    /// The IPv4 default route of the main table, the one of the lowest metric.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn default_route(&self) -> Result<Option<Route>> {
        let everything = IpNet::V4(Ipv4Net::default());
        let routes = self.routes()?.into_iter();
        Ok(routes.filter(|r| r.destination == everything && r.table == TABLE_MAIN).min_by_key(|route| route.metric))
    }

    /// Adds the default route by a router.
    ///
    /// # Errors
    /// [`Conflict`](fwd_base::Kind::Conflict) if there is one of the same metric; the kernel refuses a router that is not
    /// on the interface's link, and an interface that is down.
    pub fn add_default_route(&self, index: u32, gateway: impl Into<IpAddr>) -> Result<()> {
        let gateway = gateway.into();
        self.add_route(everything(gateway), index, Some(gateway))
    }

    /// Adds a route by a router with a metric; without one, with what the kernel takes: 0, or 1024 of IPv6.
    ///
    /// # Errors
    /// As [`add_default_route`](Self::add_default_route).
    pub fn add_route_by(&self, destination: IpNet, index: u32, gateway: IpAddr, metric: Option<u32>) -> Result<()> {
        let mut message = message(destination, index, Some(gateway));
        message.attributes.extend(metric.map(RouteAttribute::Priority));
        self.change(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_EXCL)
            .map_err(|failure| failure.doing("add", format!("route to {destination} through {}", self.label(index))))
    }

    /// Removes such a route.
    ///
    /// # Errors
    /// [`NotFound`](fwd_base::Kind::NotFound) if it is absent.
    pub fn del_route_by(&self, destination: IpNet, index: u32, gateway: IpAddr, metric: Option<u32>) -> Result<()> {
        let mut message = message(destination, index, Some(gateway));
        message.attributes.extend(metric.map(RouteAttribute::Priority));
        self.change(RouteNetlinkMessage::DelRoute(message), 0)
            .map_err(|failure| failure.doing("remove", format!("route to {destination} through {}", self.label(index))))
    }

    /// Adds a route that names no interface.
    ///
    /// # Errors
    /// [`Conflict`](fwd_base::Kind::Conflict) if there is one of the same metric; the kernel refuses a router that is on no link.
    pub fn add_route_of(&self, destination: IpNet, way: RouteKind, metric: u32) -> Result<()> {
        let message = RouteNetlinkMessage::NewRoute(way.message(destination, metric));
        self.change(message, NLM_F_CREATE | NLM_F_EXCL)
            .map_err(|failure| failure.doing("add", format!("route to {destination}")))
    }

    /// Removes such a route.
    ///
    /// # Errors
    /// [`NotFound`](fwd_base::Kind::NotFound) if it is absent.
    pub fn del_route_of(&self, destination: IpNet, way: RouteKind, metric: u32) -> Result<()> {
        self.change(RouteNetlinkMessage::DelRoute(way.message(destination, metric)), 0)
            .map_err(|failure| failure.doing("remove", format!("route to {destination}")))
    }

    /// Adds a route through an interface, by a router or on the link.
    ///
    /// # Errors
    /// As [`add_default_route`](Self::add_default_route).
    pub fn add_route(&self, destination: impl Into<IpNet>, index: u32, gateway: Option<IpAddr>) -> Result<()> {
        let destination = destination.into();
        let message = message(destination, index, gateway);
        self.change(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_EXCL)
            .map_err(|failure| failure.doing("add", format!("route to {destination} through {}", self.label(index))))
    }
}

/// What the default route by this router leads to.
fn everything(gateway: IpAddr) -> IpNet {
    match gateway {
        IpAddr::V4(_) => Ipv4Net::default().into(),
        IpAddr::V6(_) => Ipv6Net::default().into(),
    }
}

impl RouteKind {
    fn message(self, destination: IpNet, metric: u32) -> RouteMessage {
        let mut message = to(destination);
        message.attributes.push(RouteAttribute::Priority(metric));
        message.header.kind = match self {
            Self::By(router) => {
                message.attributes.push(by(router));
                RouteType::Unicast
            }
            Self::Blackhole => RouteType::BlackHole,
            Self::Unreachable => RouteType::Unreachable,
            Self::Prohibit => RouteType::Prohibit,
        };
        message
    }
}

fn message(destination: IpNet, index: u32, gateway: Option<IpAddr>) -> RouteMessage {
    let mut message = to(destination);
    message.attributes.push(RouteAttribute::Oif(index));
    match gateway {
        Some(gateway) => message.attributes.push(by(gateway)),
        None => message.header.scope = RouteScope::Link,
    }
    message
}

fn to(destination: IpNet) -> RouteMessage {
    let (network, length) = (destination.network(), destination.prefix_len());
    match network {
        IpAddr::V4(network) => RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(network, length).build(),
        IpAddr::V6(network) => RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(network, length).build(),
    }
}

fn by(router: IpAddr) -> RouteAttribute {
    RouteAttribute::Gateway(match router {
        IpAddr::V4(router) => RouteAddress::Inet(router),
        IpAddr::V6(router) => RouteAddress::Inet6(router),
    })
}

/// A route, or as many as it has next hops; none if it is none of a destination of ours.
fn read(object: RouteNetlinkMessage) -> Vec<Route> {
    let RouteNetlinkMessage::NewRoute(message) = object else { return Vec::new() };
    let header = message.header;
    if header.kind != RouteType::Unicast || header.flags.contains(RouteFlags::Cloned) {
        return Vec::new();
    }
    let everything = match header.address_family {
        AddressFamily::Inet => IpNet::V4(Ipv4Net::default()),
        AddressFamily::Inet6 => IpNet::V6(Ipv6Net::default()),
        _ => return Vec::new(),
    };
    let table = u32::from(header.table);
    let mut route = Route { destination: everything, ifindex: 0, gateway: None, metric: 0, table, mtu: None };
    let mut hops = Vec::new();
    for attribute in message.attributes {
        match attribute {
            RouteAttribute::MultiPath(several) => hops = several,
            RouteAttribute::Destination(address) => {
                let destination = ip(&address).and_then(|ip| IpNet::new(ip, header.destination_prefix_length).ok());
                let Some(destination) = destination else { return Vec::new() };
                route.destination = destination;
            }
            RouteAttribute::Priority(metric) => route.metric = metric,
            RouteAttribute::Table(table) => route.table = table,
            // What a router advertises for its link the interface has as well, and its word changes by itself.
            RouteAttribute::Metrics(metrics) if header.protocol != RouteProtocol::Ra => {
                route.mtu = metrics.into_iter().find_map(|metric| match metric {
                    RouteMetric::Mtu(mtu) => Some(mtu),
                    _ => None,
                });
            }
            attribute => take_hop(&mut route, attribute),
        }
    }
    if hops.is_empty() {
        return vec![route];
    }
    let by = |hop: RouteNextHop| {
        let mut route = Route { ifindex: hop.interface_index, ..route.clone() };
        hop.attributes.into_iter().for_each(|attribute| take_hop(&mut route, attribute));
        route
    };
    hops.into_iter().map(by).collect()
}

/// What a route and each of several next hops say alike.
fn take_hop(route: &mut Route, attribute: RouteAttribute) {
    match attribute {
        RouteAttribute::Oif(index) => route.ifindex = index,
        RouteAttribute::Gateway(address) => route.gateway = ip(&address),
        RouteAttribute::Via(RouteVia::Inet6(address)) => route.gateway = Some(address.into()),
        _ => {}
    }
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}
