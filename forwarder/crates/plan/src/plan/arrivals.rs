//! Endpoints whose interface waited in the host's namespace, and which their runtimes have moved since.

use super::Plan;
use crate::refuse::refuse_others;
use crate::{Actual, EndpointRecord, Object, Op, TargetRef, are_ends, object};
use fwd_base::Result;

impl EndpointRecord {
    /// The namespace that its runtime is going to make for it, or has made, if that is not known yet.
    #[must_use]
    pub fn awaits(&self) -> Option<TargetRef> {
        self.path.as_ref().filter(|_| self.marks.awaited).map(|path| TargetRef::Path(path.into()))
    }
}

/// What has to be written of endpoints whose namespaces are there by now, with the other end of their host-side veth inside, and up.
///
/// # Errors
/// [`Kind::Conflict`](fwd_base::Kind::Conflict) beside another version, whose records cannot be read.
pub fn plan_arrivals(actual: &Actual) -> Result<Plan> {
    refuse_others(&actual.records.others, "look after endpoints of")?;
    let ops = actual.records.endpoints.iter().filter_map(|endpoint| {
        let ns = endpoint.awaits()?;
        let host = actual.recorded(endpoint.index)?;
        let known = actual.namespaces.iter().find(|known| known.reference == ns)?;
        // Before it is up, its runtime may be about to give it another name.
        let inside = known.links.iter().find(|link| link.up && are_ends(host, link))?;
        let (host_if, from, ns_if) = (host.name.clone(), endpoint.id.ifname.clone(), inside.name.clone());
        Some(Op::make(Object::EndpointNetns(object::EndpointNetns { host_if, ns, from, ns_if })))
    });
    Ok(Plan { ops: ops.collect(), ..Plan::default() })
}
