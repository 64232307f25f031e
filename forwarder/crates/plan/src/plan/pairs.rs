//! Networks that reach each other where the kernel forwards: those of which each has allowed the other.

use std::collections::BTreeSet;

use crate::{
    Actual, NetworkRecord, Object, SysctlRecord, forwarding,
    object::{NetworkPair, PairedNetwork},
    settled::Network,
    sysctls::{OFF, ON},
};

/// The pairs that a network which is to be there is one of, and forwarding at the bridges of internal networks among them.
pub(super) fn of_network(actual: &Actual, network: &Network) -> Vec<Object> {
    if network.datapath.is_ebpf() {
        return Vec::new();
    }
    let own = PairedNetwork {
        name: network.name.clone(),
        bridge: network.bridge.clone(),
        v4: network.gateway.map(|gateway| gateway.trunc()),
        v6: network.gateway6.map(|gateway| gateway.trunc()),
    };
    let pairs: Vec<NetworkPair> = made(&actual.records.networks, &own, &network.allows).collect();
    let opened = opened(actual, network, &pairs);
    pairs.into_iter().map(Object::NetworkPair).chain(opened).collect()
}

/// Whether the kernel forwards IPv4 that comes from a network, but for an internal one with `pairs`, which is told when their rules are there.
/// Where nothing is to leave, the kernel is told so: no program or rule has to be right.
pub(super) fn forwarding_of(network: &Network, pairs: &[Object]) -> Option<Object> {
    let own = forwards(&network.bridge, network.gateway.is_some() && !network.treatment.internal);
    let opens = |object: &Object| matches!(object, Object::Sysctl(opened) if opened.path == own.path);
    (!pairs.iter().any(opens)).then_some(Object::Sysctl(own))
}

/// Forwarding of IPv4 at the bridges of the internal ones among the networks of `pairs`.
fn opened(actual: &Actual, network: &Network, pairs: &[NetworkPair]) -> Vec<Object> {
    let of_v4 = pairs.iter().filter(|pair| pair.is_of_v4()).flat_map(|pair| &pair.networks);
    let bridges: BTreeSet<&str> = of_v4.map(|paired| paired.bridge.as_str()).collect();
    let others = actual.records.networks.iter().map(|other| (other.bridge.as_str(), other.treatment.internal));
    let known = others.chain([(network.bridge.as_str(), network.treatment.internal)]);
    let internal: BTreeSet<&str> = known.filter(|(_, internal)| *internal).map(|(bridge, _)| bridge).collect();
    bridges.intersection(&internal).map(|bridge| Object::Sysctl(forwards(bridge, true))).collect()
}

/// Whether the kernel forwards IPv4 that comes by a bridge. It goes with the bridge: nothing to remember.
fn forwards(bridge: &str, is_open: bool) -> SysctlRecord {
    let ours = if is_open { ON } else { OFF }.into();
    SysctlRecord { path: forwarding(bridge), original: OFF.into(), ours, interface: None }
}

/// Forwarding at the bridges of internal networks that are one of no pair among `networks`, to be taken back. It is asked of what is on record:
/// the rules of a pair may be gone already.
pub(super) fn closed(actual: &Actual, networks: &[NetworkRecord]) -> Vec<Object> {
    let by_kernel = networks.iter().filter(|network| network.treatment.internal && !network.datapath.is_ebpf());
    let alone = by_kernel.filter(|network| {
        let own = PairedNetwork::of(network);
        !made(networks, &own, &network.allows).any(|pair| pair.is_of_v4())
    });
    let open = alone.map(|network| Object::Sysctl(forwards(&network.bridge, true)));
    open.filter(|object| actual.has(object)).collect()
}

/// Those of a network with a record.
pub(super) fn of_record(actual: &Actual, network: &NetworkRecord) -> Vec<Object> {
    if network.datapath.is_ebpf() {
        return Vec::new();
    }
    let networks = &actual.records.networks;
    made(networks, &PairedNetwork::of(network), &network.allows).map(Object::NetworkPair).collect()
}

fn made(
    networks: &[NetworkRecord],
    own: &PairedNetwork,
    allows: &BTreeSet<String>,
) -> impl Iterator<Item = NetworkPair> {
    let others = networks.iter().filter(|other| !other.datapath.is_ebpf());
    let mutual = others.filter(|other| allows.contains(&other.name) && other.allows.contains(&own.name));
    mutual.filter_map(|other| NetworkPair::new(own.clone(), PairedNetwork::of(other)))
}

/// The pairs that a network is in which allows no more than `allows`, to be taken back.
pub(super) fn withdrawn(actual: &Actual, network: &str, allows: &BTreeSet<String>) -> Vec<Object> {
    let goes = |one: &str, other: &str| one == network && !allows.contains(other);
    there(actual, |one, other| goes(one, other) || goes(other, one))
}

/// The pairs of which one is no more.
pub(super) fn gone(actual: &Actual, is_kept: impl Fn(&str) -> bool) -> Vec<Object> {
    there(actual, |one, other| !is_kept(one) || !is_kept(other))
}

/// Those among the pairs with rules.
fn there(actual: &Actual, goes: impl Fn(&str, &str) -> bool) -> Vec<Object> {
    let names = actual.host.pair_rules.keys().filter_map(|comment| NetworkPair::names(comment));
    names
        .filter(|[one, other]| goes(one, other))
        .map(|names| {
            // Of a network that is no more nothing is known but its name.
            let side = |name: &str| {
                let record = actual.records.networks.iter().find(|network| network.name == name);
                record.map_or_else(|| PairedNetwork::named(name), PairedNetwork::of)
            };
            Object::NetworkPair(NetworkPair { networks: names.map(side) })
        })
        .collect()
}
