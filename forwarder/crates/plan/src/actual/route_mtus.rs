//! The MTUs that routes ask for by a metric (`ip route … mtu`). The kernel's forwarding keeps to them, of IPv6 to those that are locked; it tells
//! programs only such, and not apart from what ICMP has told the host.

use std::collections::BTreeMap;

use ipnet::IpNet;

use fwd_kernel::netlink::{Route, TABLE_MAIN};

/// How many prefixes the programs can be told.
const ROUTE_MTUS: usize = 4096;

/// What the programs are to know of the main table: by interface and prefix the MTU that the route asks for, bytes, and 0 for prefixes
/// within whose routes ask for none. If those are too many they are left out: a packet is cut rather than lost.
#[must_use]
pub fn route_mtus(routes: &[Route]) -> BTreeMap<(u32, IpNet), u32> {
    let mut held: BTreeMap<(u32, IpNet), &Route> = BTreeMap::new();
    for route in routes.iter().filter(|route| route.table == TABLE_MAIN) {
        let other = held.entry((route.ifindex, route.destination)).or_insert(route);
        if route.metric < other.metric {
            *other = route;
        }
    }
    let asking: Vec<(u32, IpNet)> = held.iter().filter(|(_, route)| route.mtu.is_some()).map(|(key, _)| *key).collect();
    if asking.is_empty() {
        return BTreeMap::new();
    }
    let within = |(ifindex, prefix): &(u32, IpNet)| {
        asking.iter().any(|(interface, outer)| interface == ifindex && outer.contains(prefix))
    };
    let known = held.into_iter().filter(|(key, _)| within(key));
    let mut mtus: BTreeMap<_, _> = known.map(|(key, route)| (key, route.mtu.unwrap_or_default())).collect();
    if mtus.len() > ROUTE_MTUS {
        mtus.retain(|_, mtu| *mtu != 0);
    }
    while mtus.len() > ROUTE_MTUS {
        mtus.pop_last();
    }
    mtus
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(destination: &str, metric: u32, mtu: Option<u32>) -> Route {
        let destination = destination.parse().expect("a prefix");
        Route { destination, ifindex: 2, gateway: None, metric, table: TABLE_MAIN, mtu }
    }

    fn told(routes: &[Route]) -> Vec<(String, u32)> {
        route_mtus(routes).into_iter().map(|((_, prefix), mtu)| (prefix.to_string(), mtu)).collect()
    }

    #[test]
    fn routes_within_one_that_asks_are_told_apart() {
        let routes = [
            route("0.0.0.0/0", 0, None),
            route("203.0.113.0/24", 0, Some(1400)),
            route("203.0.113.128/25", 0, None),
            route("203.0.113.129/32", 0, Some(1300)),
            route("198.51.100.0/24", 0, None),
            route("2001:db8::/32", 0, Some(1280)),
            route("2001:db8:1::/48", 0, None),
            route("2001:db9::/32", 0, None),
        ];
        let expected = [
            ("203.0.113.0/24", 1400),
            ("203.0.113.128/25", 0),
            ("203.0.113.129/32", 1300),
            ("2001:db8::/32", 1280),
            ("2001:db8:1::/48", 0),
        ];
        assert_eq!(told(&routes), expected.map(|(prefix, mtu)| (prefix.to_owned(), mtu)));
        assert_eq!(told(&routes[..1]), []);
    }

    #[test]
    fn the_lower_metric_holds_and_other_tables_do_not() {
        let mut other = route("203.0.113.0/24", 0, Some(600));
        other.table = 100;
        let routes = [route("203.0.113.0/24", 20, Some(1400)), route("203.0.113.0/24", 10, Some(1300)), other];
        assert_eq!(told(&routes), [("203.0.113.0/24".to_owned(), 1300)]);
    }

    #[test]
    fn routes_by_two_interfaces_are_told_apart() {
        let mut other = route("0.0.0.0/0", 200, Some(1300));
        other.ifindex = 3;
        let told = route_mtus(&[route("0.0.0.0/0", 0, None), other.clone()]);
        assert_eq!(told.into_iter().collect::<Vec<_>>(), [((3, ipnet::Ipv4Net::default().into()), 1300)]);
    }

    #[test]
    fn of_too_many_those_that_ask_are_told() {
        let mut routes = vec![route("0.0.0.0/0", 0, Some(1400))];
        let plain = (0..5000_u32).map(|number| {
            let destination = ipnet::Ipv4Net::new((0x0100_0000 + number * 256).into(), 24).expect("a prefix");
            Route { destination: destination.into(), ..route("0.0.0.0/0", 0, None) }
        });
        routes.extend(plain);
        assert_eq!(told(&routes), [("0.0.0.0/0".to_owned(), 1400)]);
    }
}
