//! What all calls share: the host, and what is noted of docker's networks.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use crate::{api::Id, store::Store};
use fwd_base::Result;
use fwd_dataplane::{Dataplane, Described, EndpointId, EndpointOwner};
use fwd_engine::{
    execute::{HostContext, Unobserved, follow_arrivals},
    query::HostNetns,
};
use tokio::sync::Notify;

/// What the name of an interface begins with that waits for its container.
const WAITING: &str = "fwdp";
/// How many characters of an endpoint's id follow: an interface's name has room for fifteen bytes.
const OF_ID: usize = 11;

/// The driver.
#[derive(Debug)]
pub(crate) struct Driver {
    pub(crate) at: HostNetns,
    pub(crate) context: HostContext,
    pub(crate) store: Store,
    choosing: Mutex<()>,
    /// Some interface may wait for its container.
    awaits: AtomicBool,
    /// Told when one begins to.
    pub(crate) begins: Notify,
}

impl Driver {
    pub(crate) fn new(at: HostNetns, context: HostContext, store: Store) -> Self {
        // Before this process was there, others may have begun to wait.
        Self { at, context, store, choosing: Mutex::new(()), awaits: AtomicBool::new(true), begins: Notify::new() }
    }

    /// The data path, to be read, if anything is up.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn plane(&self) -> Result<Option<Dataplane>> {
        self.at.dataplane()
    }

    /// Held from when a name or a port is found free until it is taken: calls come at once.
    pub(crate) fn choosing(&self) -> MutexGuard<'_, ()> {
        self.choosing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is up of an endpoint, with the ifindex of its host-side veth.
    ///
    /// # Errors
    /// The maps cannot be read.
    pub(crate) fn find(&self, endpoint: &Id) -> Result<Option<(u32, Described)>> {
        let all = self.plane()?.as_ref().map(Dataplane::described_endpoints).transpose()?.unwrap_or_default();
        let is_it = |id: &EndpointId| id.owner == EndpointOwner::Docker && id.id == endpoint.as_str();
        Ok(all.into_iter().find(|(_, found)| is_it(&found.metadata.id)))
    }

    /// Whether some interface may wait for its container.
    pub(crate) fn awaits(&self) -> bool {
        self.awaits.load(Ordering::Acquire)
    }

    /// An interface waits for its container from now on.
    pub(crate) fn await_container(&self) {
        self.awaits.store(true, Ordering::Release);
        self.begins.notify_one();
    }

    /// Learns the namespaces of containers that docker has made meanwhile.
    ///
    /// # Errors
    /// As [`follow_arrivals`].
    pub(crate) fn follow(&self) -> Result<()> {
        // First: whoever begins to wait meanwhile is looked for next time.
        self.awaits.store(false, Ordering::Release);
        if self.plane()?.is_none() {
            return Ok(());
        }
        let arrivals = follow_arrivals(&self.context, &mut Unobserved)?;
        arrivals.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        if arrivals.awaited > 0 {
            self.awaits.store(true, Ordering::Release);
        }
        Ok(())
    }
}

/// Who an endpoint is while it waits for its container.
pub(crate) fn identity(endpoint: &Id) -> EndpointId {
    let ifname = format!("{WAITING}{}", endpoint.short(OF_ID));
    EndpointId { owner: EndpointOwner::Docker, id: endpoint.as_str().into(), ifname }
}
