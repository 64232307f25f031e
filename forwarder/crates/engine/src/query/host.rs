//! Whom queries ask: a host, from where the caller is.

use std::path::Path;

use fwd_base::Result;
use fwd_dataplane::{Dataplane, RunDir};
use fwd_kernel::netns::{Name, Netns};

/// A host, and who asks about it.
#[derive(Debug)]
pub struct HostNetns {
    /// The namespace of the caller.
    pub caller: Netns,
    /// The namespace that is the host; the thread is inside.
    pub host: Netns,
    /// Where pins and locks are.
    pub run_dir: RunDir,
}

impl HostNetns {
    /// Enters the host's namespace, if one is given by its name or its path: everything that follows on this thread happens there.
    ///
    /// # Errors
    /// There is no such namespace, it cannot be entered, or the run directory is not safe.
    pub fn enter(host: Option<&str>, run_dir: &Path) -> Result<Self> {
        let caller = Netns::current()?;
        let namespace = match host {
            None => Netns::current()?,
            Some(path) if path.contains('/') => Netns::open_path(path.as_ref())?,
            Some(name) => Netns::open_named(&Name::try_from(name)?)?,
        };
        if host.is_some() {
            namespace.enter()?;
        }
        Ok(Self { caller, host: namespace, run_dir: RunDir::checked(run_dir)? })
    }

    /// The data path of the host, to be read, if anything is up.
    ///
    /// # Errors
    /// As [`Dataplane::view`].
    pub fn dataplane(&self) -> Result<Option<Dataplane>> {
        Dataplane::view(&self.run_dir, self.host.cookie()?)
    }
}
