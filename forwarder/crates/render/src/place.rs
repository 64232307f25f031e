//! Where packets are from or for: an interface inside of a namespace.

use serde::Serialize;

use fwd_base::text::Untrusted;
use fwd_dataplane::Described;

/// An interface inside of a namespace, or none.
#[derive(Clone, Debug, Default, Serialize, PartialEq, Eq)]
pub struct PlaceView {
    /// Name of the namespace, if it has one.
    pub ns: Option<Untrusted>,
    /// The interface inside.
    pub ns_if: Option<Untrusted>,
    /// What people call the namespace.
    #[serde(skip)]
    label: Option<String>,
}

impl PlaceView {
    /// The interface of an endpoint.
    #[must_use]
    pub fn of(endpoint: &Described) -> Self {
        let netns = &endpoint.metadata.netns;
        let (ns, container) = (netns.name.clone().map(Untrusted::from), netns.container.clone().map(Untrusted::from));
        let label = label([ns.as_ref(), container.as_ref()], netns.pid, netns.inode);
        Self { ns, ns_if: Some(endpoint.metadata.id.ifname.clone().into()), label: Some(label) }
    }

    /// `mynet eth0`.
    pub(super) fn whole(&self) -> Option<String> {
        Some(format!("{} {}", self.label.as_ref()?, self.ns_if.as_ref()?))
    }

    /// `mynet`, `mynet eth1`: without the usual interface.
    pub fn short(&self) -> Option<String> {
        Some(with_interface(self.label.clone()?, self.ns_if.as_ref()?))
    }

    #[cfg(test)]
    pub(crate) fn sample(ns: &str, ns_if: &str) -> Self {
        Self { ns: Some(ns.into()), ns_if: Some(ns_if.into()), label: Some(Untrusted::from(ns).to_string()) }
    }
}

/// A namespace that is called so, and the interface inside if it is not the usual one.
pub(super) fn with_interface(label: String, ns_if: &Untrusted) -> String {
    if ns_if.exact() == "eth0" { label } else { format!("{label} {ns_if}") }
}

/// What people call a namespace: its name, else its container's, else its process, else its inode.
pub(super) fn label(names: [Option<&Untrusted>; 2], pid: Option<u32>, inode: u64) -> String {
    match (names.into_iter().flatten().next(), pid) {
        (Some(name), _) => name.to_string(),
        (None, Some(pid)) => format!("pid {pid}"),
        (None, None) => format!("net:[{inode}]"),
    }
}
