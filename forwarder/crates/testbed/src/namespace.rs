//! Named network namespaces that end with their owner.

use std::{fs, ops::Deref};

use super::{
    cleanup::{self, Cleanup},
    process,
};
use fwd_base::{Context, Kind, Result};
use fwd_kernel::{
    netlink::Netlink,
    netns::{Name, Netns},
};

/// A named network namespace with `lo` up, deleted when dropped together with the processes inside.
pub struct Namespace {
    name: Name,
    ns: Netns,
    _cleanup: Cleanup,
}

impl Namespace {
    /// Creates it.
    ///
    /// # Errors
    /// The name is invalid or taken; not root.
    pub fn create(name: &str) -> Result<Self> {
        let name = Name::try_from(name)?;
        let ns = Netns::create_named(&name, prepare)?;
        let cleanup = {
            let name = name.clone();
            cleanup::on_exit(move || delete(&name))
        };
        Ok(Self { name, ns, _cleanup: cleanup })
    }

    /// Its name, as in `ip netns list`.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// A netlink connection inside.
    ///
    /// # Errors
    /// The kernel gives no socket.
    pub fn netlink(&self) -> Result<Netlink> {
        Netlink::open(&self.ns)
    }
}

impl Deref for Namespace {
    type Target = Netns;

    fn deref(&self) -> &Netns {
        &self.ns
    }
}

/// Ends the processes inside a named namespace and deletes it, if it is there.
pub(super) fn delete(name: &Name) {
    let inside = match Netns::open_named(name) {
        Err(error) if matches!(error.kind, Kind::NotFound | Kind::Conflict) => Ok(()),
        opened => opened.and_then(|ns| process::kill_inside(&ns)),
    };
    for result in [inside, Netns::delete_named(name).map(drop)] {
        if let Err(error) = result {
            tracing::warn!("{error}");
        }
    }
}

/// Runs inside, before the namespace has its name.
fn prepare(_: &Netns) -> Result<()> {
    let netlink = Netlink::here()?;
    if let Some(lo) = netlink.link("lo")? {
        netlink.set_up(lo.index)?;
    }
    // IPv4 settings are copied from the machine's own namespace: a host forwards nothing before somebody asks for it.
    write("net/ipv4/ip_forward", "0")?;
    // Without duplicate address detection, IPv6 addresses are final within moments instead of seconds.
    write("net/ipv6/conf/default/accept_dad", "0")
}

/// Sets a sysctl of the calling thread's namespace, if the kernel has it.
fn write(name: &str, value: &str) -> Result<()> {
    let path = format!("/proc/sys/{name}");
    if fs::exists(&path).doing("look for", &path)? { fs::write(&path, value).doing("write", path) } else { Ok(()) }
}
