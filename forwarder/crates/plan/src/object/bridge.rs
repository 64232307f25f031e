//! The bridge of a network.

use std::fmt;

use ipnet::IpNet;

use super::{super::shell, Acts, Handling, Managed};
use crate::Actual;
use fwd_base::text::{mac, word};
use fwd_kernel::netlink::BridgeSpec;

impl Managed for BridgeSpec {
    fn handling(&self) -> Handling {
        Handling::new("create", "delete", Acts::OnHost).notable()
    }

    fn is_there(&self, actual: &Actual) -> bool {
        actual.host.net.link(&self.name).is_some_and(|link| actual.host.owner.has_bridge(link))
    }

    fn equivalent(&self, make: bool, _: &str) -> Vec<String> {
        shell::link(&self.name, &self.alias, make, || {
            format!("address {} mtu {} type bridge stp_state 0", mac(self.mac), self.mtu)
        })
    }
}

/// The gateway's address on the bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayAddress {
    /// Name of the bridge.
    pub bridge: String,
    /// The address with the length of its prefix.
    pub address: IpNet,
}

impl Managed for GatewayAddress {
    fn handling(&self) -> Handling {
        Handling::new("add", "remove", Acts::OnHost)
    }

    fn is_there(&self, actual: &Actual) -> bool {
        actual.host.net.has_address(&self.bridge, self.address)
    }

    fn equivalent(&self, make: bool, _: &str) -> Vec<String> {
        let nodad = shell::nodad(make, self.address);
        vec![format!("ip addr {} {} dev {}{nodad}", shell::add(make), self.address, word(&self.bridge))]
    }
}

impl fmt::Display for GatewayAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "address {} of {}", self.address, self.bridge)
    }
}

/// An interface is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkUp {
    /// Its name.
    pub name: String,
}

impl Managed for LinkUp {
    fn handling(&self) -> Handling {
        Handling::new("set up", "set down", Acts::OnHost)
    }

    fn is_there(&self, actual: &Actual) -> bool {
        actual.host.net.link(&self.name).is_some_and(|link| link.up)
    }

    fn equivalent(&self, make: bool, _: &str) -> Vec<String> {
        vec![format!("ip link set {} {}", word(&self.name), shell::up(make))]
    }
}

impl fmt::Display for LinkUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "interface {}", self.name)
    }
}
