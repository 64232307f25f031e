//! A host-side veth that is no port of a bridge.

use std::fmt;

use super::super::{Acts, Handling, Managed, sysctl::key};
use crate::{Actual, disable_ipv6, forwarding};
use fwd_kernel::netlink::Mac;

/// A host-side veth that is no port takes up nothing for itself: its program hands on whatever comes by it. Were that gone, root inside could speak
/// to it as to a router, and advertise himself as one: so of its own it has no IPv6, and forwards nothing. What is for the host's own IPv4 it would still
/// take up, as a port's bridge would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSide {
    /// Its name.
    pub host_if: String,
    /// Name of the network's bridge.
    pub bridge: String,
    /// Hardware address inside.
    pub mac: Mac,
}

impl Managed for HostSide {
    fn handling(&self) -> Handling {
        Handling::new("close", "open", Acts::OnHost)
    }

    /// The endpoint is a neighbour at the bridge: it becomes one after this was done.
    fn is_there(&self, actual: &Actual) -> bool {
        let net = &actual.host.net;
        let (Some(bridge), Some(_)) = (net.link(&self.bridge), net.link(&self.host_if)) else { return false };
        let is_own = |mac| mac == Some(self.mac);
        net.neighbours.iter().any(|it| it.permanent && it.ifindex == bridge.index && is_own(it.mac))
    }

    fn equivalent(&self, make: bool, _: &str) -> Vec<String> {
        if !make {
            // They go with the interface.
            return Vec::new();
        }
        [(disable_ipv6(&self.host_if), 1), (forwarding(&self.host_if), 0)]
            .map(|(path, value)| format!("sysctl -ew {}={value}", key(&path)))
            .into()
    }
}

impl fmt::Display for HostSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "host-side veth {}, which is no port", self.host_if)
    }
}
