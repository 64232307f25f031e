//! The name server at the gateway of a network.

use std::{fmt, net::IpAddr};

use super::super::{Acts, Handling, Managed};
use crate::Actual;

/// The name server of the host answers at the gateway of a network; its process is there while it does so for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameServer {
    /// The network.
    pub network: String,
    /// The addresses of its gateway.
    pub addresses: Vec<IpAddr>,
}

impl Managed for NameServer {
    fn handling(&self) -> Handling {
        Handling::new("start", "stop", Acts::OnPins).in_steps().notable()
    }

    fn is_there(&self, actual: &Actual) -> bool {
        actual.host.served.get(&self.network) == Some(&self.addresses)
    }

    fn equivalent(&self, make: bool, _: &str) -> Vec<String> {
        let addresses: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        let verb = if make { "answers" } else { "answers no more" };
        vec![format!(
            "# `fwd dns serve`, one process for all networks of the host, {verb} at {}, port 53",
            addresses.join(" and ")
        )]
    }
}

impl fmt::Display for NameServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "name server of network {}", self.network)
    }
}
