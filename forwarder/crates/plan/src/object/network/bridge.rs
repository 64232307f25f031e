//! The bridge of a network that has a record.

use std::fmt;

use super::super::{super::shell, Acts, Handling, Managed};
use crate::{Actual, NetworkRecord, Records};

/// A network's record is that of this bridge: a former one was deleted. All that it says stays, and with it what its endpoints were promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkBridge {
    /// Name of the network.
    pub network: String,
    /// ifindex of the former bridge.
    pub from: u32,
    /// Name of the bridge.
    pub bridge: String,
}

impl NetworkBridge {
    /// What the records are then, where the bridge has the ifindex `to`.
    pub(crate) fn apply(&self, records: &mut Records, to: u32) {
        records.devices.insert(to);
        if records.networks.iter().any(|network| network.index == to) {
            records.networks.retain(|network| network.index == to || network.index != self.from);
        }
        let former = records.networks.iter_mut().filter(|network| network.index == self.from);
        former.for_each(|network| network.index = to);
    }
}

impl Managed for NetworkBridge {
    fn handling(&self) -> Handling {
        Handling::new("correct", "revert", Acts::OnPins).in_steps()
    }

    fn is_there(&self, actual: &Actual) -> bool {
        let is_former = |record: &NetworkRecord| record.index == self.from && actual.bridge_of(record).is_none();
        !actual.records.networks.iter().any(is_former)
    }

    fn equivalent(&self, make: bool, pins: &str) -> Vec<String> {
        vec![shell::record("NETWORKS", &self.bridge, make, pins)]
    }
}

impl fmt::Display for NetworkBridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bridge {} of network {}", self.bridge, self.network)
    }
}
