//! Makes networks that are there whoever is in them. They go by [`down`](super::down).

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{
    HostContext, Observer, collect, gather,
    gathered::planned,
    outcome::{Applied, Planned},
    run::Runner,
};
use fwd_base::Result;
use fwd_kernel::netns::Netns;
use fwd_plan::{NetworkRequest, Plan, plan_network};

/// Makes a network, which stays when its last endpoint goes. Does nothing if it is there as asked.
///
/// # Errors
/// What [`plan_network`] refuses, before anything is changed; or the operation that failed, after those before it were undone.
pub fn add_network(context: &HostContext, request: &NetworkRequest, observer: &mut dyn Observer) -> Result<Applied> {
    let cookie = Netns::current()?.cookie()?;
    collect::in_passing(context, cookie);
    let _lock = context.lock(cookie)?;
    let gathered = gather::for_network(context, request)?;
    let Plan { ops, mends, mut warnings, .. } = plan_network(request, &gathered.actual)?;
    let mut runner = Runner::new(context, gathered);
    runner.run_or_undo(&ops, mends, observer)?;
    runner.follow_routes();
    runner.follow_names();
    warnings.append(&mut runner.warnings);
    Ok(Applied { changed: !ops.is_empty(), warnings })
}

/// What [`add_network`] would do. Takes no lock and changes nothing.
///
/// # Errors
/// As [`add_network`] refuses.
pub fn dry_network(context: &HostContext, request: &NetworkRequest) -> Result<Planned> {
    let gathered = gather::for_network(context, request)?;
    let Plan { ops, warnings, .. } = plan_network(request, &gathered.actual)?;
    Ok(planned(context, &gathered, &ops, warnings))
}

/// Subnets that networks would be given, if each of `taken` were in use, too: for who notes networks that are made later.
///
/// # Errors
/// None is free; the kernel refuses.
pub fn free_subnets(context: &HostContext, taken: &[IpNet]) -> Result<(Ipv4Net, Ipv6Net)> {
    fwd_plan::free_subnets(&gather::for_uplinks(context)?.actual, taken)
}
