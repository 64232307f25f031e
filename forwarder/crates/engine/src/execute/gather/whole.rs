//! Reads what a plan for everything that is desired depends on.

use std::collections::BTreeSet;

use super::{Gathered, has_netkit, has_shaper, host, machine, no_ipv6_nat, no_tc, open, target};
use crate::execute::{HostContext, names, surroundings};
use fwd_base::{Kind, Result};
use fwd_dataplane::Backend;
use fwd_kernel::netns::{self, DIRECTORY, mounts};
use fwd_plan::{Datapath, Desired, Ipv6, Network, Target, TargetRef};

/// Reads what a plan for the whole depends on. Namespaces that cannot be opened or read are noted.
///
/// # Errors
/// The kernel refuses.
pub(in crate::execute) fn for_whole(context: &HostContext, desired: &Desired) -> Result<Gathered> {
    netns::allow_many_files();
    let mut gathered = host(context)?;
    gathered.look_for_made(None)?;
    let references: BTreeSet<&TargetRef> = desired.endpoints.iter().filter_map(|it| it.netns.as_ref()).collect();
    for reference in references {
        match gathered.look_at(context, reference) {
            Ok(target) => gathered.desire(target),
            // It is that one alone: who is in it is left out.
            Err(error) => drop(gathered.actual.unopened.insert(reference.clone(), error.into())),
        }
    }
    let missing = gathered.actual.targets.values().any(|target| target.ns.is_none());
    if missing && let Some(refusal) = mounts::is_temporary(DIRECTORY.as_ref())? {
        return Err(refusal);
    }
    gathered.actual.host.given = context.host.clone();
    let endpoints = || desired.endpoints.iter().map(|it| &it.options);
    gathered.actual.host.listeners = surroundings::listeners(endpoints().flat_map(|it| &it.publish))?;
    let named = desired.networks.values().any(|network| network.dns);
    gathered.actual.host.resolvers = if named { names::resolvers()? } else { Vec::new() };
    gathered.actual.host.surroundings = surroundings::read(true, true)?;
    gathered.host_access(context, endpoints().any(|it| !it.publish.is_empty()))?;
    let by_kernel = |network: &Network| network.datapath == Some(Datapath::Kernel);
    gathered.actual.no_tc = no_tc(desired.networks.values().all(by_kernel), gathered.plane.as_ref())?;
    gathered.actual.no_tcx = Backend::of_kernel()? != Backend::Tcx;
    let by_netkit = |network: &Network| network.datapath == Some(Datapath::Netkit);
    gathered.actual.no_netkit = desired.networks.values().any(by_netkit) && !has_netkit();
    gathered.actual.no_shaper = endpoints().any(|it| it.limits.limit_something()) && !has_shaper();
    gathered.actual.host.machine = machine();
    // What masquerade takes, a route takes too.
    let asked = |which| desired.networks.values().any(|network| network.ipv6 == Some(which)).then_some(which);
    let ipv6 = asked(Ipv6::Masquerade).or(asked(Ipv6::Route));
    gathered.actual.no_ipv6_nat = no_ipv6_nat(ipv6, &gathered.actual)?;
    gathered.check_hooks(|_| true)?;
    for endpoint in &gathered.actual.records.endpoints.clone() {
        gathered.locate(endpoint)?;
    }
    gathered.masquerades(desired.networks.values().any(by_kernel) || gathered.actual.no_tc.is_some())?;
    Ok(gathered)
}

impl Gathered {
    /// Opens one of the namespaces that are desired, and reads what is inside.
    fn look_at(&mut self, context: &HostContext, reference: &TargetRef) -> Result<Target> {
        let opened = match open(reference) {
            // A command of ours was interrupted while it made the namespace.
            Err(error) if error.kind == Kind::Conflict && self.is_leftover(reference) => None,
            opened => opened?,
        };
        let inside = opened.map(|ns| self.inside(reference, ns)).transpose()?;
        if let (TargetRef::Named(name), Some(_)) = (reference, &inside) {
            self.actual.named.insert(name.clone());
        }
        target(context, reference, inside)
    }
}
