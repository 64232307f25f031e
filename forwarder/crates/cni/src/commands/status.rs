//! STATUS: whether containers can be attached now.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::{
    call::Call,
    delegate::Delegate,
    environment::Command,
    failure::{Code, Failure, Result},
    request,
};
use fwd_dataplane::{Dataplane, name_of};
use fwd_engine::{execute::dry_network, query};
use fwd_kernel::netlink::Netlink;
use fwd_plugin::Answer;

/// Plans for the network, as ADD would, and changes nothing; then looks at what there is of it.
pub(super) fn run(call: &Call) -> Result<Answer> {
    let lost = query::lost(&call.host.at)?;
    if let Some(first) = lost.first() {
        return Err(Failure::new(Code::LimitedConnectivity, first.clone(), "nothing is forwarded meanwhile"));
    }
    if let Some(plane) = call.host.at.dataplane()? {
        network(call, &plane)?;
    }
    if let Some(delegate) = Delegate::of(&call.config, &call.environment)? {
        delegate.run(Command::Status)?;
    }
    let planned = dry_network(&call.host.context, &request::network(call)?).map_err(|error| {
        let Failure { msg, details, .. } = Failure::from(error);
        Failure::new(Code::NotAvailable, msg, details)
    })?;
    Ok(Answer { document: None, warnings: planned.warnings })
}

/// The network, if it is there: its uplink, and whether an address is left.
fn network(call: &Call, plane: &Dataplane) -> Result<()> {
    let name = call.config.network.as_str();
    let networks = plane.networks()?;
    let Some((bridge, record)) = networks.iter().find(|(_, record)| name_of(&record.name) == name) else {
        return Ok(());
    };
    if record.uplink != 0 && !Netlink::here()?.link_by_index(record.uplink)?.is_some_and(|link| link.up) {
        let msg = format!("the uplink of network {name} is down, or gone");
        return Err(Failure::new(Code::LimitedConnectivity, msg, "`fwd ls` names it"));
    }
    let endpoints = plane.endpoints()?;
    let of_network = endpoints.iter().filter(|(_, endpoint)| endpoint.network == *bridge);
    let full = |all: String| {
        let msg = format!("network {name} has no address left, of {all}");
        Err(Failure::new(Code::NotAvailable, msg, "take containers down, or use a network with a larger subnet"))
    };
    if record.gateway_v4 == [0; 4] {
        // Neither the subnet's own nor the gateway's.
        let places = 1_u128.checked_shl(128_u32.saturating_sub(record.prefix_v6)).map_or(u128::MAX, |all| all - 2);
        let is_full = of_network.count() as u128 >= places;
        return if is_full { full(format!("{places} addresses of IPv6")) } else { Ok(()) };
    }
    let prefix = u8::try_from(record.prefix_v4).unwrap_or(32).min(32);
    let gateway = Ipv4Net::new_assert(Ipv4Addr::from(record.gateway_v4), prefix);
    let (first, last) = call.config.endpoint.range.unwrap_or((gateway.network(), gateway.broadcast()));
    let can_be = |address: &Ipv4Addr| ![gateway.network(), gateway.broadcast(), gateway.addr()].contains(address);
    let taken: std::collections::BTreeSet<Ipv4Addr> = of_network.map(|(_, endpoint)| endpoint.v4.into()).collect();
    let mut all = (first.to_bits()..=last.to_bits()).map(Ipv4Addr::from_bits).filter(can_be);
    if all.any(|address| !taken.contains(&address)) {
        return Ok(());
    }
    full(format!("{first} to {last}"))
}
