//! Puts programs of another build in the places of those that run.

use fwd_base::{Error, Kind, Result};
use fwd_dataplane::{Dataplane, Lock, Reloaded};
use fwd_kernel::netns::Netns;
use fwd_plan::refuse_others;

use super::{HostContext, collect};

/// Replaces the programs of a running data path by those of this build.
///
/// # Errors
/// Nothing is loaded, another version has brought it up, or the programs cannot be replaced: then nothing has changed.
pub fn reload(context: &HostContext) -> Result<Reloaded> {
    change(context, Dataplane::reload)
}

/// Brings the programs back that ran before the last reload.
///
/// # Errors
/// As [`reload`]; none are kept.
pub fn roll_back(context: &HostContext) -> Result<Reloaded> {
    change(context, Dataplane::roll_back)
}

fn change(context: &HostContext, how: impl FnOnce(&Dataplane) -> Result<Reloaded>) -> Result<Reloaded> {
    let cookie = Netns::current()?.cookie()?;
    collect::in_passing(context, cookie);
    let _lock = Lock::acquire(&context.run_dir, cookie, context.patience)?;
    let others = Dataplane::other_versions(&context.run_dir, cookie)?;
    refuse_others(&others, "replace the programs of")?;
    let missing = || Error::new(Kind::NotFound, "replace", "the programs", "nothing is up");
    let plane = Dataplane::open(&context.run_dir, cookie)?;
    how(&plane.ok_or_else(|| missing().remedy("`fwd up --ns NAME` loads them"))?)
}
