//! Looks for the namespaces that runtimes have made since their endpoints were.

use super::{HostContext, Observer, gather, outcome::Arrivals, run::Runner};
use fwd_base::Result;
use fwd_kernel::netns::Netns;
use fwd_plan::{Plan, plan_arrivals};

/// Writes into the records of endpoints which namespaces they are in, where their runtimes have made these since. Does nothing where no
/// endpoint awaits one, or none is there yet.
///
/// # Errors
/// What [`plan_arrivals`] refuses, before anything is changed; or the operation that failed, after those before it were undone.
pub fn follow_arrivals(context: &HostContext, observer: &mut dyn Observer) -> Result<Arrivals> {
    let cookie = Netns::current()?.cookie()?;
    let _lock = context.lock(cookie)?;
    let gathered = gather::for_arrivals(context)?;
    let awaited = gathered.actual.records.endpoints.iter().filter(|endpoint| endpoint.marks.awaited).count();
    let Plan { ops, mends, mut warnings, .. } = plan_arrivals(&gathered.actual)?;
    let mut runner = Runner::new(context, gathered);
    runner.run_or_undo(&ops, mends, observer)?;
    runner.follow_names();
    warnings.append(&mut runner.warnings);
    Ok(Arrivals { awaited: awaited.saturating_sub(ops.len()), warnings })
}
