//! What rules of nftables say of one endpoint, where the kernel forwards.

use crate::{Actual, EndpointRecord, NetworkRecord, Object, object::SourceNat, settled::Settled};

/// Those of an endpoint that is to be there.
pub(super) fn of_endpoint(settled: &Settled) -> Option<Object> {
    let Settled { network, endpoint, .. } = settled;
    let source = endpoint.source.filter(|_| !network.datapath.is_ebpf())?;
    let (leaving, address) = (network.leaving()?, endpoint.address?.into());
    Some(Object::SourceNat(SourceNat { network: network.name.clone(), leaving, address, source: source.into() }))
}

/// Those of an endpoint with a record, to be taken back.
pub(super) fn of_record(actual: &Actual, endpoint: &EndpointRecord) -> Option<Object> {
    let network = actual.network_of(endpoint)?;
    let rules = SourceNat::of(endpoint, network, &actual.host.net.name_of(network.uplink))?;
    Some(Object::SourceNat(rules)).filter(|object| actual.has(object))
}

/// Those of all endpoints of a network that leaves by `uplink` from now on.
pub(super) fn of_network(actual: &Actual, network: &NetworkRecord, uplink: &str) -> Vec<Object> {
    let endpoints = actual.records.endpoints.iter().filter(|endpoint| endpoint.network == network.name);
    endpoints.filter_map(|endpoint| SourceNat::of(endpoint, network, uplink)).map(Object::SourceNat).collect()
}
