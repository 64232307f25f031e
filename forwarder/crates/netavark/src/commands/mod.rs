//! What is done for each command.

mod create;
mod setup;
mod teardown;

pub(crate) use self::{create::run as create, setup::run as setup, teardown::run as teardown};

use crate::{input::Container, refusal};
use fwd_base::Result;
use fwd_dataplane::{Dataplane, EndpointId, EndpointOwner, PublishedPorts};
use fwd_plugin::Host;

/// Who the endpoint is for podman.
///
/// # Errors
/// The container is not named.
fn identity(container: &Container) -> Result<EndpointId> {
    let (id, ifname) = (&container.container_id, &container.network_options.interface_name);
    for (key, value) in [("container_id", id), ("interface_name", ifname)] {
        if value.is_empty() {
            return Err(refusal(key, "it is empty", "podman has to say it"));
        }
    }
    Ok(EndpointId { owner: EndpointOwner::Netavark, id: id.clone(), ifname: ifname.clone() })
}

/// The other endpoints of the same container: their identities, with the ports that lead to them.
fn others(host: &Host, id: &EndpointId) -> Result<Vec<(EndpointId, Vec<PublishedPorts>)>> {
    let plane = host.at.dataplane()?;
    let endpoints = host.endpoints(plane.as_ref(), id.owner)?;
    let mut others =
        endpoints.into_iter().filter(|(_, it)| it.metadata.id.id == id.id && it.metadata.id != *id).peekable();
    // Most containers have one network: nothing else is read for them.
    if others.peek().is_none() {
        return Ok(Vec::new());
    }
    let publications = plane.as_ref().map(Dataplane::publications).transpose()?.unwrap_or_default();
    let with_ports = others.map(|(ifindex, endpoint)| {
        let cookie = endpoint.record.netns_cookie;
        let own = publications.iter().filter(|it| it.endpoint == ifindex && it.cookie == cookie);
        (endpoint.metadata.id, own.map(|it| it.ports).collect())
    });
    Ok(with_ports.collect())
}
