//! An endpoint of the pool that is somebody's from now on.

use std::fmt;

use super::{super::super::shell, index_of};
use crate::{
    Actual, EndpointRecord, Owner, TargetRef, Undo,
    object::{Acts, Handling, Managed},
};
use fwd_base::text::word;
use fwd_kernel::netns::Name;

/// An endpoint that was made beforehand, with its namespace, is given to whoever asks: namespace, record and alias get other names, and all
/// else is as it was. So is who it is to packets: the cookie of the namespace stays the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointTaken {
    /// Name of the host-side veth.
    pub host_if: String,
    /// The interface inside.
    pub ns_if: String,
    /// Name of the network.
    pub network: String,
    /// Cookie of the namespace.
    pub cookie: u64,
    /// What the namespace was called in the pool.
    pub from: Name,
    /// What it is called from now on.
    pub to: Name,
    /// What else the undo log calls it: commands that were killed wanted it.
    pub others: Vec<Name>,
    /// /etc/netns/NAME/resolv.conf is written for it.
    pub resolv_conf: bool,
}

impl EndpointTaken {
    /// The alias of the host-side veth where the namespace is called `name`.
    #[must_use]
    pub fn alias(&self, owner: Owner, name: &Name) -> String {
        owner.endpoint_alias(&self.network, name.as_str())
    }

    /// The names that it has no more then.
    pub fn former(&self) -> impl Iterator<Item = &Name> {
        self.others.iter().chain([&self.from]).filter(|name| **name != self.to)
    }

    /// What its record says then.
    pub(crate) fn give(&self, record: &mut EndpointRecord) {
        record.id = TargetRef::Named(self.to.clone()).id(&self.ns_if);
        record.ns = Some(self.to.to_string());
        (record.marks.pooled, record.marks.resolv_conf) = (false, self.resolv_conf);
    }
}

impl Managed for EndpointTaken {
    fn handling(&self) -> Handling {
        Handling::new("take", "give back", Acts::OnPins).in_steps().notable()
    }

    fn is_there(&self, actual: &Actual) -> bool {
        let index = index_of(actual, &self.host_if, None);
        let taken = actual.records.endpoints.iter().any(|it| Some(it.index) == index && !it.marks.pooled);
        let noted = |entry: &Undo| match entry {
            Undo::Netns { name, cookie } => *cookie == Some(self.cookie) && *name != self.to,
            _ => false,
        };
        taken && !actual.undo.iter().any(noted)
    }

    fn equivalent(&self, make: bool, pins: &str) -> Vec<String> {
        let (from, to) = if make { (&self.from, &self.to) } else { (&self.to, &self.from) };
        let records = ["METADATA", "ENDPOINTS"].map(|map| shell::record(map, &self.host_if, true, pins));
        let mut lines = Vec::from(records);
        if from != to {
            let (from, to) = (word(from.as_str()), word(to.as_str()));
            lines.push(format!(
                "# touch /run/netns/{to}; mount --bind /run/netns/{from} /run/netns/{to}; ip netns del {from}"
            ));
        }
        lines
    }
}

impl fmt::Display for EndpointTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "namespace {} of the pool as {}", self.from, self.to)
    }
}
