//! Names by which an endpoint is found, besides that of its namespace.

use std::fmt;

use super::{super::super::shell, index_of};
use crate::{
    Actual,
    object::{Acts, Handling, Managed},
};
use fwd_base::HostName;

/// An endpoint is found by other names than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointNames {
    /// Name of the host-side veth.
    pub host_if: String,
    /// The names that it has.
    pub from: Vec<HostName>,
    /// Those that it is to have.
    pub to: Vec<HostName>,
}

impl Managed for EndpointNames {
    fn handling(&self) -> Handling {
        Handling::new("change", "revert", Acts::OnPins)
    }

    fn is_there(&self, actual: &Actual) -> bool {
        let index = index_of(actual, &self.host_if, None);
        let mut endpoints = actual.records.endpoints.iter();
        endpoints.any(|endpoint| Some(endpoint.index) == index && endpoint.aliases == self.to)
    }

    fn equivalent(&self, make: bool, pins: &str) -> Vec<String> {
        let names = if make { &self.to } else { &self.from };
        let mut lines = vec![shell::record("METADATA", &self.host_if, true, pins)];
        lines.extend(names.iter().map(|name| format!("# --alias {name}")));
        lines
    }
}

impl fmt::Display for EndpointNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "other names of {}: ", self.host_if)?;
        if self.to.is_empty() {
            return f.write_str("none");
        }
        f.write_str(&self.to.iter().map(HostName::as_str).collect::<Vec<_>>().join(", "))
    }
}
