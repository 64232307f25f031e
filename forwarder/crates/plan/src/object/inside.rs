//! What is inside the namespace of an endpoint.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;

use super::{super::shell, Acts, Handling, Managed};
use crate::{Actual, NetConfig, TargetRef, accept_ra, disable_ipv6, families::everything, sysctls::OFF};
use fwd_base::text::{mac, word};
use fwd_kernel::netlink::{Mac, Route};

/// Whether something is there inside the target.
fn inside(actual: &Actual, is_there: impl FnOnce(&NetConfig) -> bool) -> bool {
    actual.target_netns().is_some_and(|inside| is_there(&inside.net))
}

/// `lo` of a namespace is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loopback {
    /// The namespace.
    pub ns: TargetRef,
}

impl Managed for Loopback {
    fn handling(&self) -> Handling {
        Handling::new("set up", "set down", Acts::Inside)
    }

    fn is_there(&self, actual: &Actual) -> bool {
        inside(actual, |net| net.links.iter().any(|link| link.loopback && link.up))
    }

    fn equivalent(&self, make: bool, _: &str) -> Vec<String> {
        vec![format!("{} link set lo {}", shell::ip(&self.ns), shell::up(make))]
    }
}

impl fmt::Display for Loopback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lo in {}", self.ns)
    }
}

/// An address inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NsAddress {
    /// The namespace.
    pub ns: TargetRef,
    /// The interface.
    pub ns_if: String,
    /// The address with the length of its prefix.
    pub address: IpNet,
}

impl Managed for NsAddress {
    fn handling(&self) -> Handling {
        Handling::new("add", "remove", Acts::Inside)
    }

    fn is_there(&self, actual: &Actual) -> bool {
        inside(actual, |net| net.has_address(&self.ns_if, self.address))
    }

    fn equivalent(&self, make: bool, _: &str) -> Vec<String> {
        let (ip, add, nodad) = (shell::ip(&self.ns), shell::add(make), shell::nodad(make, self.address));
        vec![format!("{ip} addr {add} {} dev {}{nodad}", self.address, self.ns_if)]
    }
}

impl fmt::Display for NsAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "address {} of {} in {}", self.address, self.ns_if, self.ns)
    }
}

/// The interface inside takes addresses of IPv6 that are given to it, and no others: IPv6 is on there, router advertisements are not heeded
/// (any namespace of the network could send one), and addresses are used without looking for others that have them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NsIpv6 {
    /// The namespace.
    pub ns: TargetRef,
    /// The interface.
    pub ns_if: String,
}

impl NsIpv6 {
    /// Path and value of each sysctl.
    #[must_use]
    pub fn settings(ns_if: &str) -> [(String, &'static str); 3] {
        [(disable_ipv6(ns_if), OFF), (accept_ra(ns_if), OFF), (format!("net/ipv6/conf/{ns_if}/accept_dad"), OFF)]
    }
}

impl Managed for NsIpv6 {
    fn handling(&self) -> Handling {
        Handling::new("set", "reset", Acts::Inside)
    }

    fn is_there(&self, actual: &Actual) -> bool {
        actual
            .target_netns()
            .is_some_and(|inside| inside.ipv6_ready.contains(&self.ns_if) && inside.net.link(&self.ns_if).is_some())
    }

    fn equivalent(&self, make: bool, _: &str) -> Vec<String> {
        if !make {
            return vec![format!("# they go with {}", self.ns_if)];
        }
        let settings = Self::settings(&self.ns_if);
        let settings = settings.iter().map(|(path, value)| format!("{}={value}", super::sysctl::key(path)));
        let settings = settings.collect::<Vec<_>>().join(" ");
        vec![format!("nsenter --net={} sysctl -w {settings}", shell::netns_path(&self.ns))]
    }
}

impl fmt::Display for NsIpv6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IPv6 of {} in {}", self.ns_if, self.ns)
    }
}

/// The interface inside is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NsLinkUp {
    /// The namespace.
    pub ns: TargetRef,
    /// The interface.
    pub ns_if: String,
    /// Its other end, which carries packets from then on.
    pub host_if: String,
}

impl Managed for NsLinkUp {
    fn handling(&self) -> Handling {
        Handling::new("set up", "set down", Acts::Inside)
    }

    fn is_there(&self, actual: &Actual) -> bool {
        inside(actual, |net| net.link(&self.ns_if).is_some_and(|link| link.up))
    }

    fn equivalent(&self, make: bool, _: &str) -> Vec<String> {
        vec![format!("{} link set {} {}", shell::ip(&self.ns), word(&self.ns_if), shell::up(make))]
    }
}

impl fmt::Display for NsLinkUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.ns_if, self.ns)
    }
}

/// The interface inside finishes what it sends, as XDP needs it, and takes frames from XDP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NsOffloads {
    /// The namespace.
    pub ns: TargetRef,
    /// The interface.
    pub ns_if: String,
}

impl Managed for NsOffloads {
    fn handling(&self) -> Handling {
        Handling::new("set", "reset", Acts::Inside)
    }

    fn is_there(&self, actual: &Actual) -> bool {
        actual
            .target_netns()
            .is_some_and(|inside| inside.xdp_ready.contains(&self.ns_if) && inside.net.link(&self.ns_if).is_some())
    }

    fn equivalent(&self, make: bool, _: &str) -> Vec<String> {
        let (finish, take) = if make { ("off", "on") } else { ("on", "off") };
        let (path, ns_if) = (shell::netns_path(&self.ns), &self.ns_if);
        vec![format!("nsenter --net={path} ethtool -K {ns_if} tx {finish} txvlan {finish} gro {take}")]
    }
}

impl fmt::Display for NsOffloads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "offloads of {} in {}", self.ns_if, self.ns)
    }
}

/// A default route inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NsDefaultRoute {
    /// The namespace.
    pub ns: TargetRef,
    /// The interface.
    pub ns_if: String,
    /// The router.
    pub gateway: IpAddr,
    /// Its metric; none: the kernel's.
    pub metric: Option<u32>,
}

impl NsDefaultRoute {
    /// Everything, of the router's family.
    #[must_use]
    pub fn destination(&self) -> IpNet {
        everything(self.gateway)
    }
}

impl Managed for NsDefaultRoute {
    fn handling(&self) -> Handling {
        Handling::new("add", "remove", Acts::Inside)
    }

    fn is_there(&self, actual: &Actual) -> bool {
        inside(actual, |net| {
            let index = net.link(&self.ns_if).map(|link| link.index);
            let mut routes = net.routes.iter();
            routes.any(|route| {
                route.destination == self.destination()
                    && Some(route.ifindex) == index
                    && route.gateway == Some(self.gateway)
                    && self.metric.is_none_or(|metric| route.metric == metric)
            })
        })
    }

    fn equivalent(&self, make: bool, _: &str) -> Vec<String> {
        let (ip, add) = (shell::ip(&self.ns), shell::add(make));
        let family = if self.gateway.is_ipv6() { " -6" } else { "" };
        let metric = self.metric.map(|metric| format!(" metric {metric}")).unwrap_or_default();
        vec![format!("{ip}{family} route {add} default via {} dev {}{metric}", self.gateway, self.ns_if)]
    }
}

/// Another route inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NsRoute {
    /// The namespace.
    pub ns: TargetRef,
    /// The interface.
    pub ns_if: String,
    /// Where it leads.
    pub to: IpNet,
    /// By which router.
    pub via: IpAddr,
}

impl Managed for NsRoute {
    fn handling(&self) -> Handling {
        Handling::new("add", "remove", Acts::Inside)
    }

    fn is_there(&self, actual: &Actual) -> bool {
        inside(actual, |net| {
            let index = net.link(&self.ns_if).map(|link| link.index);
            let is_it = |route: &&Route| (route.destination, route.gateway) == (self.to, Some(self.via));
            net.routes.iter().filter(is_it).any(|route| Some(route.ifindex) == index)
        })
    }

    fn equivalent(&self, make: bool, _: &str) -> Vec<String> {
        let (ip, add) = (shell::ip(&self.ns), shell::add(make));
        vec![format!("{ip} route {add} {} via {} dev {}", self.to, self.via, word(&self.ns_if))]
    }
}

impl fmt::Display for NsRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "route to {} via {} in {}", self.to, self.via, self.ns)
    }
}

impl fmt::Display for NsDefaultRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "default route via {} in {}", self.gateway, self.ns)
    }
}

/// The gateway as a permanent neighbour inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NsNeighbour {
    /// The namespace.
    pub ns: TargetRef,
    /// The interface.
    pub ns_if: String,
    /// The gateway's address.
    pub gateway: IpAddr,
    /// Its hardware address.
    pub mac: Mac,
}

impl Managed for NsNeighbour {
    fn handling(&self) -> Handling {
        Handling::new("add", "remove", Acts::Inside)
    }

    fn is_there(&self, actual: &Actual) -> bool {
        inside(actual, |net| net.has_neighbour(&self.ns_if, self.gateway, self.mac))
    }

    fn equivalent(&self, make: bool, _: &str) -> Vec<String> {
        let (ip, replace, mac) = (shell::ip(&self.ns), shell::replace(make), mac(self.mac));
        vec![format!("{ip} neigh {replace} {} lladdr {mac} dev {} nud permanent", self.gateway, self.ns_if)]
    }
}

impl fmt::Display for NsNeighbour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "neighbour {} in {}", self.gateway, self.ns)
    }
}
