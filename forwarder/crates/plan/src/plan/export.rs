//! What there is as what there is to be: the inverse of a plan for the whole.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::{
    Actual, AskedLimits, Desired, Endpoint, EndpointOptions, EndpointRecord, HardwareAddress, Limits, Network,
    NetworkRecord, RateLimit, RouteRequest, Sources, TableRequest, UplinkChoice, names, orphans,
};

/// Everything that the records say, so that to plan for it changes nothing where all is as it should be.
#[must_use]
pub fn export(actual: &Actual) -> Desired {
    let records = &actual.records;
    let table = records.table.as_ref().map_or_else(TableRequest::default, |table| TableRequest {
        nat_ports: Some(table.nat_ports),
        max_flows: Some(table.max_flows),
        max_flows_per_ns: Some(table.max_flows_per_ns),
        timeouts: table.timeouts.clone(),
    });
    let networks = records.networks.iter().map(|network| {
        let uplink = records.uplinks.iter().find(|uplink| uplink.index == network.uplink && network.treatment.bound);
        let options = Network {
            uplink: match uplink {
                Some(uplink) => UplinkChoice::Interface(uplink.name.clone()),
                None if network.treatment.internal => UplinkChoice::None,
                None => UplinkChoice::Auto,
            },
            subnet: network.subnet(),
            subnet6: network.subnet6(),
            gateway: network.gateway.filter(|it| it.addr() != first(it.trunc())).map(|gateway| gateway.addr()),
            ipv4: Some(network.ipv4()),
            ipv6: Some(network.ipv6()),
            mtu: Some(network.mtu),
            datapath: Some(network.datapath),
            allow_networks: network.allows.clone(),
            kept: network.kept,
            source: network.source,
            ..network.treatment.as_asked()
        };
        (network.name.clone(), options)
    });
    // The pool is for what comes.
    let endpoints = records.endpoints.iter().filter(|endpoint| !endpoint.marks.pooled).map(|endpoint| {
        let of_network = actual.network_of(endpoint);
        let takes_attach = of_network.is_some_and(|network| network.datapath.takes_attach());
        Endpoint {
            id: endpoint.id.clone(),
            network: endpoint.network.clone(),
            owner_network: endpoint.owner_network.clone(),
            netns: Some(orphans::reference(endpoint)),
            options: EndpointOptions {
                ip: endpoint.address,
                ip6: endpoint.address6,
                // Of a command alone.
                range: None,
                pooled: false,
                host_if: None,
                announce: endpoint.announce.any(),
                allow_spoof: endpoint.allow_spoof,
                source: own_source(endpoint, of_network),
                // Of an internal network nobody has one.
                mac: (endpoint.mac != names::endpoint_mac(endpoint.main_address()))
                    .then_some(HardwareAddress(endpoint.mac)),
                no_default_route: endpoint.no_default_route,
                metric: endpoint.metric,
                routes: endpoint.routes.iter().map(|(to, via)| RouteRequest { to: *to, via: Some(*via) }).collect(),
                limits: said(endpoint.limits),
                policy: Some(endpoint.policy.clone()),
                attach: takes_attach.then_some(endpoint.attach),
                publish: actual.published_by(endpoint).map(|publication| publication.ports).collect(),
                aliases: endpoint.aliases.clone(),
            },
        }
    });
    Desired { table, networks: networks.collect(), endpoints: endpoints.collect(), ..Desired::default() }
}

/// Behind which addresses an endpoint appears that its network does not say. What is announced is always its own.
fn own_source(endpoint: &EndpointRecord, network: Option<&NetworkRecord>) -> Sources {
    let lent = network.map(|network| network.source).unwrap_or_default();
    let own = endpoint.source.besides(lent);
    endpoint.announced().or(own)
}

/// The gateway that a subnet has if nobody asks for another.
fn first(subnet: Ipv4Net) -> Ipv4Addr {
    subnet.hosts().next().unwrap_or_else(|| subnet.network())
}

/// Limits as they are asked for: of what has none nothing is said.
fn said(limits: Limits) -> AskedLimits {
    let some = |limit: RateLimit| (limit.rate != 0).then_some(limit);
    AskedLimits { outbound: some(limits.outbound), inbound: some(limits.inbound) }
}
