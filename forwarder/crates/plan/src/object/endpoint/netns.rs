//! The namespace of an endpoint, once its runtime has made it.

use std::fmt;

use super::{super::super::shell, index_of};
use crate::{
    Actual, TargetRef,
    object::{Acts, Handling, Managed},
};

/// An endpoint's namespace is known: its runtime has made it, and moved the interface there that waited in the host's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointNetns {
    /// Name of the host-side veth.
    pub host_if: String,
    /// The namespace.
    pub ns: TargetRef,
    /// What the interface was called while it waited.
    pub from: String,
    /// What it is called inside.
    pub ns_if: String,
}

impl Managed for EndpointNetns {
    fn handling(&self) -> Handling {
        Handling::new("learn", "forget", Acts::OnPins).in_steps()
    }

    fn is_there(&self, actual: &Actual) -> bool {
        let index = index_of(actual, &self.host_if, None);
        actual.records.endpoints.iter().any(|it| Some(it.index) == index && !it.marks.awaited)
    }

    fn equivalent(&self, make: bool, pins: &str) -> Vec<String> {
        let ns_if = if make { &self.ns_if } else { &self.from };
        ["METADATA", "ENDPOINTS"]
            .map(|map| shell::record(map, &self.host_if, true, pins))
            .into_iter()
            .chain([format!("# {ns_if} in {}", self.ns)])
            .collect()
    }
}

impl fmt::Display for EndpointNetns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "namespace of {}: {} in {}", self.host_if, self.ns_if, self.ns)
    }
}
