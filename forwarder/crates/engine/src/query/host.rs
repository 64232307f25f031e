//! Whom queries ask: a host, from where the caller is.

use std::path::Path;

use fwd_base::Result;
use fwd_dataplane::{Dataplane, RunDir};
use fwd_kernel::netns::{Name, Netns};

/// A host, and who asks about it.
///
/// Numbers of interfaces, sysctls and programs are those of the calling thread's namespace. So whatever is asked about a host, or done to
/// it, runs on a thread inside: one of its own ([`run`](Self::run)), or the caller's, where it does nothing else ([`enter`](Self::enter)).
#[derive(Debug)]
pub struct HostNetns {
    /// The namespace of the caller.
    pub caller: Netns,
    /// The namespace that is the host.
    pub host: Netns,
    /// Where pins and locks are.
    pub run_dir: RunDir,
}

impl HostNetns {
    /// The host whose namespace is given by its name or its path, or is the caller's.
    ///
    /// # Errors
    /// There is no such namespace, or the run directory is not safe.
    pub fn open(host: Option<&str>, run_dir: &Path) -> Result<Self> {
        let caller = Netns::current()?;
        let host = match host {
            None => Netns::current()?,
            Some(path) if path.contains('/') => Netns::open_path(path.as_ref())?,
            Some(name) => Netns::open_named(&Name::try_from(name)?)?,
        };
        Ok(Self { caller, host, run_dir: RunDir::checked(run_dir)? })
    }

    /// Runs `work` on a thread of its own inside the host's namespace, and waits for it.
    ///
    /// # Errors
    /// What `work` returns, or that the namespace cannot be entered.
    pub fn run<T: Send>(&self, work: impl FnOnce(&Self) -> Result<T> + Send) -> Result<T> {
        self.host.run(|| work(self))
    }

    /// Moves the calling thread into the host's namespace for good.
    ///
    /// # Errors
    /// It cannot be entered.
    pub fn enter(&self) -> Result<()> {
        if self.host.is_same(&self.caller)? { Ok(()) } else { self.host.enter() }
    }

    /// The data path of the host, to be read, if anything is up.
    ///
    /// # Errors
    /// As [`Dataplane::view`].
    pub fn dataplane(&self) -> Result<Option<Dataplane>> {
        Dataplane::view(&self.run_dir, self.host.cookie()?)
    }
}
