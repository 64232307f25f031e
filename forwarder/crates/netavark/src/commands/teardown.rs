//! teardown: detaches a container from a network, as far as anything of it is there.

use std::path::Path;

use super::{Others, identity};
use crate::{input::Container, ports};
use fwd_base::Result;
use fwd_dataplane::{EndpointId, PublishedPorts};
use fwd_engine::execute::{Observer, change_ports};
use fwd_plan::{PortRequest, TargetRef};
use fwd_plugin::{Answer, Host};

/// Detaches it. What is not there is no error; the network goes with its last container. Ports that led to it lead to another endpoint of the
/// container from then on, if it has one.
pub(crate) fn run(netns: &Path, container: &Container, host: &Host, observer: &mut dyn Observer) -> Result<Answer> {
    let id = identity(container)?;
    let mut warnings = host.detach(&id, observer)?;
    // What podman may have noted otherwise by now keeps nobody from leaving.
    let wanted = ports::published(&container.port_mappings).unwrap_or_default();
    if !wanted.is_empty()
        && let Err(error) = hand_over(netns, &wanted, host, &id, observer)
    {
        warnings.push(error.to_string());
    }
    Ok(Answer { document: None, warnings })
}

/// Publishes what was published for an endpoint that is gone for the first of the others that can have it.
fn hand_over(
    netns: &Path,
    wanted: &[PublishedPorts],
    host: &Host,
    id: &EndpointId,
    observer: &mut dyn Observer,
) -> Result<()> {
    let Others { here: others, .. } = Others::read(host, id, netns)?;
    let led: Vec<PublishedPorts> = others.iter().flat_map(|other| &other.ports).copied().collect();
    let add: Vec<PublishedPorts> = wanted.iter().filter(|ports| !led.contains(ports)).copied().collect();
    if add.is_empty() {
        return Ok(());
    }
    let mut tried = Ok(());
    for other in others {
        let (target, ifname) = (TargetRef::Path(netns.to_path_buf()), Some(other.id.ifname));
        let request = PortRequest { target, ifname, add: add.clone(), remove: Vec::new() };
        match change_ports(&host.context, &request, observer) {
            Ok(_) => return Ok(()),
            Err(error) => tried = Err(error),
        }
    }
    tried
}
