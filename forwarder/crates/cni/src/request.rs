//! From a configuration to what is asked of the engine.

use std::collections::BTreeSet;

use ipnet::IpNet;

use crate::{
    call::Call,
    config::Config,
    failure::{Failure, Result},
};
use fwd_plan::{Caller, Network, NetworkRequest, TableRequest, UpRequest, UplinkChoice};
use fwd_plugin::by_family;

/// What ADD asks for, with addresses as `config` has them.
///
/// # Errors
/// Two addresses of one family are asked for.
pub(crate) fn up(call: &Call, config: &Config) -> Result<UpRequest> {
    let environment = &call.environment;
    let (ip, ip6) = by_family(&config.addresses)
        .map_err(|second| Failure::unsupported("ips", second, "give one address of each family"))?;
    Ok(UpRequest {
        caller: Some(Caller { id: environment.id(), network: config.name.clone() }),
        ifname: Some(environment.ifname.clone()),
        network: Some(config.network.clone()),
        uplink: config.uplink.clone(),
        subnet: config.subnet,
        gateway: config.gateway,
        range: config.range,
        ipv4: config.ipv4,
        ipv6: config.ipv6,
        subnet6: config.subnet6,
        ip,
        ip6,
        mac: config.mac,
        mtu: config.mtu,
        datapath: config.datapath,
        attach: config.attach,
        nat: config.nat,
        internal: config.internal,
        no_icc: config.no_icc,
        dns: config.name_server,
        kept: true,
        aliases: config.aliases.clone(),
        no_default_route: config.no_default_route,
        routes: config.routes.clone(),
        limits: config.limits,
        publish: config.publish.clone(),
        ..UpRequest::new(call.target())
    })
}

/// The network that ADD would join, or make.
pub(crate) fn network(call: &Call) -> NetworkRequest {
    let config = &call.config;
    let uplink = match (&config.uplink, config.internal) {
        (_, true) => UplinkChoice::None,
        (Some(uplink), false) => UplinkChoice::Interface(uplink.clone()),
        (None, false) => UplinkChoice::Auto,
    };
    let subnets = config.subnet.map(IpNet::from).into_iter().chain(config.subnet6.map(IpNet::from));
    let network = Network {
        uplink,
        subnets: subnets.collect(),
        gateway: config.gateway,
        ipv4: config.ipv4,
        ipv6: config.ipv6,
        mtu: config.mtu,
        datapath: config.datapath,
        nat: config.nat,
        no_icc: config.no_icc,
        dns: config.name_server,
        kept: true,
        ..Network::default()
    };
    NetworkRequest { name: config.network.clone(), network, forbid: BTreeSet::new(), table: TableRequest::default() }
}
