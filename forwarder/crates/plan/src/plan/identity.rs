//! Who is desired, by the names by which records know them.

use std::{borrow::Cow, collections::BTreeMap};

use crate::{Actual, Desired, EndpointRecord, TargetRef};
use fwd_base::{Error, Kind, Result};
use fwd_dataplane::EndpointOwner;

/// What is desired, where each endpoint of the command line is called as its record calls it, if it has one already: a namespace that was
/// attached by a process or a path is the same when it is given by its name.
///
/// # Errors
/// [`Kind::Conflict`] for one that a container runtime has attached.
pub(super) fn of_records<'a>(desired: &'a Desired, actual: &Actual) -> Result<Cow<'a, Desired>> {
    let found = actual.targets.iter().filter_map(|target| Some((&target.reference, target.ns.as_ref()?.cookie)));
    let found: BTreeMap<&TargetRef, u64> = found.collect();
    let mut records: BTreeMap<(u64, &str), &EndpointRecord> = BTreeMap::new();
    for record in &actual.records.endpoints {
        records.insert((record.cookie, &record.id.ifname), record);
    }
    let mut known = Cow::Borrowed(desired);
    for (at, endpoint) in desired.endpoints.iter().enumerate() {
        let inside = endpoint.netns.as_ref().and_then(|netns| found.get(netns));
        let record = inside.and_then(|cookie| records.get(&(*cookie, endpoint.id.ifname.as_str())));
        let Some(record) = record.filter(|record| record.id != endpoint.id) else { continue };
        if endpoint.id.owner != EndpointOwner::Cli {
            continue;
        }
        if record.id.owner != EndpointOwner::Cli {
            let why = format!("its {} is attached by {}", record.id.ifname, record.id.owner.name());
            let error = Error::new(Kind::Conflict, "attach", record.label(), why);
            return Err(error.remedy("leave it to its runtime, or give it another interface: ifname = \"eth1\""));
        }
        let endpoints = &mut known.to_mut().endpoints;
        endpoints.get_mut(at).into_iter().for_each(|endpoint| endpoint.id = record.id.clone());
    }
    Ok(known)
}
