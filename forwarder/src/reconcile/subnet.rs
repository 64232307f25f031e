//! Which addresses a network and its endpoints get.

use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};

use super::{Actual, EndpointRecord, NetworkRecord};
use crate::{Error, Kind, Result};

/// Where networks without `--subnet` are put.
const POOL: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 77, 0, 0), 16);
/// Length of their prefixes.
const POOL_PREFIX: u8 = 24;
/// Room for a network address, a gateway, an endpoint and a broadcast address.
const LONGEST_PREFIX: u8 = 30;
/// More than any private range.
const SHORTEST_PREFIX: u8 = 8;

/// Checks a subnet that the user gave.
///
/// # Errors
/// [`Kind::Usage`].
pub(super) fn check(subnet: Ipv4Net) -> Result<()> {
    let refuse = |why: String| Error::new(Kind::Usage, "use", format!("subnet {subnet}"), why);
    if subnet.prefix_len() > LONGEST_PREFIX {
        let why = "it is too small: a network needs a gateway and at least one endpoint besides its own and the broadcast address";
        return Err(refuse(why.into()).remedy(format!("use a /{LONGEST_PREFIX} or larger")));
    }
    if subnet.prefix_len() < SHORTEST_PREFIX {
        return Err(refuse("it is too large".into()).remedy(format!("use a /{SHORTEST_PREFIX} or smaller")));
    }
    if subnet.trunc() != subnet {
        return Err(refuse("it is an address inside a subnet".into()).remedy(format!("use {}", subnet.trunc())));
    }
    let first = subnet.network();
    if first.is_multicast() || first.is_loopback() || first.octets()[0] == 0 || first.octets()[0] >= 240 {
        return Err(refuse("its addresses cannot be given to an interface".into())
            .remedy("use a private range, such as 10.77.0.0/24"));
    }
    Ok(())
}

/// The gateway of a subnet: its first address.
#[must_use]
pub(super) fn gateway(subnet: Ipv4Net) -> Ipv4Net {
    let first = Ipv4Addr::from_bits(subnet.network().to_bits().saturating_add(1));
    Ipv4Net::new_assert(first, subnet.prefix_len())
}

/// The first subnet of the pool that overlaps nothing.
///
/// # Errors
/// [`Kind::Conflict`] if there is none.
pub(super) fn free(actual: &Actual) -> Result<Ipv4Net> {
    let mut candidates = POOL.subnets(POOL_PREFIX).into_iter().flatten();
    candidates.find(|candidate| occupant(actual, *candidate).is_none()).ok_or_else(|| {
        let why = occupant(actual, POOL).unwrap_or_else(|| "all of it is in use".into());
        Error::new(
            Kind::Conflict,
            "choose a subnet in",
            POOL.to_string(),
            format!("no /{POOL_PREFIX} of it is free: {why}"),
        )
        .remedy("choose one with --subnet")
    })
}

/// What overlaps `subnet`, in words: a network, an address or a route of the host, or one inside the target.
#[must_use]
pub(super) fn occupant(actual: &Actual, subnet: Ipv4Net) -> Option<String> {
    let network = actual.records.networks.iter().find(|network| overlap(network.gateway, subnet));
    if let Some(network) = network {
        return Some(format!("network {} has {}", network.name, network.gateway.trunc()));
    }
    let host = &actual.host.net;
    occupant_of(host, subnet, "").or_else(|| inside(actual, subnet))
}

/// What overlaps `subnet` inside the target, in words.
#[must_use]
pub(super) fn inside(actual: &Actual, subnet: Ipv4Net) -> Option<String> {
    actual.inside().and_then(|inside| occupant_of(&inside.net, subnet, " in the namespace"))
}

fn occupant_of(net: &super::Net, subnet: Ipv4Net, place: &str) -> Option<String> {
    let address = net.addresses.iter().find(|(_, address)| overlaps(*address, subnet));
    if let Some((index, address)) = address {
        return Some(format!("{}{place} has the address {address}", net.name_of(*index)));
    }
    let route = net.routes.iter().find(|route| !is_default(route.destination) && overlaps(route.destination, subnet));
    route
        .map(|route| format!("there is a route to {} through {}{place}", route.destination, net.name_of(route.ifindex)))
}

/// A default route, or half of one: VPNs route 0.0.0.0/1 and 128.0.0.0/1 instead.
fn is_default(destination: IpNet) -> bool {
    destination.prefix_len() <= 1
}

fn overlaps(address: IpNet, subnet: Ipv4Net) -> bool {
    matches!(address, IpNet::V4(v4) if overlap(v4, subnet))
}

fn overlap(a: Ipv4Net, b: Ipv4Net) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

/// Checks an address that the user gave for an endpoint.
///
/// # Errors
/// [`Kind::Usage`] if no endpoint can have it, [`Kind::Conflict`] if another one does.
pub(super) fn check_address(
    address: Ipv4Addr,
    gateway: Ipv4Net,
    network: &str,
    endpoints: &[EndpointRecord],
) -> Result<()> {
    let subnet = gateway.trunc();
    let refuse = |kind, why: String| {
        Error::new(kind, "use", format!("address {address}"), why)
            .remedy(format!("leave out --ip, or choose a free address of {subnet}"))
    };
    let why = if !subnet.contains(&address) {
        format!("it is outside of {subnet}, the subnet of network {network}")
    } else if address == gateway.addr() {
        format!("it is the gateway of network {network}")
    } else if address == subnet.network() {
        format!("it is the address of {subnet} itself")
    } else if address == subnet.broadcast() {
        format!("it is the broadcast address of {subnet}")
    } else {
        let owner = endpoints.iter().find(|endpoint| endpoint.network == network && endpoint.address == address);
        return owner
            .map_or(Ok(()), |owner| Err(refuse(Kind::Conflict, format!("namespace {} has it", owner.label()))));
    };
    Err(refuse(Kind::Usage, why))
}

/// The next address after the one given last that is free: an address just given back is not given out at once.
///
/// # Errors
/// [`Kind::Failed`] if all are taken.
pub(super) fn allocate(
    gateway: Ipv4Net,
    last: Ipv4Addr,
    network: &str,
    endpoints: &[EndpointRecord],
) -> Result<Ipv4Addr> {
    let subnet = gateway.trunc();
    let (first, end) = (subnet.network().to_bits() + 1, subnet.broadcast().to_bits());
    let taken = |address: &Ipv4Addr| {
        *address == gateway.addr() || endpoints.iter().any(|e| e.network == network && e.address == *address)
    };
    let start = last.to_bits().saturating_add(1).clamp(first, end);
    let mut candidates = (start..end).chain(first..start).map(Ipv4Addr::from_bits);
    candidates.find(|address| !taken(address)).ok_or_else(|| {
        Error::new(
            Kind::Failed,
            "find an address in",
            format!("network {network}"),
            format!("all of {subnet} is taken"),
        )
        .remedy("attach the namespace to another network: --network NAME --subnet CIDR")
    })
}

/// The subnet of a network.
impl NetworkRecord {
    /// Its addresses.
    #[must_use]
    pub fn subnet(&self) -> Ipv4Net {
        self.gateway.trunc()
    }
}
