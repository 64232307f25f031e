//! How a namespace is named: by whoever asks for it, and in what is desired.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

use fwd_base::text::{harmless, option};
use fwd_container::Container;
use fwd_dataplane::{EndpointId, EndpointOwner};
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
