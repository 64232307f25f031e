//! Networks that reach each other where the kernel forwards: those of which each has allowed the other.

use std::collections::BTreeSet;

use crate::{
    Actual, NetworkRecord, Object,
    object::{NetworkPair, PairedNetwork},
    settled::Network,
};

/// The pairs that a network which is to be there is one of.
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
    made(actual, &own, &network.allows).map(Object::NetworkPair).collect()
}

/// Those of a network with a record.
pub(super) fn of_record(actual: &Actual, network: &NetworkRecord) -> Vec<Object> {
    if network.datapath.is_ebpf() {
        return Vec::new();
    }
    made(actual, &PairedNetwork::of(network), &network.allows).map(Object::NetworkPair).collect()
}

fn made(actual: &Actual, own: &PairedNetwork, allows: &BTreeSet<String>) -> impl Iterator<Item = NetworkPair> {
    let others = actual.records.networks.iter().filter(|other| !other.datapath.is_ebpf());
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
