//! What a command is about.

use super::{Desired, TargetRef};
use crate::EndpointRecord;
use fwd_dataplane::{EndpointId, EndpointOwner};

/// What a command is about: of everything else it is taken to be as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// One namespace.
    pub target: Option<TargetRef>,
    /// Of its endpoints, the one with this interface alone.
    pub ifname: Option<String>,
    /// The endpoints that their owner calls so, whichever namespaces they are in, and whether these are there.
    pub endpoint: Option<EndpointId>,
    /// One network, with its endpoints. None of these: everything of this host namespace.
    pub network: Option<NetworkScope>,
    /// Of everything, what files declare.
    pub declared: Option<Declared>,
    /// The target is of the pool: nothing, if somebody has been given the namespace with this cookie by now.
    pub pooled: Option<u64>,
    /// Namespaces go with their endpoints even if `up` did not make them.
    pub delete_ns: bool,
}

/// A network that a command is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkScope {
    /// Its name.
    pub name: String,
    /// Its endpoints go with it; else it is refused while it has some.
    pub force: bool,
}

/// What files are about: the endpoints that they name, and of the networks that they name all others that commands have attached. Whatever
/// container runtimes have attached is theirs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// All other networks too, with what commands have attached to them.
    pub prune: bool,
}

impl Scope {
    /// Whether all that is desired is in it.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.target.is_none() && self.endpoint.is_none() && self.network.is_none()
    }

    /// Whether it is everything of a host.
    #[must_use]
    pub const fn is_everything(&self) -> bool {
        self.is_whole() && self.declared.is_none()
    }

    /// Whether an endpoint that is not desired is in it, where all that is desired is.
    pub(crate) fn covers(&self, desired: &Desired, endpoint: &EndpointRecord) -> bool {
        self.declared.is_none_or(|declared| {
            let desired = desired.networks.contains_key(&endpoint.network);
            // What is nobody's yet is no less than what files say, and goes with its network.
            let named = if endpoint.marks.pooled { declared.prune && !desired } else { declared.prune || desired };
            named && endpoint.id.owner == EndpointOwner::Cli
        })
    }
}

/// What `down` takes away: a scope in which nothing is desired.
pub type DownRequest = Scope;
