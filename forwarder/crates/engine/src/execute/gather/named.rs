//! What a namespace is called that was given otherwise than by its name.

use std::path::Path;

use fwd_base::Result;
use fwd_kernel::netns::{self, DIRECTORY, Name, Netns};
use fwd_plan::{EndpointRecord, TargetRef};

/// Where names of namespaces are, as paths have it: /var/run leads to /run.
const DIRECTORIES: [&str; 2] = [DIRECTORY, "/var/run/netns"];

/// The name of a namespace that was given by the path of its name, if the namespace of that name still `is_it`.
pub(super) fn named_by_path(reference: &TargetRef, is_it: impl FnOnce(&Netns) -> bool) -> Option<Name> {
    let TargetRef::Path(path) = reference else { return None };
    let in_directory = path.parent().is_some_and(|parent| DIRECTORIES.iter().any(|it| parent == Path::new(it)));
    let name = path.file_name().filter(|_| in_directory).and_then(|name| Name::try_from(name.to_str()?).ok())?;
    Netns::open_named(&name).is_ok_and(|ns| is_it(&ns)).then_some(name)
}

/// The name of a namespace, also where it was given otherwise: what the records say is tried first.
pub(super) fn name_of(
    reference: &TargetRef,
    cookie: Option<u64>,
    endpoints: &[EndpointRecord],
) -> Result<Option<Name>> {
    if let TargetRef::Named(name) = reference {
        return Ok(Some(name.clone()));
    }
    if let Some(name) = named_by_path(reference, |ns| cookie.is_some() && ns.cookie().ok() == cookie) {
        return Ok(Some(name));
    }
    let recorded = endpoints.iter().filter(|endpoint| Some(endpoint.cookie) == cookie);
    let recorded = recorded.filter_map(|endpoint| Name::try_from(endpoint.ns.as_deref()?).ok());
    let is_meant = |name: &Name| Netns::open_named(name).and_then(|ns| ns.cookie()).ok() == cookie;
    Ok(recorded.chain(netns::named()?).find(|name| cookie.is_some() && is_meant(name)))
}
