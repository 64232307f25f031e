//! The host answers for an endpoint on the link of the uplink.

use std::{fmt, net::Ipv6Addr};

use super::super::{Acts, Handling, Managed};
use crate::Actual;
use fwd_base::text::word;

/// The host answers there by neighbour discovery for an endpoint, whose address its neighbours take for that of another of them (RFC 4861
/// §7.2.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyNeighbour {
    /// Name of the uplink.
    pub uplink: String,
    /// The endpoint's address.
    pub address: Ipv6Addr,
}

impl Managed for ProxyNeighbour {
    fn handling(&self) -> Handling {
        Handling::new("add", "remove", Acts::OnHost)
    }

    fn is_there(&self, actual: &Actual) -> bool {
        let host = &actual.host.net;
        host.link(&self.uplink).is_some_and(|link| host.proxies.contains(&(link.index, self.address)))
    }

    fn equivalent(&self, make: bool, _: &str) -> Vec<String> {
        let verb = if make { "add" } else { "del" };
        vec![format!("ip -6 neigh {verb} proxy {} dev {}", self.address, word(&self.uplink))]
    }
}

impl fmt::Display for ProxyNeighbour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "proxy neighbour {} of {}", self.address, self.uplink)
    }
}
