//! What the user asks for.

use std::collections::BTreeSet;

use super::target::TargetRef;
use crate::{EndpointOptions, Network, TableRequest};
use fwd_dataplane::{EndpointId, PublishedPorts, TcxOrder};
use fwd_kernel::netns::Name;

/// Ports that are to lead to an endpoint that is up, and ports that are not to any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortRequest {
    /// Its namespace.
    pub target: TargetRef,
    /// Its interface; default: [`crate::NS_IF`], else the only one.
    pub ifname: Option<String>,
    /// Those that are to be published.
    pub add: Vec<PublishedPorts>,
    /// Those that are to be withdrawn.
    pub remove: Vec<PublishedPorts>,
}

/// A network that is to be there, whoever is in it. What is left out is as it is, or the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkRequest {
    /// Its name.
    pub name: Name,
    /// What it is to be.
    pub network: Network,
    /// Networks that may not reach it any more. With some of them it must be there already, and stays as it is otherwise.
    pub forbid: BTreeSet<String>,
    /// The flow table of the host.
    pub table: TableRequest,
}

/// Interfaces of the host that are to be uplinks, and that are not to be any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UplinkRequest {
    /// Names of those that are to be.
    pub add: Vec<String>,
    /// Names of those that are not.
    pub remove: Vec<String>,
    /// Where the programs of those that are to be stand among others; without it, where they stood.
    pub order: Option<TcxOrder>,
}

/// A runtime for which an endpoint is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// What it calls the endpoint.
    pub id: EndpointId,
    /// What it calls the network.
    pub network: String,
}

/// What `up` makes sure of. Options that are `None` take what exists, or the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpRequest {
    /// The namespace; made if it is missing and given by a name.
    pub target: TargetRef,
    /// Who asks for an endpoint of its own, which is to be new; default: the command line.
    pub caller: Option<Caller>,
    /// The interface inside; default: the one that the namespace has in the network that is meant, else [`crate::NS_IF`].
    pub ifname: Option<String>,
    /// The network to join; default: the one that the namespace is in, else [`crate::DEFAULT_NETWORK`].
    pub network: Option<Name>,
    /// What that is to be where it is made; one that is there must be so.
    pub options: Network,
    /// What the endpoint is to be.
    pub endpoint: EndpointOptions,
    /// The flow table of the host.
    pub table: TableRequest,
}

impl UpRequest {
    /// A request without options.
    #[must_use]
    pub fn new(target: TargetRef) -> Self {
        Self {
            target,
            caller: None,
            ifname: None,
            network: None,
            options: Network::default(),
            endpoint: EndpointOptions::default(),
            table: TableRequest::default(),
        }
    }

    /// The same, with other options of the network.
    #[must_use]
    pub fn with_options(mut self, say: impl FnOnce(&mut Network)) -> Self {
        say(&mut self.options);
        self
    }

    /// The same, with other options of the endpoint.
    #[must_use]
    pub fn with_endpoint(mut self, say: impl FnOnce(&mut EndpointOptions)) -> Self {
        say(&mut self.endpoint);
        self
    }
}
