//! Published ports.

use std::fmt;

use super::{super::shell, Acts, Handling, Managed};
use crate::Actual;
use fwd_dataplane::{Publication, PublishedPorts};

/// Ports of the host that lead to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Name of the endpoint's host-side veth.
    pub host_if: String,
    /// Its ifindex and the cookie of the namespace, where the endpoint has or had a record; others are looked up by the name.
    pub recorded: Option<(u32, u64)>,
    /// Which ports.
    pub ports: PublishedPorts,
}

impl Published {
    /// What is published, to be taken back.
    pub(crate) fn of(publication: &Publication, host_if: &str) -> Self {
        let Publication { endpoint, cookie, ports, whole: _ } = *publication;
        Self { host_if: host_if.into(), recorded: Some((endpoint, cookie)), ports }
    }

    /// The endpoint, if it has a record.
    pub(crate) fn endpoint(&self, actual: &Actual) -> Option<(u32, u64)> {
        self.recorded.or_else(|| {
            let index = actual.host.net.link(&self.host_if)?.index;
            let endpoint = actual.records.endpoints.iter().find(|endpoint| endpoint.index == index)?;
            Some((index, endpoint.cookie))
        })
    }
}

impl Managed for Published {
    fn handling(&self) -> Handling {
        Handling::new("publish", "withdraw", Acts::OnPins).in_steps()
    }

    fn is_there(&self, actual: &Actual) -> bool {
        let endpoint = self.endpoint(actual);
        let is_it = |it: &&Publication| Some((it.endpoint, it.cookie)) == endpoint && it.ports == self.ports;
        actual.records.publications.iter().find(is_it).is_some_and(|it| it.whole)
    }

    fn equivalent(&self, make: bool, pins: &str) -> Vec<String> {
        vec![shell::record("PUBLISHED", &self.ports.to_string(), make, pins)]
    }
}

impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.ports, self.host_if)
    }
}
