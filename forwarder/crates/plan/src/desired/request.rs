//! What the user asks for.

use std::{collections::BTreeSet, fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{EndpointOptions, Network, TableRequest};
use fwd_base::text::{harmless, option};
use fwd_container::Container;
use fwd_dataplane::{EndpointId, EndpointOwner, PublishedPorts};
use fwd_kernel::netns::{DIRECTORY, Name};

/// How a namespace was given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetRef {
    /// By its name under /run/netns.
    Named(Name),
    /// By a process in it.
    Pid(u32),
    /// By a path, such as /proc/PID/ns/net.
    Path(PathBuf),
    /// By a container.
    Container(Box<Container>),
    /// By the path at which its runtime is going to make it: until then the interface inside waits in the host's own namespace, from
    /// where the runtime moves it.
    Awaited(PathBuf),
}

impl TargetRef {
    /// The file that stands for the namespace; of a container that does not run, one that is never there (/proc has no process 0); of one
    /// that is awaited, that of the host.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        match self {
            Self::Named(name) => PathBuf::from(DIRECTORY).join(name.as_str()),
            Self::Path(path) => path.clone(),
            Self::Pid(_) | Self::Container(_) => PathBuf::from(format!("/proc/{}/ns/net", self.pid().unwrap_or(0))),
            Self::Awaited(_) => PathBuf::from("/proc/self/ns/net"),
        }
    }

    /// The process in it, where it was given by one.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        match self {
            Self::Pid(pid) => Some(*pid),
            Self::Container(container) => container.process.map(|process| process.pid),
            Self::Named(_) | Self::Path(_) | Self::Awaited(_) => None,
        }
    }

    /// Whether its runtime has not made it yet.
    #[must_use]
    pub const fn is_awaited(&self) -> bool {
        matches!(self, Self::Awaited(_))
    }

    /// What people call the container that it was given by.
    #[must_use]
    pub fn container(&self) -> Option<&str> {
        match self {
            Self::Container(container) => Some(container.label()),
            Self::Named(_) | Self::Pid(_) | Self::Path(_) | Self::Awaited(_) => None,
        }
    }

    /// Whether it was given by a process of its, which may be anywhere once it has ended and its number is another's.
    #[must_use]
    pub fn is_of_process(&self) -> bool {
        match self {
            Self::Pid(_) => true,
            Self::Path(path) => path.starts_with("/proc"),
            Self::Named(_) | Self::Container(_) | Self::Awaited(_) => false,
        }
    }

    /// Its name, where it was given by name.
    #[must_use]
    pub const fn name(&self) -> Option<&Name> {
        match self {
            Self::Named(name) => Some(name),
            Self::Pid(_) | Self::Path(_) | Self::Container(_) | Self::Awaited(_) => None,
        }
    }

    /// The identity of its endpoint with this interface, where the command line asks for it.
    #[must_use]
    pub fn id(&self, ifname: &str) -> EndpointId {
        let id = match self {
            Self::Named(name) => format!("ns:{name}"),
            Self::Pid(pid) => format!("pid:{pid}"),
            Self::Path(path) | Self::Awaited(path) => format!("path:{}", path.display()),
            Self::Container(container) => format!("container:{}", container.identity()),
        };
        EndpointId { owner: EndpointOwner::Cli, id, ifname: ifname.into() }
    }

    /// The path by which a namespace was given, where the identity of its endpoint tells it: in UTF-8, as records have it.
    #[must_use]
    pub fn path_of(id: &EndpointId) -> Option<String> {
        let path = (id.owner == EndpointOwner::Cli).then(|| id.id.strip_prefix("path:")).flatten()?;
        (!path.contains(char::REPLACEMENT_CHARACTER)).then(|| path.into())
    }

    /// The path that it was given by, as records have it.
    #[must_use]
    pub fn recorded_path(&self) -> Option<String> {
        match self {
            Self::Path(path) | Self::Awaited(path) => path.to_str().map(ToOwned::to_owned),
            Self::Named(_) | Self::Pid(_) | Self::Container(_) => None,
        }
    }

    /// What people call it, at the beginning of a line.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::Named(name) => name.to_string(),
            Self::Pid(pid) => format!("pid {pid}"),
            Self::Path(path) | Self::Awaited(path) => path.display().to_string(),
            Self::Container(container) => harmless(container.label()).into_owned(),
        }
    }

    /// How it is given on the command line, quoted for a shell: `--ns mynet`.
    #[must_use]
    pub fn option(&self) -> String {
        match self {
            Self::Named(name) => option("--ns", name.as_str()),
            Self::Pid(pid) => format!("--pid {pid}"),
            Self::Path(path) | Self::Awaited(path) => option("--netns", &path.display().to_string()),
            Self::Container(container) => option("--container", container.label()),
        }
    }
}

impl fmt::Display for TargetRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => write!(f, "namespace {name}"),
            Self::Pid(pid) => write!(f, "the namespace of process {pid}"),
            Self::Path(path) => write!(f, "namespace {}", path.display()),
            Self::Awaited(path) => write!(f, "the namespace that is going to be {}", path.display()),
            Self::Container(container) => {
                write!(f, "container {} of {}", harmless(container.label()), container.runtime.name())
            }
        }
    }
}

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
