//! setup: attaches a container to a network, which is made if it is missing.

use std::path::Path;

use super::{Other, Others, identity};
use crate::{
    input::Container,
    network::{Network, of_container},
    ports, refusal,
    status::Status,
};
use fwd_base::{HostName, Result};
use fwd_dataplane::{Dataplane, EndpointId, PublishedPorts};
use fwd_engine::execute::{Observer, UpResult};
use fwd_plan::{EndpointOptions, TargetRef, UpRequest};
use fwd_plugin::{Answer, Host, by_family};

/// Metric of the default route of a container's first network, as netavark has it.
const METRIC: u32 = 100;

/// Attaches it.
pub(crate) fn run(netns: &Path, container: &Container, host: &Host, observer: &mut dyn Observer) -> Result<Answer> {
    let id = identity(container)?;
    let network = Network::of(&container.network)?;
    let mut warnings = Vec::new();
    let Others { here: others, former } = Others::read(host, &id, netns)?;
    // What a namespace of it still has that its runtime has given up is in its own way.
    for former in &former {
        warnings.extend(host.detach(former, observer)?);
    }
    let publish = published(container, &network, &others, &mut warnings)?;
    let request = request(netns, container, &network, (id, &others), &mut warnings)?;
    let request = request.with_endpoint(|it| it.publish = publish);
    let look = |result: &UpResult, plane: Dataplane| {
        let (_, endpoint) = &result.endpoint;
        Status::read(&plane, endpoint, network.internal, network.dns)
    };
    let (UpResult { warnings: said, .. }, status) = host.attach(&request, observer, look)?;
    warnings.extend(said);
    Ok(Answer { document: Some(status.document()), warnings })
}

/// The ports that are to lead to this endpoint. They are said once for each network of a container: what leads to another endpoint of it
/// already stays there, and into an internal network nothing leads.
fn published(
    container: &Container,
    network: &Network,
    others: &[Other],
    warnings: &mut Vec<String>,
) -> Result<Vec<PublishedPorts>> {
    let mut publish = ports::published(&container.port_mappings)?;
    publish.retain(|ports| others.iter().all(|other| !other.ports.contains(ports)));
    if network.internal && !publish.is_empty() {
        let ports: Vec<String> = publish.iter().map(ToString::to_string).collect();
        warnings.push(format!("network {} is internal: no port leads there, of {}", network.name, ports.join(", ")));
        publish.clear();
    }
    Ok(publish)
}

fn request(
    netns: &Path,
    container: &Container,
    network: &Network,
    (id, others): (EndpointId, &[Other]),
    warnings: &mut Vec<String>,
) -> Result<UpRequest> {
    let options = &container.network_options;
    let (ip, ip6) = by_family(&options.static_ips).map_err(|second| {
        refusal(format!("--ip {second}"), "a container has one address of each family", "leave it out")
    })?;
    let mac = options.static_mac.as_deref().filter(|mac| !mac.is_empty());
    let mac =
        mac.map(|mac| mac.parse().map_err(|why: String| refusal(format!("--mac-address {mac}"), why, "correct it")));
    let endpoint = of_container(&network.options.endpoint, &options.options)?;
    // Each network has a default route, and the first one's counts: by it what comes to published ports is answered.
    let no_default_route = network.internal || endpoint.no_default_route;
    let last = others.iter().filter_map(|other| other.metric).max();
    let metric = (!no_default_route).then(|| last.map_or(METRIC, |last| last.saturating_add(1).max(METRIC)));
    let aliases = if network.dns { names(container, warnings) } else { Vec::new() };
    let target = TargetRef::Path(netns.to_path_buf());
    let metric = endpoint.metric.or(metric);
    network.up(target, EndpointOptions { ip, ip6, mac: mac.transpose()?, metric, aliases, ..endpoint }, id)
}

/// The names by which others find it: its own, and those that podman adds.
fn names(container: &Container, warnings: &mut Vec<String>) -> Vec<HostName> {
    let mut names = Vec::new();
    let given = [&container.container_name].into_iter().chain(&container.network_options.aliases);
    for text in given.filter(|text| !text.is_empty()) {
        match text.parse::<HostName>() {
            Ok(name) if names.contains(&name) => {}
            Ok(name) => names.push(name),
            Err(why) => warnings.push(format!("{text} is no name that can be asked for: {why}")),
        }
    }
    names
}
