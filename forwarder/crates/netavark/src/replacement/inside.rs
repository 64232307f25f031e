//! What podman expects of a container besides its network's own business: routes by other routers than its gateway, those by which nothing is sent, and
//! that what comes by one of several networks is taken whichever the host would answer by.

use std::{net::IpAddr, path::Path};

use super::failure::Result;
use crate::input::{Network, Route};
use fwd_base::Kind;
use fwd_kernel::{
    netlink::{Netlink, RouteKind},
    netns::Netns,
    sysctl,
};

/// See `rp_filter` of the kernel's ip-sysctl.rst.
const LOOSE: &str = "2";
/// Metric of a route that is given none, as netavark has it.
const METRIC: u32 = 100;

/// Takes out of a network the routes that are set here. Where one of them leads to a router among the containers, packets have to be forwarded by
/// who heeds routers, which the kernel does and the programs do not.
pub(super) fn taken(network: &mut Network) {
    let gateways: Vec<IpAddr> = network.subnets.iter().filter_map(|subnet| subnet.gateway).collect();
    let is_plain = |route: &Route| {
        let by_gateway = route.gateway.is_none_or(|router| gateways.contains(&router));
        by_gateway && route.metric.is_none() && matches!(route.route_type.as_deref(), None | Some("" | "unicast"))
    };
    let subnets = &network.subnets;
    let is_among = |router: &IpAddr| !gateways.contains(router) && subnets.iter().any(|it| it.subnet.contains(router));
    if network.routes.iter().filter_map(|route| route.gateway.as_ref()).any(is_among) {
        network.options.entry("datapath".into()).or_insert_with(|| "kernel".into());
    }
    network.routes.retain(is_plain);
}

/// Sets the routes of a network that are taken out of it, and has sources checked loosely at the bridge and inside, as netavark does.
///
/// # Errors
/// There is such a route, or its router is on no link.
pub(super) fn set(netns: &Path, network: &Network, bridge: Option<&str>, ifname: &str) -> Result<()> {
    let inside = Netns::open_path(netns)?;
    bridge.map_or(Ok(()), check_loosely)?;
    inside.run(|| check_loosely(ifname))?;
    let ways = ways(network)?;
    if ways.is_empty() {
        return Ok(());
    }
    let netlink = Netlink::open(&inside)?;
    for (route, way) in ways {
        netlink.add_route_of(route.destination, way, route.metric.unwrap_or(METRIC))?;
    }
    Ok(())
}

/// A source that any interface leads to is taken (RFC 3704 section 2.4).
fn check_loosely(interface: &str) -> fwd_base::Result<()> {
    sysctl::write(&format!("net/ipv4/conf/{interface}/rp_filter"), LOOSE)
}

/// Removes them, as far as they are there: those by an interface that is gone went with it.
///
/// # Errors
/// The kernel refuses.
pub(super) fn clear(netns: &Path, network: &Network) -> Result<()> {
    let ways = ways(network).unwrap_or_default();
    if ways.is_empty() || !netns.exists() {
        return Ok(());
    }
    let netlink = Netlink::open(&Netns::open_path(netns)?)?;
    for (route, way) in ways {
        match netlink.del_route_of(route.destination, way, route.metric.unwrap_or(METRIC)) {
            Err(error) if error.kind != Kind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

/// The routes that are set here, with what becomes of packets by each.
///
/// # Errors
/// There is no such type.
fn ways(network: &Network) -> Result<Vec<(&Route, RouteKind)>> {
    let mut others = network.clone();
    taken(&mut others);
    let mut ways = Vec::new();
    for route in network.routes.iter().filter(|route| !others.routes.contains(route)) {
        let way = match (route.route_type.as_deref().unwrap_or_default(), route.gateway) {
            ("" | "unicast", Some(router)) => RouteKind::By(router),
            ("blackhole", None) => RouteKind::Blackhole,
            ("unreachable", None) => RouteKind::Unreachable,
            ("prohibit", None) => RouteKind::Prohibit,
            _ => return Err(super::failure::Failure::new(format!("invalid route to {}", route.destination))),
        };
        ways.push((route, way));
    }
    Ok(ways)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn network(routes: Value) -> Network {
        let subnets = json!([{ "subnet": "10.7.0.0/24", "gateway": "10.7.0.1" }, { "subnet": "fd00::/64", "gateway": "fd00::1" }]);
        super::super::input::read(json!({ "name": "web", "subnets": subnets, "routes": routes })).expect("a network")
    }

    #[test]
    fn routes_by_the_gateway_are_the_networks_and_others_are_set_inside() {
        let to = |third: u8, members: Value| {
            let mut route = json!({ "destination": format!("10.9.{third}.0/24") });
            route.as_object_mut().expect("an object").extend(members.as_object().expect("an object").clone());
            route
        };
        let routes = [
            to(1, json!({ "gateway": "10.7.0.1" })),
            to(2, json!({ "gateway": "10.91.0.1" })),
            to(3, json!({ "route_type": "blackhole" })),
            to(4, json!({ "gateway": "10.7.0.1", "metric": 7 })),
        ];
        let mut asked = network(json!(routes));
        let ways: Vec<_> = ways(&asked).expect("ways").into_iter().map(|(_, way)| way).collect();
        let by = |text: &str| RouteKind::By(text.parse().expect("an address"));
        assert_eq!(ways, [by("10.91.0.1"), RouteKind::Blackhole, by("10.7.0.1")]);
        taken(&mut asked);
        assert_eq!((asked.routes.len(), asked.options.get("datapath")), (1, None));
        // A container that is a router.
        let mut asked = network(json!([to(2, json!({ "gateway": "10.7.0.9" }))]));
        taken(&mut asked);
        assert_eq!((asked.routes.len(), asked.options["datapath"].as_str()), (0, "kernel"));
        assert!(super::ways(&network(json!([to(2, json!({ "route_type": "x" }))]))).is_err());
    }
}
