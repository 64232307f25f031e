//! What rules of nftables say of one endpoint.

use crate::{Actual, EndpointRecord, NetworkRecord, Object, object::SourceNat, settled::Settled};

/// Those of an endpoint that is to be there.
pub(super) fn of_endpoint(settled: &Settled) -> Vec<Object> {
    let Settled { network, endpoint, .. } = settled;
    let Some(leaving) = network.leaving() else { return Vec::new() };
    let addresses = (endpoint.address, endpoint.address6);
    let rules = SourceNat::of((&network.name, network.datapath), addresses, endpoint.source, &leaving);
    rules.map(Object::SourceNat).collect()
}

/// Those of an endpoint with a record, to be taken back.
pub(super) fn of_record(actual: &Actual, endpoint: &EndpointRecord) -> Vec<Object> {
    let Some(network) = actual.network_of(endpoint) else { return Vec::new() };
    let rules = SourceNat::of_record(endpoint, network, &actual.host.net.name_of(network.uplink));
    rules.map(Object::SourceNat).filter(|object| actual.has(object)).collect()
}

/// Those of all endpoints of a network that leaves by `uplink` from now on.
pub(super) fn of_network(actual: &Actual, network: &NetworkRecord, uplink: &str) -> Vec<Object> {
    let endpoints = actual.records.endpoints.iter().filter(|endpoint| endpoint.network == network.name);
    endpoints.flat_map(|endpoint| SourceNat::of_record(endpoint, network, uplink)).map(Object::SourceNat).collect()
}
