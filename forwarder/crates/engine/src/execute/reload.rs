//! Puts programs of another build in the places of those that run.

use fwd_base::{Error, Kind, Result};
use fwd_dataplane::{Dataplane, Reloaded};
use fwd_kernel::netns::Netns;
use fwd_plan::refuse_others;

use super::{HostContext, collect};

/// Replaces the programs of a running data path by those of this build. What another version has brought up this one takes over, with its flows
/// where both lay them out in the same way; where they do not, flows have to end, which `end_flows` allows.
///
/// # Errors
/// Nothing is loaded, anything would be lost, or the programs cannot be replaced: then nothing has changed.
pub fn reload(context: &HostContext, end_flows: bool) -> Result<Reloaded> {
    change(context, |others, plane, cookie| match (others, plane) {
        ([only], None) => Dataplane::take_over(&context.run_dir, cookie, only, end_flows),
        (others, plane) => {
            refuse_others(others, "replace the programs of")?;
            plane.ok_or_else(nothing)?.reload()
        }
    })
}

/// Brings the programs back that ran before the last reload, with the maps of their version where that is another one.
///
/// # Errors
/// As [`reload`]; none are kept.
pub fn roll_back(context: &HostContext) -> Result<Reloaded> {
    change(context, |others, plane, cookie| {
        refuse_others(others, "replace the programs of")?;
        let plane = plane.ok_or_else(nothing)?;
        match plane.bring_back(&context.run_dir, cookie)? {
            Some(done) => Ok(done),
            None => plane.roll_back(),
        }
    })
}

fn nothing() -> Error {
    Error::new(Kind::NotFound, "replace", "the programs", "nothing is up").remedy("`fwd up --ns NAME` loads them")
}

/// Under the lock, beside other versions, on what this one has brought up.
fn change(
    context: &HostContext,
    how: impl FnOnce(&[String], Option<Dataplane>, u64) -> Result<Reloaded>,
) -> Result<Reloaded> {
    let cookie = Netns::current()?.cookie()?;
    collect::in_passing(context, cookie);
    let _lock = context.lock(cookie)?;
    let others = Dataplane::other_versions(&context.run_dir, cookie)?;
    how(&others, Dataplane::open(&context.run_dir, cookie)?, cookie)
}
