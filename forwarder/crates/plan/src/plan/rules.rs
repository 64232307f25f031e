//! What rules of nftables say of one endpoint.

use crate::{
    Actual, EndpointRecord, NetworkRecord, Object,
    object::{KernelPolicy, SourceNat},
    settled::Settled,
};

/// Those of an endpoint that is to be there.
pub(super) fn of_endpoint(actual: &Actual, settled: &Settled) -> Vec<Object> {
    let Settled { network, endpoint, .. } = settled;
    let addresses = (endpoint.address, endpoint.address6);
    let source = network
        .leaving()
        .map(|leaving| SourceNat::of((&network.name, network.datapath), addresses, endpoint.source, &leaving));
    let policy = (!network.datapath.is_ebpf()).then(|| KernelPolicy {
        network: network.name.clone(),
        bridge: network.bridge.clone(),
        addresses: endpoint.addresses().collect(),
        broadcast: network.gateway.map(|gateway| gateway.broadcast()),
        from: actual.attached().map(|record| record.policy.clone()).unwrap_or_default(),
        to: endpoint.policy.clone(),
    });
    let source = source.into_iter().flatten().map(Object::SourceNat);
    source.chain(policy.map(Object::KernelPolicy)).collect()
}

/// Those of an endpoint with a record, to be taken back.
pub(super) fn of_record(actual: &Actual, endpoint: &EndpointRecord) -> Vec<Object> {
    let Some(network) = actual.network_of(endpoint) else { return Vec::new() };
    let source = SourceNat::of_record(endpoint, network, &actual.host.net.name_of(network.uplink));
    let source = source.map(Object::SourceNat).filter(|object| actual.has(object));
    let policy = KernelPolicy::of(endpoint, network, endpoint.policy.clone());
    let policy = policy.filter(|rules| rules.has_some(actual)).map(|rules| KernelPolicy { from: Vec::new(), ..rules });
    source.chain(policy.map(Object::KernelPolicy)).collect()
}

/// Those of all endpoints of a network that leaves by `uplink` from now on.
pub(super) fn of_network(actual: &Actual, network: &NetworkRecord, uplink: &str) -> Vec<Object> {
    let endpoints = actual.records.endpoints.iter().filter(|endpoint| endpoint.network == network.name);
    endpoints.flat_map(|endpoint| SourceNat::of_record(endpoint, network, uplink)).map(Object::SourceNat).collect()
}
