//! Makes of a host what is desired, at once; and says what there is in the same way.

use super::{
    HostContext, Observer, collect, gather,
    gathered::planned,
    outcome::{AppliedWhole, PlannedWhole},
    run::Runner,
};
use fwd_base::Result;
use fwd_dataplane::Lock;
use fwd_kernel::netns::Netns;
use fwd_plan::{Desired, Plan, Scope, plan};

/// Makes of what is in `scope` (the whole host, or what files declare) what is desired: what is not goes, what is there stays as it is,
/// changes while it stays, or is made anew. Everything is read once, planned once, and done under one lock.
///
/// # Errors
/// What [`plan`] refuses, before anything is changed; or the operation that failed, after what was made before it was undone. What was
/// removed before it is not made again: to apply the same once more completes it.
pub fn apply(
    context: &HostContext,
    desired: &Desired,
    scope: &Scope,
    observer: &mut dyn Observer,
) -> Result<AppliedWhole> {
    let cookie = Netns::current()?.cookie()?;
    collect::in_passing(context, cookie);
    let _lock = Lock::acquire(&context.run_dir, cookie, context.patience)?;
    let gathered = gather::for_whole(context, desired)?;
    let Plan { ops, mends, mut warnings, changes, .. } = plan(desired, &gathered.actual, scope)?;
    let mut runner = Runner::new(context, gathered);
    observer.planned(ops.len());
    runner.run_or_undo(&ops, mends, observer)?;
    runner.follow_routes();
    runner.follow_names();
    warnings.append(&mut runner.warnings);
    Ok(AppliedWhole { changed: !ops.is_empty(), changes, warnings })
}

/// What [`apply`] would do. Takes no lock and changes nothing.
///
/// # Errors
/// As [`apply`] refuses.
pub fn dry_apply(context: &HostContext, desired: &Desired, scope: &Scope) -> Result<PlannedWhole> {
    let gathered = gather::for_whole(context, desired)?;
    let Plan { ops, warnings, changes, .. } = plan(desired, &gathered.actual, scope)?;
    Ok(PlannedWhole { changes, planned: planned(context, &gathered, &ops, warnings) })
}

/// What is there, as what is desired: to apply it changes nothing.
///
/// # Errors
/// The kernel refuses.
pub fn export(context: &HostContext) -> Result<Desired> {
    gather::recorded(context).map(|actual| fwd_plan::export(&actual))
}
