//! IPv6 of the model: what a kernel does when a host begins to forward it.

use fwd_kernel::netlink::{Route, TABLE_MAIN};

use super::World;
use crate::{ALL_FORWARDING6, PROXY_NDP, accept_ra, disable_ipv6, forwarding6};

/// The host's address.
pub(in super::super) const ADDRESS: &str = "2001:db8::2/64";

impl World {
    /// A host whose eth0 has an address and a default route, both learnt by router advertisements.
    pub(in super::super) fn with_ipv6() -> Self {
        let mut world = Self::new();
        world.host.machine = 4711;
        for path in [ALL_FORWARDING6, PROXY_NDP] {
            world.host.sysctls.insert(path.into(), "0".into());
        }
        let usual = [(disable_ipv6("default"), "0"), (accept_ra("default"), "1"), (forwarding6("default"), "0")];
        world.host.sysctls.extend(usual.map(|(path, value)| (path, value.to_owned())));
        for name in ["lo", "eth0", "eth1"] {
            world.add_settings6(name);
        }
        world.host.net.addresses.push((2, ADDRESS.parse().expect("an address")));
        world.learn_route6("eth0");
        world
    }

    /// A default route by a router advertisement.
    pub(in super::super) fn learn_route6(&mut self, name: &str) {
        let ifindex = self.index(name);
        let (destination, gateway) = ("::/0".parse().expect("a route"), Some("fe80::1".parse().expect("an address")));
        let route = Route { destination, ifindex, gateway, metric: 1024, table: TABLE_MAIN, mtu: None };
        self.host.net.routes.push(route);
    }

    pub(in super::super) fn has_route6(&self) -> bool {
        self.host.net.default_routes6().next().is_some()
    }

    /// The settings of a new interface, where the kernel has IPv6.
    pub(super) fn add_settings6(&mut self, name: &str) {
        let sysctls = &mut self.host.sysctls;
        let Some(forwards) = sysctls.get(ALL_FORWARDING6).cloned() else { return };
        let off = sysctls.get(&disable_ipv6("default")).cloned().unwrap_or_default();
        let heeds = sysctls.get(&accept_ra("default")).cloned().unwrap_or_default();
        let settings = [(forwarding6(name), forwards), (accept_ra(name), heeds), (disable_ipv6(name), off)];
        sysctls.extend(settings);
    }

    /// Every interface follows; and a router keeps no route that it has by an advertisement, but where it is to heed them all the same.
    pub(super) fn forward6(&mut self, value: &str) {
        let sysctls = &mut self.host.sysctls;
        for name in self.host.net.links.iter().map(|link| link.name.as_str()).chain(["default"]) {
            if let Some(of_link) = sysctls.get_mut(&forwarding6(name)) {
                value.clone_into(of_link);
            }
        }
        if value == "1" {
            let links = &self.host.net.links;
            let name = |route: &Route| links.iter().find(|link| link.index == route.ifindex).map(|link| &link.name);
            let heeded = |route: &Route| {
                name(route).is_some_and(|name| sysctls.get(&accept_ra(name)).is_some_and(|value| value == "2"))
            };
            self.host.net.routes.retain(|route| route.gateway != "fe80::1".parse().ok() || heeded(route));
        }
    }
}
