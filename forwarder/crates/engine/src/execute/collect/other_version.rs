//! What another version of `fwd` has made for a runtime, of which no record can be read: its veth pair is told by its alias.

use super::super::HostContext;
use fwd_base::Result;
use fwd_dataplane::{Dataplane, EndpointId};
use fwd_kernel::{netlink::Netlink, netns::Netns};
use fwd_plan::Owner;

/// Deletes the veth pair of an endpoint, if another version is at this host and has made one. Its records go with that version's next
/// command, to which they are those of an endpoint that is gone.
///
/// # Errors
/// The kernel refuses, or another command holds the lock for too long.
pub fn detach_others(context: &HostContext, id: &EndpointId) -> Result<bool> {
    let cookie = Netns::current()?.cookie()?;
    if Dataplane::other_versions(&context.run_dir, cookie)?.is_empty() {
        return Ok(false);
    }
    let _lock = context.lock(cookie)?;
    let owner = Owner(context.run_dir.owner()?);
    let netlink = Netlink::here()?;
    let links = netlink.links()?;
    links.iter().filter(|link| owner.has_endpoint(link, id)).try_for_each(|link| netlink.delete_link(link.index))?;
    Ok(true)
}
