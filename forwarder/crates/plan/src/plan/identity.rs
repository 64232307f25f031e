//! Who is desired, by the names by which records know them.

use std::{borrow::Cow, collections::BTreeMap};

use super::LeftOut;
use crate::{Actual, Desired, Endpoint, EndpointRecord, Scope, TargetRef};
use fwd_base::{Error, Kind, Result};
use fwd_dataplane::EndpointOwner;

/// What is desired, where each endpoint of the command line is called as its record calls it, if it has one already: a namespace that was
/// attached by a process or a path is the same when it is given by its name. One that a container runtime has attached is left out.
///
/// # Errors
/// [`Kind::Usage`] if a namespace is given twice, by two names; [`Kind::Conflict`] for one that a runtime has attached, or to which a process
/// leads, too, where none is left out.
pub(super) fn of_records<'a>(
    desired: &'a Desired,
    actual: &Actual,
    scope: &Scope,
    left_out: &mut LeftOut,
) -> Result<Cow<'a, Desired>> {
    let found = actual.targets.values().filter_map(|target| Some((&target.reference, target.ns.as_ref()?.cookie)));
    let found: BTreeMap<&TargetRef, u64> = found.collect();
    let mut records: BTreeMap<(u64, &str), &EndpointRecord> = BTreeMap::new();
    for record in &actual.records.endpoints {
        records.insert((record.cookie, &record.id.ifname), record);
    }
    let mut said: BTreeMap<(u64, &str), (usize, &Endpoint)> = BTreeMap::new();
    let mut known = Cow::Borrowed(desired);
    for (at, endpoint) in desired.endpoints.iter().enumerate() {
        let inside = endpoint.netns.as_ref().and_then(|netns| found.get(netns));
        let Some(interface) = inside.map(|cookie| (*cookie, endpoint.id.ifname.as_str())) else { continue };
        // A number is given to another process once the first has ended: never is its namespace the one that was attached.
        let is_former = |it: &EndpointRecord| it.id == endpoint.id && it.cookie != interface.0;
        if scope.declared.is_some() && is_by_process(endpoint) && actual.records.endpoints.iter().any(is_former) {
            let why = "its process is in another namespace than the one that was attached by it";
            let error = Error::new(Kind::Conflict, "attach", desired.places.told(endpoint), why)
                .remedy("name a process of the namespace that is meant; what was attached goes by `fwd down`");
            left_out.add(&endpoint.id, error, scope)?;
            continue;
        }
        if let Some((before, first)) = said.insert(interface, (at, endpoint)) {
            let error = twice(desired, first, endpoint);
            // A process may be anywhere by now: the one that is given by it is left out, under the name that the file has for it.
            if is_by_process(endpoint) {
                left_out.add(&endpoint.id, error, scope)?;
                said.insert(interface, (before, first));
                continue;
            }
            left_out.add(&first.id, error, scope)?;
            known.to_mut().endpoints.get_mut(before).into_iter().for_each(|known| known.id = first.id.clone());
        }
        let record = records.get(&interface).filter(|record| record.id != endpoint.id);
        let Some(record) = record.filter(|_| endpoint.id.owner == EndpointOwner::Cli) else { continue };
        if record.id.owner != EndpointOwner::Cli {
            let why = format!("its {} is attached by {}", record.id.ifname, record.id.owner.name());
            let error = Error::new(Kind::Conflict, "attach", record.label(), why)
                .remedy("leave it to its runtime, or give it another interface: ifname = \"eth1\"");
            left_out.add(&endpoint.id, error, scope)?;
            continue;
        }
        let endpoints = &mut known.to_mut().endpoints;
        endpoints.get_mut(at).into_iter().for_each(|endpoint| endpoint.id = record.id.clone());
    }
    Ok(known)
}

fn is_by_process(endpoint: &Endpoint) -> bool {
    endpoint.netns.as_ref().is_some_and(TargetRef::is_of_process)
}

/// One namespace is meant by two names.
fn twice(desired: &Desired, first: &Endpoint, again: &Endpoint) -> Error {
    let ifname = &again.id.ifname;
    let why = format!("its {ifname} is said twice: it is the same as {}", desired.places.told(first));
    let is_by_process = [first, again].iter().any(|it| is_by_process(it));
    let kind = if is_by_process { Kind::Conflict } else { Kind::Usage };
    Error::new(kind, "attach", desired.places.told(again), why)
        .remedy("say it once; a further interface of a namespace has another name: ifname = \"eth1\"")
}
