//! A host-side veth as a port of the bridge, and what is told of it beforehand, so that nobody has to ask.

mod host_side;
mod proxy;

use std::{fmt, net::IpAddr};

pub use self::{host_side::HostSide, proxy::ProxyNeighbour};
use super::{super::shell, Acts, Handling, Managed, sysctl::key};
use crate::{Actual, disable_ipv6, rp_filter};
use fwd_base::text::{mac, word};
use fwd_kernel::netlink::Mac;

/// A host-side veth is a port of the bridge. What comes by it is for the bridge: of its own it has no IPv6, or it would take up what the
/// bridge never passes on (groups of the link, IEEE 802.1Q 8.6.3), router advertisements in such a frame among it. Of IPv4 no source is right there:
/// no rule for the bridge, and none at it, would see such a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Name of the host-side veth.
    pub host_if: String,
    /// Name of the bridge.
    pub bridge: String,
    /// The bridge learns hardware addresses behind it, and sends there what is for an unknown one.
    pub learns: bool,
    /// The bridge passes nothing on from it to other such ports.
    pub isolated: bool,
}

impl Managed for Port {
    fn handling(&self) -> Handling {
        Handling::new("add", "remove", Acts::OnHost)
    }

    fn is_there(&self, actual: &Actual) -> bool {
        let host = &actual.host.net;
        let bridge = host.link(&self.bridge).map(|link| link.index);
        bridge.is_some() && host.link(&self.host_if).is_some_and(|link| link.controller == bridge)
    }

    fn equivalent(&self, make: bool, _: &str) -> Vec<String> {
        let host_if = word(&self.host_if);
        if !make {
            return vec![format!("ip link set {host_if} nomaster")];
        }
        let mut lines = vec![
            format!("sysctl -ew {}=1 {}=1", key(&disable_ipv6(&self.host_if)), key(&rp_filter(&self.host_if))),
            format!("ip link set {host_if} master {}", word(&self.bridge)),
        ];
        lines.extend((!self.learns).then(|| format!("bridge link set dev {host_if} learning off flood off")));
        lines.extend(self.isolated.then(|| format!("bridge link set dev {host_if} isolated on")));
        lines
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "port {} of bridge {}", self.host_if, self.bridge)
    }
}

/// A static forwarding entry of the bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fdb {
    /// Name of the host-side veth.
    pub host_if: String,
    /// Hardware address behind it.
    pub mac: Mac,
}

impl Managed for Fdb {
    fn handling(&self) -> Handling {
        Handling::new("add", "remove", Acts::OnHost)
    }

    fn is_there(&self, actual: &Actual) -> bool {
        let entry = |index| actual.host.fdb.iter().any(|it| it.port == index && it.mac == self.mac && it.fixed);
        actual.host.net.link(&self.host_if).is_some_and(|link| entry(link.index))
    }

    fn equivalent(&self, make: bool, _: &str) -> Vec<String> {
        let (replace, mac, host_if) = (shell::replace(make), mac(self.mac), word(&self.host_if));
        vec![format!("bridge fdb {replace} {mac} dev {host_if} master static")]
    }
}

impl fmt::Display for Fdb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "forwarding entry {} of {}", mac(self.mac), self.host_if)
    }
}

/// A permanent neighbour of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Name of the bridge.
    pub bridge: String,
    /// The endpoint's address.
    pub address: IpAddr,
    /// Its hardware address.
    pub mac: Mac,
}

impl Managed for Neighbour {
    fn handling(&self) -> Handling {
        Handling::new("add", "remove", Acts::OnHost)
    }

    fn is_there(&self, actual: &Actual) -> bool {
        actual.host.net.has_neighbour(&self.bridge, self.address, self.mac)
    }

    fn equivalent(&self, make: bool, _: &str) -> Vec<String> {
        let (replace, mac, bridge) = (shell::replace(make), mac(self.mac), word(&self.bridge));
        vec![format!("ip neigh {replace} {} lladdr {mac} dev {bridge} nud permanent", self.address)]
    }
}

impl fmt::Display for Neighbour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "neighbour {} of {}", self.address, self.bridge)
    }
}
