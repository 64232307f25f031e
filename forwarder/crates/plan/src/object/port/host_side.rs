//! A host-side veth that is no port of a bridge.

use std::fmt;

use super::super::{Acts, Handling, Managed, sysctl::key};
use crate::{
    Actual, Host, arp_ignore, disable_ipv6, forwarding, rp_filter,
    sysctls::{OFF, ON},
};
use fwd_base::text::word;
use fwd_kernel::netlink::{Link, Mac};

/// A host-side veth that is no port takes up nothing for itself: its program hands on whatever comes by it. Were that gone, root inside could speak
/// to it as to a router, or to the host by an interface that no rule of a firewall names, and advertise himself as a router: so it has no IPv6, no source of
/// IPv4 is right there, and it answers no question of ARP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSide {
    /// Its name.
    pub host_if: String,
    /// Name of the network's bridge.
    pub bridge: String,
    /// Hardware address inside.
    pub mac: Mac,
}

impl HostSide {
    /// The sysctls of IPv4 that it takes, and their values.
    #[must_use]
    pub fn sysctls(&self) -> [(String, &'static str); 3] {
        let name = &self.host_if;
        [(forwarding(name), OFF), (rp_filter(name), ON), (arp_ignore(name), "8")]
    }

    /// Whether an interface is closed so, as far as was read.
    pub(crate) fn is_closed(host: &Host, host_veth: &Link) -> bool {
        let is_filtered = host.sysctls.get(&rp_filter(&host_veth.name)).is_none_or(|value| value != OFF);
        is_filtered && host_veth.controller.is_none()
    }
}

impl Managed for HostSide {
    fn handling(&self) -> Handling {
        Handling::new("close", "open", Acts::OnHost)
    }

    /// The endpoint is a neighbour at the bridge: it becomes one after this was done.
    fn is_there(&self, actual: &Actual) -> bool {
        let net = &actual.host.net;
        let (Some(bridge), Some(host_veth)) = (net.link(&self.bridge), net.link(&self.host_if)) else { return false };
        let is_own = |mac| mac == Some(self.mac);
        let mut neighbours = net.neighbours.iter();
        Self::is_closed(&actual.host, host_veth)
            && neighbours.any(|it| it.permanent && it.ifindex == bridge.index && is_own(it.mac))
    }

    fn equivalent(&self, make: bool, _: &str) -> Vec<String> {
        if !make {
            // They go with the interface.
            return Vec::new();
        }
        let sysctls = [(disable_ipv6(&self.host_if), ON)].into_iter().chain(self.sysctls());
        let sysctls = sysctls.map(|(path, value)| format!("sysctl -ew {}={value}", key(&path)));
        sysctls.chain([format!("ip link set {} nomaster", word(&self.host_if))]).collect()
    }
}

impl fmt::Display for HostSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "host-side veth {}, which is no port", self.host_if)
    }
}
