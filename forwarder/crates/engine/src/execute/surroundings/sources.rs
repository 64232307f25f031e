//! Addresses behind which endpoints are to appear, and that the host has lost; or has got, though they are announced.

use std::{collections::BTreeSet, net::IpAddr};

use fwd_base::Result;
use fwd_kernel::netlink::Netlink;
use fwd_plan::{EndpointRecord, NetworkRecord, Records};

/// Those of endpoints of `network`, in words with the remedy.
///
/// # Errors
/// The kernel refuses.
pub(super) fn lost(netlink: &Netlink, records: &Records, network: &NetworkRecord) -> Result<Option<String>> {
    let of_network = records.endpoints.iter().filter(|it| it.network == network.name);
    let wanted: BTreeSet<IpAddr> = of_network.flat_map(of_host).collect();
    if wanted.is_empty() {
        return Ok(None);
    }
    let known: BTreeSet<IpAddr> = netlink.addresses(None)?.into_iter().map(|(_, address)| address.addr()).collect();
    let lost: Vec<String> = wanted.difference(&known).map(ToString::to_string).collect();
    Ok(lost.first().map(|first| {
        format!(
            "the host has lost addresses behind which namespaces of network {} appear, and what these begin there is dropped ({}): give them back \
             (`ip addr add {first}/{} dev INTERFACE`), or attach the namespaces with another --source",
            network.name,
            lost.join(", "),
            if first.contains(':') { 128 } else { 32 },
        )
    }))
}

/// Addresses that are announced for endpoints of `network` because the host does not have them, and which it has got since, in words with the remedy.
///
/// # Errors
/// The kernel refuses.
pub(super) fn come(netlink: &Netlink, records: &Records, network: &NetworkRecord) -> Result<Option<String>> {
    let of_network = records.endpoints.iter().filter(|it| it.network == network.name);
    let announced: BTreeSet<IpAddr> = of_network.flat_map(|it| it.announced().addresses()).collect();
    if announced.is_empty() {
        return Ok(None);
    }
    let known: BTreeSet<IpAddr> = netlink.addresses(None)?.into_iter().map(|(_, address)| address.addr()).collect();
    let come: Vec<String> = announced.intersection(&known).map(ToString::to_string).collect();
    Ok(come.first().map(|first| {
        format!(
            "the host has got addresses itself that are announced for namespaces of network {}, and gets what comes there and is not for these ({}): take \
             them away (`ip addr del {first}/LENGTH dev INTERFACE`), or attach the namespaces without --announce",
            network.name,
            come.join(", "),
        )
    }))
}

/// Those of an endpoint that the host is to have: what it announces it has not.
fn of_host(endpoint: &EndpointRecord) -> impl Iterator<Item = IpAddr> {
    endpoint.source.not_of(endpoint.announce).addresses()
}
