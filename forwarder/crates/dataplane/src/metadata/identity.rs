//! Who an endpoint is, for whoever asked for it.

use std::fmt;

use serde::{Deserialize, Serialize};

use fwd_base::hash::fnv;

/// Who asked for an endpoint: it alone knows what its identities mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndpointOwner {
    /// The command line.
    #[default]
    Cli,
    /// A container runtime by CNI.
    Cni,
    /// podman by netavark.
    Netavark,
    /// docker.
    Docker,
    /// Somebody whom only another version knows.
    #[serde(other)]
    Unknown,
}

impl EndpointOwner {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Cli, Self::Cni, Self::Netavark, Self::Docker, Self::Unknown];

    /// Whether it is a runtime, whose identities are ids of containers.
    #[must_use]
    pub const fn is_runtime(self) -> bool {
        matches!(self, Self::Cni | Self::Netavark | Self::Docker)
    }

    /// `cli`, `cni`, `netavark`, `docker` or `unknown`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cli => "cli",
            Self::Cni => "cni",
            Self::Netavark => "netavark",
            Self::Docker => "docker",
            Self::Unknown => "unknown",
        }
    }
}

/// An endpoint: one interface of one namespace, as its owner calls it. It says nothing about which namespace or which interface of the
/// host that is now: the cookie in the record does.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EndpointId {
    /// Who asked for it.
    pub owner: EndpointOwner,
    /// What the owner calls it, such as a container's id.
    pub id: String,
    /// The interface inside: a namespace may have several.
    pub ifname: String,
}

impl EndpointId {
    /// The key of its metadata, in the namespace with `cookie`: what is called as a former endpoint was may be another.
    #[must_use]
    pub(super) fn key(&self, cookie: u64) -> u64 {
        let Self { owner, id, ifname } = self;
        fnv([owner.name(), id, ifname].join("\0").into_bytes().into_iter().chain(cookie.to_ne_bytes()))
    }
}

/// `cni 0123abcd eth0`.
impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.owner.name(), self.id, self.ifname)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn keys_tell_owners_ids_interfaces_and_namespaces_apart() {
        let id = |owner, id: &str, ifname: &str| EndpointId { owner, id: id.into(), ifname: ifname.into() };
        let ids = [
            id(EndpointOwner::Cli, "a", "eth0"),
            id(EndpointOwner::Cni, "a", "eth0"),
            id(EndpointOwner::Cni, "a", "eth1"),
            id(EndpointOwner::Cni, "ae", "th1"),
        ];
        let keys: BTreeSet<u64> = ids.iter().flat_map(|id| [id.key(1), id.key(2)]).collect();
        assert_eq!(keys.len(), 2 * ids.len());
    }
}
