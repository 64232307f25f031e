//! Begins and ends a trace: each under the lock, which is not held meanwhile.

use super::HostContext;
use fwd_base::{Error, Kind, Result};
use fwd_dataplane::{Dataplane, TraceFilter, Tracer};
use fwd_kernel::netns::Netns;
use fwd_plan::refuse_others;

/// Replaces the programs of a running data path by traced ones.
///
/// # Errors
/// Nothing is loaded, another version or build has loaded it, somebody traces already, or the programs cannot be replaced: then
/// nothing has changed.
pub fn trace(context: &HostContext, filter: &TraceFilter) -> Result<Tracer> {
    let cookie = Netns::current()?.cookie()?;
    let _lock = context.lock(cookie)?;
    refuse_others(&Dataplane::other_versions(&context.run_dir, cookie)?, "trace the programs of")?;
    let missing = || Error::new(Kind::NotFound, "trace", "packets", "nothing is up");
    let plane = Dataplane::open(&context.run_dir, cookie)?;
    plane.ok_or_else(|| missing().remedy("`fwd up --ns NAME` connects a namespace"))?.trace(filter)
}

/// Puts the programs back that a trace of this process has replaced; whether they were there.
///
/// # Errors
/// The programs cannot be replaced: the traced ones go on.
pub fn end_trace(context: &HostContext) -> Result<bool> {
    let cookie = Netns::current()?.cookie()?;
    let _lock = context.lock(cookie)?;
    let plane = Dataplane::open(&context.run_dir, cookie)?;
    plane.filter(Dataplane::is_loaded).map_or(Ok(false), |plane| plane.end_trace())
}
