//! What an `up` takes from the pool, as it was left there.

use fwd_base::{Result, text::option};
use fwd_kernel::netns::{DIRECTORY, Name, Netns, mounts};
use fwd_plan::{DEFAULT_NETWORK, EndpointRecord, Records, TargetNetns, TargetRef, UpRequest, fits, why_changed};

/// The network that is meant.
pub(super) fn network(request: &UpRequest) -> &str {
    request.network.as_ref().map_or(DEFAULT_NETWORK, Name::as_str)
}

/// The endpoint of the pool that an `up` takes, with its namespace, which is the one that was recorded; none if none fits.
///
/// Whether a process is in it is not asked: to look through all of /proc takes as long as all else that is done, and grows with the processes
/// of the machine. Only the host's root could have put one there, who may do so with any namespace.
///
/// # Errors
/// /proc cannot be read.
pub(super) fn find(request: &UpRequest, records: &Records) -> Result<Option<(Netns, EndpointRecord)>> {
    let TargetRef::Named(_) = &request.target else { return Ok(None) };
    let name = network(request);
    let Some(network) = records.networks.iter().find(|network| network.name == name) else { return Ok(None) };
    let is_there = |it: &&EndpointRecord| records.devices.contains(&it.index);
    let mut fitting = records.endpoints.iter().filter(is_there).filter(|it| fits(request, network, it)).peekable();
    // A name that would not last is refused as ever.
    if fitting.peek().is_none() || mounts::is_temporary(DIRECTORY.as_ref())?.is_some() {
        return Ok(None);
    }
    Ok(fitting.find_map(|record| Some((open(record)?, record.clone()))))
}

/// The namespace of one of the pool, if it is still the one that was recorded.
pub(super) fn open(record: &EndpointRecord) -> Option<Netns> {
    let name = Name::try_from(record.ns.as_deref()?).ok()?;
    Netns::open_named(&name).ok().filter(|ns| ns.cookie().is_ok_and(|cookie| cookie == record.cookie))
}

/// What to say of one that is not as it was left, and so is not taken; none if it is.
pub(super) fn why_left_alone(record: &EndpointRecord, inside: &TargetNetns) -> Option<String> {
    why_changed(record, inside).map(|why| {
        let name = record.label();
        let down = option("--ns", &name);
        format!(
            "namespace {name} of the pool is not as it was left, and was not taken: {why}; `fwd down {down}` removes it"
        )
    })
}
