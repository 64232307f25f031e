//! What is connected to what: bridges of the host, whoever is at their ports, and what leads outside.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::{
    HostNetns, State,
    interface::{self, Finder},
};
use fwd_base::{Result, text::Untrusted};
use fwd_kernel::{
    netlink::{Link, Netlink},
    netns::{Listed, Netns},
};
use fwd_plan::{NetConfig, is_made};
use fwd_render::{
    BRIDGE_OWNERS, EndpointView, GraphBridge, GraphPort, GraphUplink, GraphView, NetworkView, UplinkView,
};

/// Everything, as it is now; without [`State`], what others have made.
///
/// # Errors
/// The maps or the kernel cannot be read.
pub fn graph(at: &HostNetns, state: Option<&State>) -> Result<GraphView> {
    let netlink = Netlink::here()?;
    let (links, addresses, routes) = (netlink.links()?, netlink.addresses(None)?, netlink.routes()?);
    let net = NetConfig { links, addresses, routes, ..NetConfig::default() };
    let uplinks = state.map(State::uplinks).transpose()?.unwrap_or_default();
    let endpoints = state.map(State::views).transpose()?.unwrap_or_default();
    let networks = state.map(State::network_views).transpose()?.unwrap_or_default();
    let seen =
        Seen { at, net: &net, finder: Finder::new(at, &at.host)?, endpoints, networks, containers: containers(at)? };
    let default: BTreeSet<u32> =
        net.routes.iter().filter(|route| route.destination.prefix_len() == 0).map(|route| route.ifindex).collect();
    let mut bridges = net
        .links
        .iter()
        .filter(|link| is_bridge(link))
        .map(|link| seen.bridge(link, &default))
        .collect::<Result<Vec<_>>>()?;
    bridges.sort_by_key(|bridge| bridge.owner != BRIDGE_OWNERS[0]);
    let leads = |link: &&Link| {
        let is_uplink = uplinks.iter().any(|uplink| uplink.ifindex == link.index);
        // A bridge is drawn with what is at it.
        (is_uplink || default.contains(&link.index)) && !is_made(link) && !is_bridge(link)
    };
    let uplinks = net.links.iter().filter(leads).map(|link| uplink(&net, link, &uplinks)).collect();
    Ok(GraphView { uplinks, bridges })
}

/// How packets of a network are forwarded and translated.
fn forwarded(network: &NetworkView) -> String {
    let nat = network.nat.as_ref().map_or_else(String::new, |nat| format!(" ({nat})"));
    match network.internal {
        true => format!("internal, {}", network.datapath),
        false => format!("masquerade{nat}, {}", network.datapath),
    }
}

/// What containers that run are called, by the inodes of their namespaces: `web (docker)`. Of several that share one, the first; one that has the
/// network of a host lends it no name.
fn containers(at: &HostNetns) -> Result<BTreeMap<u64, String>> {
    let hosts = [Some(at.host.inode()?), Netns::open_pid(1).and_then(|ns| ns.inode()).ok()];
    let mut found = BTreeMap::new();
    for container in fwd_container::running("/".as_ref()) {
        let inode = container.open().and_then(|ns| ns.inode()).ok();
        if let Some(inode) = inode.filter(|_| !hosts.contains(&inode)) {
            let name = || format!("{} ({})", container.label(), container.runtime.name());
            found.entry(inode).or_insert_with(name);
        }
    }
    Ok(found)
}

fn is_bridge(link: &Link) -> bool {
    link.kind.as_deref() == Some("bridge")
}

/// The addresses of an interface.
fn addresses(net: &NetConfig, index: u32) -> Vec<IpNet> {
    net.addresses.iter().filter(|(of, _)| *of == index).map(|(_, address)| *address).collect()
}

fn uplink(net: &NetConfig, link: &Link, uplinks: &[UplinkView]) -> GraphUplink {
    GraphUplink {
        uplink: link.name.clone().into(),
        addresses: addresses(net, link.index),
        guarded: uplinks.iter().any(|uplink| uplink.ifindex == link.index && uplink.guarded),
        up: link.up,
    }
}

/// What is looked up for each bridge.
struct Seen<'a> {
    at: &'a HostNetns,
    net: &'a NetConfig,
    finder: Finder,
    endpoints: Vec<EndpointView>,
    networks: Vec<NetworkView>,
    /// What containers that run are called, by the inodes of their namespaces.
    containers: BTreeMap<u64, String>,
}

impl Seen<'_> {
    fn bridge(&self, link: &Link, default: &BTreeSet<u32>) -> Result<GraphBridge> {
        // Where a network has no bridge, its namespaces are shown at the interface in that place.
        let of_network = |it: &EndpointView, port: &Link| {
            it.policy.bridgeless && it.bridge.exact() == link.name && it.host_if.exact() == port.name
        };
        let is_port = |port: &&Link| {
            port.controller == Some(link.index) || self.endpoints.iter().any(|endpoint| of_network(endpoint, port))
        };
        let ports: Vec<&Link> = self.net.links.iter().filter(is_port).collect();
        let network = self.networks.iter().find(|it| !it.gone && it.bridge.exact() == link.name);
        let member = self.endpoints.iter().find(|it| it.bridge.exact() == link.name);
        let by_default = default.iter().filter_map(|index| self.net.by_index(*index));
        let leaves_by: Vec<Untrusted> = match (network, member) {
            (Some(network), _) if network.internal => Vec::new(),
            (Some(_), Some(member)) => member.leaves_by.clone(),
            (Some(network), None) => network.uplink_now.iter().cloned().collect(),
            // Those of others go where the host's routes say.
            (None, _) => by_default.map(|link| link.name.clone().into()).collect(),
        };
        Ok(GraphBridge {
            bridge: link.name.clone().into(),
            owner: BRIDGE_OWNERS[usize::from(network.is_none())],
            forwarded: network.map(forwarded),
            network: network.map(|network| network.network.clone()),
            addresses: addresses(self.net, link.index),
            leaves_by,
            ports: ports.into_iter().map(|port| self.port(port)).collect::<Result<_>>()?,
        })
    }

    fn port(&self, port: &Link) -> Result<GraphPort> {
        let endpoint = self.endpoints.iter().find(|it| it.host_if.exact() == port.name);
        let published = endpoint.map(|endpoint| endpoint.published.clone()).unwrap_or_default();
        let alone =
            GraphPort { host_if: port.name.clone().into(), ns: None, ns_if: None, addresses: Vec::new(), published };
        let Some((ns, listed, other)) = self.finder.other_end(port)? else { return Ok(alone) };
        if listed.inode == self.at.host.inode()? {
            // A cable between two bridges of the host.
            return Ok(GraphPort { ns_if: Some(other.name.into()), ..alone });
        }
        let addresses = Netlink::open(&ns)?.addresses(Some(other.index))?;
        Ok(GraphPort {
            ns: Some(self.called(endpoint, listed)),
            ns_if: Some(other.name.into()),
            addresses: addresses.into_iter().map(|(_, address)| address).collect(),
            ..alone
        })
    }

    /// What a namespace is called: by the name that people gave to `fwd`, as a container, by another name (those that runtimes give say nothing), a
    /// process, or its inode.
    fn called(&self, endpoint: Option<&EndpointView>, listed: &Listed) -> Untrusted {
        let is_of_runtime = |endpoint: &&EndpointView| endpoint.is_of_runtime();
        let given = endpoint.filter(|it| !is_of_runtime(it)).and_then(|endpoint| endpoint.ns.clone());
        let called = || self.containers.get(&listed.inode).cloned();
        let attached = || endpoint.filter(is_of_runtime).map(EndpointView::owned_label);
        let process = || listed.example.as_ref().map(|it| format!("{} (pid {})", it.comm, it.pid));
        let rest = || called().or_else(attached).or_else(|| interface::name(listed)).or_else(process);
        given.unwrap_or_else(|| rest().unwrap_or_else(|| format!("net:[{}]", listed.inode)).into())
    }
}
