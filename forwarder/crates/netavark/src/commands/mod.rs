//! What is done for each command.

mod create;
mod setup;
mod teardown;

use std::path::Path;

pub(crate) use self::{create::run as create, setup::run as setup, teardown::run as teardown};

use crate::{input::Container, refusal};
use fwd_base::Result;
use fwd_dataplane::{Dataplane, Described, EndpointId, EndpointOwner, PublishedPorts};
use fwd_kernel::netns::Netns;
use fwd_plugin::Host;

/// Who the endpoint is for podman.
///
/// # Errors
/// The container is not named.
pub(crate) fn identity(container: &Container) -> Result<EndpointId> {
    let (id, ifname) = (&container.container_id, &container.network_options.interface_name);
    for (key, value) in [("container_id", id), ("interface_name", ifname)] {
        if value.is_empty() {
            return Err(refusal(key, "it is empty", "podman has to say it"));
        }
    }
    Ok(EndpointId { owner: EndpointOwner::Netavark, id: id.clone(), ifname: ifname.clone() })
}

/// Another endpoint of a container.
struct Other {
    id: EndpointId,
    /// What leads to it.
    ports: Vec<PublishedPorts>,
    /// The metric of its default route, if it has one.
    metric: Option<u32>,
}

/// What else there is of a container.
#[derive(Default)]
struct Others {
    /// In the namespace that is named, that with the default route that counts first.
    here: Vec<Other>,
    /// In namespaces that were the container's: it has one at a time.
    former: Vec<EndpointId>,
}

impl Others {
    /// Reads what there is besides one endpoint.
    fn read(host: &Host, id: &EndpointId, netns: &Path) -> Result<Self> {
        let plane = host.at.dataplane()?;
        let endpoints = host.endpoints(plane.as_ref(), id.owner)?;
        let is_other = |it: &EndpointId| it.id == id.id && it != id;
        let found: Vec<_> = endpoints.into_iter().filter(|(_, it)| is_other(&it.metadata.id)).collect();
        // Most containers have one network: nothing else is read for them.
        if found.is_empty() {
            return Ok(Self::default());
        }
        let cookie = Netns::open_path(netns).and_then(|ns| ns.cookie()).ok();
        let is_here = |(_, it): &(u32, Described)| Some(it.record.netns_cookie) == cookie;
        let (here, former): (Vec<_>, Vec<_>) = found.into_iter().partition(is_here);
        let publications = plane.as_ref().map(Dataplane::publications).transpose()?.unwrap_or_default();
        let other = |(ifindex, Described { record, metadata, .. }): (u32, Described)| {
            let own = publications.iter().filter(|it| it.endpoint == ifindex && it.cookie == record.netns_cookie);
            let default = metadata.routes.iter().find(|route| route.to.prefix_len() == 0);
            let metric = default.map(|route| route.metric.unwrap_or_default());
            Other { id: metadata.id, ports: own.map(|it| it.ports).collect(), metric }
        };
        let mut here: Vec<Other> = here.into_iter().map(other).collect();
        here.sort_by_key(|it| (it.metric.is_none(), it.metric));
        let former = former.into_iter().map(|(_, endpoint)| endpoint.metadata.id);
        let former = former.filter(|id| here.iter().all(|other| other.id != *id)).collect();
        Ok(Self { here, former })
    }
}
