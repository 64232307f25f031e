//! Namespaces that are in no network.

use super::HostContext;
use fwd_base::{Error, Kind, Result, text::option};
use fwd_dataplane::{Dataplane, Described};
use fwd_kernel::netns::{Name, Netns};
use fwd_plan::TargetRef;

/// Deletes a namespace that is in no network. False: there was none.
///
/// # Errors
/// [`Kind::Conflict`] if it is in a network; the kernel refuses.
pub fn remove_namespace(context: &HostContext, name: &Name) -> Result<bool> {
    let cookie = Netns::current()?.cookie()?;
    // No `up` may attach it at the same moment.
    let _lock = context.lock(cookie)?;
    if let Some(plane) = Dataplane::open(&context.run_dir, cookie)? {
        let own = match Netns::open_named(name) {
            Ok(ns) => Some(ns.cookie()?),
            // What is left of one, or nothing.
            Err(_) => None,
        };
        let is_meant = |it: &Described| match own {
            Some(own) => it.record.netns_cookie == own,
            None => it.metadata.netns.name.as_deref() == Some(name.as_str()),
        };
        if plane.described_endpoints()?.iter().any(|(_, endpoint)| is_meant(endpoint)) {
            let error = Error::new(Kind::Conflict, "delete", format!("namespace {name}"), "it is in a network of fwd");
            return Err(error.remedy(format!("`fwd down {} --delete-ns`", option("--ns", name.as_str()))));
        }
    }
    Netns::delete_named(name)
}

/// Opens the namespace that is meant.
///
/// # Errors
/// [`NotFound`](fwd_base::Kind::NotFound) if there is none.
pub fn open_target(target: &TargetRef) -> Result<Netns> {
    match target {
        TargetRef::Named(name) => Netns::open_named(name),
        TargetRef::Pid(pid) => Netns::open_pid(*pid),
        TargetRef::Path(path) => Netns::open_path(path),
        TargetRef::Container(container) => container.open(),
        TargetRef::Awaited(_) => Netns::current(),
    }
}
