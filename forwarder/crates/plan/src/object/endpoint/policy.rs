//! Rules of an endpoint about whom it speaks with.

use std::fmt;

use super::{Acts, Handling, Managed, shell};
use crate::Actual;
use fwd_dataplane::Rule;

/// An endpoint has these rules, and no others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointPolicy {
    /// Name of the host-side veth.
    pub host_if: String,
    /// The rules that it has.
    pub from: Vec<Rule>,
    /// Those that it is to have.
    pub to: Vec<Rule>,
}

impl Managed for EndpointPolicy {
    fn handling(&self) -> Handling {
        Handling::new("change", "revert", Acts::OnPins).in_steps()
    }

    fn is_there(&self, actual: &Actual) -> bool {
        let index = actual.host.net.link(&self.host_if).map(|link| link.index);
        let known = actual.records.endpoints.iter().find(|endpoint| Some(endpoint.index) == index);
        // One that has no record yet has no rules.
        known.map_or(self.to.is_empty(), |endpoint| endpoint.policy == self.to)
    }

    fn equivalent(&self, make: bool, pins: &str) -> Vec<String> {
        let rules = if make { &self.to } else { &self.from };
        let mut lines = vec![shell::record("POLICIES", &self.host_if, true, pins)];
        lines.extend(rules.iter().map(|rule| format!("# --{rule}")));
        lines
    }
}

impl fmt::Display for EndpointPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rules of {}: ", self.host_if)?;
        match self.to.len() {
            0 => write!(f, "none"),
            1 => write!(f, "1 rule"),
            count => write!(f, "{count} rules"),
        }
    }
}
