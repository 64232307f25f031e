//! Which sysctls are read, and what they are.

use std::collections::{BTreeMap, BTreeSet};

use fwd_base::Result;
use fwd_kernel::{netlink::Link, sysctl};
use fwd_plan::{
    ALL_FORWARDING, ALL_FORWARDING6, ALL_IGNORE_LINKDOWN, Bridging, NetConfig, PROXY_NDP, Records, Undo, accept_ra,
    arp_ignore, disable_ipv6, forwarding, forwarding6, ignore_linkdown, ignore_linkdown6, is_made, rp_filter,
};

/// Forwarding at every interface that is no host-side veth, whatever was changed, and what networks without a bridge need.
pub(in crate::execute) fn sysctls(
    net: &NetConfig,
    undo: &[Undo],
    records: &Records,
) -> Result<BTreeMap<String, String>> {
    let changed = undo.iter().filter_map(|entry| if let Undo::Sysctl(record) = entry { Some(record) } else { None });
    let now = changed.filter_map(|record| record.now(net));
    let mut paths: BTreeSet<String> = now.map(|record| record.path).collect();
    paths.insert(ALL_FORWARDING.into());
    paths.insert(ALL_IGNORE_LINKDOWN.into());
    paths.extend(
        net.links.iter().filter(|link| !is_made(link) || !link.is_of_pair()).map(|link| forwarding(&link.name)),
    );
    let bridges = net.links.iter().filter(|link| is_made(link) && link.kind.as_deref() == Some("bridge"));
    paths.extend(bridges.map(|link| arp_ignore(&link.name)));
    paths.extend(ipv6_sysctls(net));
    paths.extend(bridgeless_sysctls(net, records));
    let mut values = BTreeMap::new();
    for path in paths {
        if let Some(value) = sysctl::read(&path)? {
            values.insert(path, value);
        }
    }
    Ok(values)
}

/// Those of the bridges without ports, and of the host-side veths that are no ports.
fn bridgeless_sysctls(net: &NetConfig, records: &Records) -> Vec<String> {
    let networks = records.networks.iter().filter(|network| network.treatment.bridging == Bridging::None);
    let bridges: BTreeSet<u32> = networks.map(|network| network.index).collect();
    let endpoints = records.endpoints.iter().filter(|endpoint| bridges.contains(&endpoint.network_index));
    let host_veths = endpoints.filter_map(|endpoint| net.by_index(endpoint.index));
    let filters = host_veths.map(|link| rp_filter(&link.name));
    let links = bridges.iter().filter_map(|bridge| net.by_index(*bridge));
    links.flat_map(|link| [ignore_linkdown(&link.name), ignore_linkdown6(&link.name)]).chain(filters).collect()
}

/// Those of IPv6, at the same interfaces.
fn ipv6_sysctls(net: &NetConfig) -> impl Iterator<Item = String> {
    let links = net.links.iter().filter(|link| !is_made(link) || !link.is_of_pair());
    let of = |link: &Link| [forwarding6(&link.name), accept_ra(&link.name), disable_ipv6(&link.name)];
    let usual = [forwarding6("default"), accept_ra("default"), disable_ipv6("default")];
    [ALL_FORWARDING6.into(), PROXY_NDP.into()].into_iter().chain(usual).chain(links.flat_map(of))
}
