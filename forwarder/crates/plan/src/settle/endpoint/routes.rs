//! The routes inside of a namespace that come with an endpoint.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{Actual, EndpointRecord, RouteRequest, desired::Asked, settled::Network};
use fwd_base::{Error, Kind, Result};
use fwd_kernel::netlink::{Route, TABLE_MAIN};

/// Whether an endpoint that is to be made gets no default route: its network has no way out, it is asked for, or another endpoint of the
/// namespace has one already and nothing is said of which comes first.
pub(in crate::settle) fn has_no_default(
    asked: &Asked,
    actual: &Actual,
    network: &Network,
    kept: Option<&EndpointRecord>,
) -> bool {
    let metric = asked.options.metric.or(kept.and_then(|record| record.metric));
    network.treatment.internal
        || asked.options.no_default_route
        || kept.is_some_and(|record| record.no_default_route)
        || metric.is_none() && default_routes(actual, network).any(|it| comes_later(asked) || is_ours(actual, it))
}

/// Whether the default route of whoever was there first stays the only one: for a runtime that attaches several networks, in any order.
pub(in crate::settle) fn comes_later(asked: &Asked) -> bool {
    asked.id.owner.is_runtime() && asked.options.metric.is_none()
}

/// Default routes inside the target, of the families that the network has.
pub(in crate::settle) fn default_routes<'a>(
    actual: &'a Actual,
    network: &Network,
) -> impl Iterator<Item = &'a Route> + use<'a> {
    let (has_ipv4, has_ipv6) = (network.gateway.is_some(), network.gateway6.is_some());
    let routes = actual.target_netns().into_iter().flat_map(|inside| &inside.net.routes);
    let defaults = routes.filter(|route| route.destination.prefix_len() == 0 && route.table == TABLE_MAIN);
    defaults.filter(move |route| if route.destination.addr().is_ipv4() { has_ipv4 } else { has_ipv6 })
}

/// Whether a route inside the target leaves by the interface of an endpoint.
pub(in crate::settle) fn is_ours(actual: &Actual, route: &Route) -> bool {
    let Some(inside) = actual.target_netns() else { return false };
    let name = inside.net.name_of(route.ifindex);
    let mut own = actual.records.endpoints.iter().filter(|endpoint| endpoint.cookie == inside.cookie);
    own.any(|endpoint| endpoint.has_interface(&name))
}

/// The other routes of an endpoint that is to be made.
///
/// # Errors
/// [`Kind::Usage`] if there cannot be such a route, [`Kind::Unsupported`] if the programs would not keep to it, [`Kind::Conflict`] if the
/// namespace has one already.
pub(in crate::settle) fn settled(
    asked: &Asked,
    actual: &Actual,
    network: &Network,
    kept: Option<&EndpointRecord>,
) -> Result<Vec<(IpNet, IpAddr)>> {
    let mut routes = kept.map(|record| record.routes.clone()).unwrap_or_default();
    for route in &asked.options.routes {
        let found = checked(route, network)?;
        let occupied = actual.target_netns().and_then(|inside| {
            let same = |known: &&Route| known.destination == found.0 && known.metric == 0;
            inside.net.routes.iter().find(same).map(|known| inside.net.name_of(known.ifindex))
        });
        if let Some(interface) = occupied {
            let why = format!("{} has a route there already, through {interface}", asked.target);
            return Err(refuse(Kind::Conflict, route, why).remedy("leave it out, or delete the other one"));
        }
        if !routes.contains(&found) {
            routes.push(found);
        }
    }
    Ok(routes)
}

/// A route with its router.
fn checked(route: &RouteRequest, network: &Network) -> Result<(IpNet, IpAddr)> {
    let to = route.to;
    if to.trunc() != to {
        return Err(refuse(Kind::Usage, route, "it leads to an address inside of a network".into())
            .remedy(format!("--route {}", RouteRequest { to: to.trunc(), ..*route })));
    }
    if to.prefix_len() == 0 {
        return Err(refuse(Kind::Usage, route, "it is a default route".into())
            .remedy("leave it out: an endpoint gets one (--metric N decides between several)"));
    }
    let of_family = |gateway: &IpNet| gateway.addr().is_ipv4() == to.addr().is_ipv4();
    let Some(gateway) = network.gateways().find(of_family) else {
        let (family, other) = match to {
            IpNet::V4(_) => ("IPv4", "without --ipv4 off"),
            IpNet::V6(_) => ("IPv6", "with --ipv6 masquerade"),
        };
        let why = format!("network {} has no {family}", network.name);
        return Err(refuse(Kind::Unsupported, route, why).remedy(format!("leave it out, or use a network {other}")));
    };
    let (gateway, subnet) = (gateway.addr(), gateway.trunc());
    if subnet.contains(&to) || to.contains(&subnet) && to.prefix_len() == subnet.prefix_len() {
        let why = format!("it leads to {subnet}, which is on the link");
        return Err(refuse(Kind::Usage, route, why).remedy("leave it out"));
    }
    let via = route.via.unwrap_or(gateway);
    if !subnet.contains(&via) {
        let why = format!("the router {via} is not in {subnet}, the subnet of network {}", network.name);
        return Err(refuse(Kind::Usage, route, why).remedy(format!("leave the router out: {gateway} is taken")));
    }
    if via != gateway && network.datapath.is_ebpf() {
        let why = format!(
            "the programs forward by the destination alone, whichever router inside of network {}",
            network.name
        );
        return Err(refuse(Kind::Unsupported, route, why)
            .remedy(format!("leave the router out: {gateway} is taken; or use --datapath kernel")));
    }
    Ok((to, via))
}

fn refuse(kind: Kind, route: &RouteRequest, why: String) -> Error {
    Error::new(kind, "use", format!("--route {route}"), why)
}

/// What of the routes that are asked for an endpoint that is there has not, in words.
///
/// # Errors
/// The words.
pub(in crate::settle) fn same(asked: &Asked, record: &EndpointRecord, network: &Network) -> Result<(), String> {
    if asked.options.no_default_route && !record.no_default_route {
        return Err("it was attached without --no-default-route".into());
    }
    match (asked.options.metric, record.metric) {
        (None, _) => {}
        (Some(_), _) if record.no_default_route => return Err("it has no default route".into()),
        (Some(asked), Some(found)) if asked != found => {
            return Err(format!("the metric of its default route is {found}, not {asked}"));
        }
        (Some(asked), None) => return Err(format!("its default route was made without --metric {asked}")),
        (Some(_), Some(_)) => {}
    }
    for route in &asked.options.routes {
        let found = checked(route, network).map_err(|error| error.to_string())?;
        if !record.routes.contains(&found) {
            return Err(format!("it was attached without --route {route}"));
        }
    }
    Ok(())
}

/// What of routes an endpoint that is there has and is not asked for, or would have if it were made now, in words.
///
/// # Errors
/// The words.
pub(in crate::settle) fn exact(
    asked: &Asked,
    actual: &Actual,
    record: &EndpointRecord,
    network: &Network,
) -> Result<(), String> {
    if record.no_default_route && !has_no_default(asked, actual, network, None) {
        return Err("it was attached without a default route".into());
    }
    if let (None, Some(metric)) = (asked.options.metric, record.metric) {
        return Err(format!("its default route was made with --metric {metric}"));
    }
    let wanted: Vec<_> = asked.options.routes.iter().filter_map(|route| checked(route, network).ok()).collect();
    match record.routes.iter().find(|found| !wanted.contains(found)) {
        Some((to, via)) => Err(format!("it was attached with --route {to}={via}")),
        None => Ok(()),
    }
}
