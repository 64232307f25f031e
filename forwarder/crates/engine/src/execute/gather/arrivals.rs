//! The namespaces that endpoints await.

use super::{super::gathered::Gathered, HostContext, host};
use fwd_base::Result;
use fwd_kernel::{netlink::Netlink, netns::Netns};
use fwd_plan::EndpointRecord;

/// Reads what is known of endpoints that await a namespace, and of those namespaces that are there.
///
/// # Errors
/// The kernel refuses.
pub(in crate::execute) fn for_arrivals(context: &HostContext) -> Result<Gathered> {
    let mut gathered = host(context)?;
    let awaited: Vec<_> = gathered.actual.records.endpoints.iter().filter_map(EndpointRecord::awaits).collect();
    for reference in awaited {
        // Whatever keeps it from being opened, it is not there yet, or not any more.
        let Ok(ns) = Netns::open_path(&reference.path()) else { continue };
        let netlink = Netlink::open(&ns)?;
        gathered.know(reference, None, ns, netlink)?;
    }
    Ok(gathered)
}
