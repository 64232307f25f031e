//! Addresses by which others know the host.

use std::net::IpAddr;

use forwarder_common::decide::unsolicited::publish::{is_host_address, is_host_address_v6};

use crate::{Actual, NetworkRecord};
use fwd_base::Kind;

/// Checks that an address is one of them.
///
/// # Errors
/// What kind of a mistake it is otherwise, and why.
pub(crate) fn check(address: IpAddr, actual: &Actual) -> Result<(), (Kind, String)> {
    check_possible(address, actual)?;
    if has(address, actual) { Ok(()) } else { Err((Kind::NotFound, format!("the host has no address {address}"))) }
}

/// Whether the host has an address.
pub(crate) fn has(address: IpAddr, actual: &Actual) -> bool {
    actual.host.net.addresses.iter().any(|(_, known)| known.addr() == address)
}

/// Checks that an address can be one by which others know the host.
///
/// # Errors
/// As [`check`].
pub(crate) fn check_possible(address: IpAddr, actual: &Actual) -> Result<(), (Kind, String)> {
    let is_one = match address {
        IpAddr::V4(address) => is_host_address(address.octets()),
        IpAddr::V6(address) => is_host_address_v6(address.octets()),
    };
    if !is_one {
        let link = matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
        let why = if link { "names a host on one link alone" } else { "is no address of a host" };
        return Err((Kind::Usage, format!("{address} {why}")));
    }
    let mut networks = actual.records.networks.iter();
    let has = |network: &&NetworkRecord| network.subnets().any(|subnet| subnet.contains(&address));
    if let Some(network) = networks.find(has) {
        let why = format!("{address} is an address of network {}, which nobody reaches from outside", network.name);
        return Err((Kind::Usage, why));
    }
    Ok(())
}
