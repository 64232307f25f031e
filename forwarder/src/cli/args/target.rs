//! Which namespace a command is about.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

/// Which namespace: exactly one of these, where the command needs one.
#[derive(Args, Clone, Debug, Default)]
#[group(multiple = false)]
pub(crate) struct TargetArgs {
    /// Namespace, the same as --ns NAME
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Namespace by the name that `ip netns list` shows
    #[arg(long, value_name = "NAME")]
    pub(crate) ns: Option<String>,
    /// Namespace of a process, such as a container's first
    #[arg(long, value_name = "PID")]
    pub(crate) pid: Option<u32>,
    /// Namespace by the path of its file, such as /run/netns/NAME or /proc/PID/ns/net
    #[arg(long, value_name = "PATH")]
    pub(crate) netns: Option<PathBuf>,
    /// Namespace of a container of docker, podman or containerd, by its name or id
    #[arg(long, value_name = "NAME|ID")]
    pub(crate) container: Option<String>,
}

/// The arguments of [`TargetArgs`].
pub(crate) const TARGETS: [&str; 5] = ["name", "ns", "pid", "netns", "container"];

/// The group of these arguments, of which one must be given.
pub(crate) fn one_of_them() -> ArgGroup {
    ArgGroup::new("which namespace").required(true).multiple(false).args(TARGETS)
}
