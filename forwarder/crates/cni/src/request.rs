//! From a configuration to what is asked of the engine.

use std::collections::BTreeSet;

use crate::{
    call::Call,
    config::Config,
    failure::{Failure, Result},
};
use fwd_plan::{Caller, EndpointOptions, Network, NetworkRequest, TableRequest, UpRequest, UplinkChoice};
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
        options: options(config)?,
        endpoint: EndpointOptions { ip, ip6, ..config.endpoint.clone() },
        ..UpRequest::new(call.target())
    })
}

/// The network that ADD would join, or make.
///
/// # Errors
/// It is said to be internal, and to have an uplink.
pub(crate) fn network(call: &Call) -> Result<NetworkRequest> {
    let (name, network) = (call.config.network.clone(), options(&call.config)?);
    Ok(NetworkRequest { name, network, forbid: BTreeSet::new(), table: TableRequest::default() })
}

/// What the network is to be. It stays when its last container goes.
fn options(config: &Config) -> Result<Network> {
    let uplink = UplinkChoice::of(config.uplink.clone(), config.internal)?;
    Ok(Network { uplink, kept: true, ..config.options.clone() })
}
