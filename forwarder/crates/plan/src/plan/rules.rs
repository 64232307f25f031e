//! Rules of nftables: of endpoints, and what is lacking of all of a network.

use super::pairs;
use crate::{
    Actual, EndpointRecord, NetworkRecord, Object, RateLimit, Undo,
    object::{Isolation, KernelPolicy, KernelPorts, KernelRate, Published, SourceNat},
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
        host_if: (!endpoint.allow_spoof).then(|| endpoint.host_if.clone()),
        bridge: network.bridge.clone(),
        addresses: endpoint.addresses().collect(),
        broadcast: network.gateway.map(|gateway| gateway.broadcast()),
        from: actual.attached().map(|record| record.policy.clone()).unwrap_or_default(),
        to: endpoint.policy.clone(),
    });
    let rate = (!network.datapath.is_ebpf()).then(|| KernelRate {
        network: network.name.clone(),
        host_if: endpoint.host_if.clone(),
        address: endpoint.main_address(),
        from: actual.attached().map(|record| record.limits.outbound).unwrap_or_default(),
        to: endpoint.limits.outbound,
    });
    let source = source.into_iter().flatten().map(Object::SourceNat);
    source.chain(policy.map(Object::KernelPolicy)).chain(rate.map(Object::KernelRate)).collect()
}

/// Those of an endpoint with a record, to be taken back.
pub(super) fn of_record(actual: &Actual, endpoint: &EndpointRecord) -> Vec<Object> {
    let Some(network) = actual.network_of(endpoint) else { return Vec::new() };
    let source = SourceNat::of_record(endpoint, network, &actual.host.net.name_of(network.uplink));
    let source = source.map(Object::SourceNat).filter(|object| actual.has(object));
    let host_if = actual.host.net.name_of(endpoint.index);
    let policy = KernelPolicy::of(endpoint, host_if.clone(), network, endpoint.policy.clone());
    let policy = policy.filter(|rules| rules.has_some(actual)).map(|rules| KernelPolicy { from: Vec::new(), ..rules });
    let rate = KernelRate::of(endpoint, host_if, network, endpoint.limits.outbound);
    let rate = rate.filter(|rate| actual.host.rate_rules.contains_key(&rate.comment()));
    let rate = rate.map(|rate| KernelRate { from: RateLimit::default(), ..rate });
    source.chain(policy.map(Object::KernelPolicy)).chain(rate.map(Object::KernelRate)).collect()
}

/// Those of all endpoints of a network that leaves by `uplink` from now on, in which that is named.
pub(super) fn of_network(actual: &Actual, network: &NetworkRecord, uplink: &str) -> Vec<Object> {
    let endpoints = actual.records.endpoints.iter().filter(|endpoint| endpoint.network == network.name);
    let of_one = |endpoint| {
        let source = SourceNat::of_record(endpoint, network, uplink).map(Object::SourceNat);
        source.chain(ports(actual, endpoint, uplink))
    };
    endpoints.flat_map(of_one).collect()
}

/// The ports of an endpoint that the kernel's own NAT leads to, whose network leaves by `uplink`.
fn ports(actual: &Actual, endpoint: &EndpointRecord, uplink: &str) -> impl Iterator<Item = Object> {
    let kernel = actual.kernel_ports(endpoint);
    let kernel = kernel.map(|it| KernelPorts { uplink: it.uplink.map(|_| uplink.to_owned()), ..it });
    let published = kernel.iter().flat_map(|_| actual.published_by(endpoint)).map(|it| it.ports).collect::<Vec<_>>();
    let (host_if, recorded) = (actual.host.net.name_of(endpoint.index), Some((endpoint.index, endpoint.cookie)));
    published.into_iter().map(move |ports| {
        let (host_if, kernel) = (host_if.clone(), kernel.clone());
        Object::Published(Published { host_if, recorded, ports, kernel })
    })
}

impl Actual {
    /// The rules of nftables of a network that are not there: somebody else has taken them away, or a command was killed before it made them.
    #[must_use]
    pub fn lost_rules(&self, network: &NetworkRecord) -> Vec<Object> {
        // Without its uplink there is nothing that they could name.
        if network.treatment.bound && self.recorded(network.uplink).is_none() {
            return Vec::new();
        }
        let uplink = self.host.net.name_of(network.uplink);
        let name = || network.name.clone();
        let isolation = (!network.datapath.is_ebpf()).then(|| {
            let (bridge, separation) = (network.bridge.clone(), network.treatment.separation());
            Object::Isolation(Isolation { network: name(), bridge, separation })
        });
        let masquerade = network.masquerade(&uplink).map(Object::Masquerade);
        let rules6 = network.rules6(&uplink).map(Object::Rules6);
        let ipv4 = isolation.into_iter().chain(masquerade).map(|rule| (Undo::Masquerade { network: name() }, rule));
        let all = ipv4.chain(rules6.map(|rule| (Undo::Rules6 { network: name() }, rule)));
        let lost = all.filter(|(_, rule)| !self.has(rule)).flat_map(|(noted, rule)| [Object::Undo(noted), rule]);
        lost.chain(pairs::of_record(self, network).into_iter().filter(|pair| !self.has(pair))).collect()
    }

    /// The same of an endpoint.
    #[must_use]
    pub fn lost_rules_of(&self, endpoint: &EndpointRecord) -> Vec<Object> {
        let Some(network) = self.network_of(endpoint).filter(|_| self.is_live(endpoint)) else { return Vec::new() };
        let uplink = self.host.net.name_of(network.uplink);
        let source = SourceNat::of_record(endpoint, network, &uplink).map(Object::SourceNat);
        let host_if = self.host.net.name_of(endpoint.index);
        let rate = KernelRate::of(endpoint, host_if.clone(), network, endpoint.limits.outbound).map(Object::KernelRate);
        let policy = KernelPolicy::of(endpoint, host_if, network, endpoint.policy.clone()).map(Object::KernelPolicy);
        let rules = source.chain(policy).chain(rate).chain(ports(self, endpoint, &uplink));
        rules.filter(|object| !self.has(object)).collect()
    }
}
