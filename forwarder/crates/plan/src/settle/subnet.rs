//! Which addresses a network and its endpoints get.

pub(in crate::settle) mod ipv4;
pub(crate) mod overlap;

use std::{collections::BTreeSet, net::Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use self::overlap::{Overlaps, occupant};
use crate::{Actual, EndpointRecord};
use fwd_base::{Cause, Error, Kind, Result, text::option};

/// Where networks without `--subnet` are put, in this order: what private networks and VPNs use least, and at last the block between
/// a provider and its customers (RFC 6598).
const POOL: [Ipv4Net; 4] = [
    Ipv4Net::new_assert(Ipv4Addr::new(10, 77, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 30, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10),
];
/// Length of their prefixes.
const POOL_PREFIX: u8 = 24;
/// What else may be suggested: the rest of the private ranges (RFC 1918), and the block for benchmarks (RFC 2544).
const BEYOND: [Ipv4Net; 3] = [
    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
    Ipv4Net::new_assert(Ipv4Addr::new(198, 18, 0, 0), 15),
];
/// Room for a network address, a gateway, an endpoint and a broadcast address.
const LONGEST_PREFIX: u8 = 30;
/// More than any private range.
const SHORTEST_PREFIX: u8 = 8;

/// Checks a subnet that the user gave.
///
/// # Errors
/// [`Kind::Usage`].
pub(crate) fn check(subnet: Ipv4Net) -> Result<()> {
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

/// The gateway of a subnet: the address that was `given`, or its first.
///
/// # Errors
/// [`Kind::Usage`] if a gateway cannot have it.
pub(crate) fn gateway(subnet: Ipv4Net, given: Option<Ipv4Addr>) -> Result<Ipv4Net> {
    let first = Ipv4Addr::from_bits(subnet.network().to_bits().saturating_add(1));
    let gateway = given.unwrap_or(first);
    let why = if !subnet.contains(&gateway) {
        format!("it is outside of the subnet {subnet}")
    } else if gateway == subnet.network() || gateway == subnet.broadcast() {
        format!("it is the first or the last address of {subnet}, which no interface has")
    } else {
        return Ok(Ipv4Net::new_assert(gateway, subnet.prefix_len()));
    };
    Err(Error::new(Kind::Usage, "use", format!("gateway {gateway}"), why)
        .remedy(format!("leave out --gateway: {first} is taken")))
}

/// The first subnet of the pool that overlaps nothing, else the first that is only a part of what routes lead to: of `10.0.0.0/8`,
/// say, by which VPNs reach whatever is there.
///
/// # Errors
/// [`Kind::Conflict`] if there is none.
pub(crate) fn free(actual: &Actual) -> Result<Ipv4Net> {
    free_besides(actual, &[])
}

/// The same, if each of `taken` were in use, too.
///
/// # Errors
/// As [`free`].
pub(crate) fn free_besides(actual: &Actual, taken: &[IpNet]) -> Result<Ipv4Net> {
    find_besides(actual, taken, &POOL, POOL_PREFIX).ok_or_else(|| {
        let pools = POOL.map(|pool| pool.to_string()).join(", ");
        let why = occupant(actual, POOL[0]).unwrap_or_else(|| "all of it is in use".into());
        let error =
            Error::new(Kind::Conflict, "choose a subnet in", pools, format!("no /{POOL_PREFIX} is free: {why}"));
        error.remedy(match find_besides(actual, taken, &BEYOND, POOL_PREFIX) {
            Some(subnet) => format!("choose one yourself, such as --subnet {subnet}"),
            None => "take a network down that you do not need; `fwd ls` lists them".into(),
        })
    })
}

/// A free subnet with about as many addresses as a bridge has ports.
#[must_use]
pub(crate) fn roomy(actual: &Actual) -> Option<Ipv4Net> {
    const PREFIX: u8 = 22;
    find(actual, &POOL, PREFIX).or_else(|| find(actual, &BEYOND, PREFIX))
}

/// How many endpoints have room in a subnet: its own address, the gateway and the broadcast address are none.
#[must_use]
pub(crate) fn room(subnet: Ipv4Net) -> usize {
    let addresses = 1_usize << (32 - subnet.prefix_len());
    addresses.saturating_sub(3)
}

/// Checks that nothing of `subnet` is in use.
///
/// # Errors
/// [`Kind::Conflict`], with one that is free as the remedy.
pub(crate) fn check_unused(actual: &Actual, subnet: Ipv4Net) -> Result<()> {
    let Some(occupant) = occupant(actual, subnet) else { return Ok(()) };
    let error = Error::new(Kind::Conflict, "use", format!("subnet {subnet}"), occupant).because(Cause::SubnetTaken);
    Err(error.remedy(match (find(actual, &POOL, POOL_PREFIX), find(actual, &BEYOND, POOL_PREFIX)) {
        (Some(free), _) => format!("leave out --subnet: {free} is taken then"),
        (None, Some(free)) => format!("choose another, such as --subnet {free}"),
        (None, None) => "take a network down that you do not need; `fwd ls` lists them".into(),
    }))
}

fn find(actual: &Actual, pools: &[Ipv4Net], prefix: u8) -> Option<Ipv4Net> {
    find_besides(actual, &[], pools, prefix)
}

fn find_besides(actual: &Actual, taken: &[IpNet], pools: &[Ipv4Net], prefix: u8) -> Option<Ipv4Net> {
    let all: Vec<IpNet> = pools.iter().copied().map(IpNet::from).collect();
    let overlaps = Overlaps::of(actual, &all).and(taken);
    let candidates = || pools.iter().flat_map(|pool| pool.subnets(prefix).into_iter().flatten());
    let unused = || candidates().filter(|candidate| overlaps.occupant((*candidate).into()).is_none());
    let routed_nowhere = unused().find(|candidate| overlaps.cover((*candidate).into()).is_none());
    routed_nowhere.or_else(|| unused().find(|candidate| !overlaps.is_on_link((*candidate).into())))
}

/// Checks an address that the user gave for an endpoint.
///
/// # Errors
/// [`Kind::Usage`] if no endpoint can have it, [`Kind::Conflict`] if another one does.
pub(crate) fn check_address(
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
        let owner = endpoints.iter().find(|endpoint| endpoint.network == network && endpoint.address == Some(address));
        let taken = |owner: &EndpointRecord| {
            let error = refuse(Kind::Conflict, format!("namespace {} has it", owner.label()));
            if owner.marks.pooled { error.remedy(of_the_pool(owner)) } else { error }
        };
        return owner.map_or(Ok(()), |owner| Err(taken(owner).because(Cause::AddressTaken)));
    };
    Err(refuse(Kind::Usage, why))
}

/// What to do about an address that one of the pool has.
pub(crate) fn of_the_pool(owner: &EndpointRecord) -> String {
    format!("it is of the pool, and nobody's: `fwd down {}` frees the address", option("--ns", &owner.label()))
}

/// The next address after the one given `last` that is free, and not promised to others, of the subnet or of a `range` inside: an address just
/// given back is not given out at once.
///
/// # Errors
/// [`Kind::Failed`] if all are taken.
pub(crate) fn allocate(
    (name, gateway, last): (&str, Ipv4Net, u32),
    range: Option<(Ipv4Addr, Ipv4Addr)>,
    endpoints: &[EndpointRecord],
    promised: impl Fn(Ipv4Addr) -> bool,
) -> Result<Ipv4Addr> {
    let subnet = gateway.trunc();
    let (least, end) = (subnet.network().to_bits() + 1, subnet.broadcast().to_bits());
    let (first, end) = range
        .map_or((least, end), |(first, last)| (first.to_bits().max(least), last.to_bits().saturating_add(1).min(end)));
    let others: BTreeSet<Ipv4Addr> =
        endpoints.iter().filter(|it| it.network == name).filter_map(|it| it.address).chain([gateway.addr()]).collect();
    let start = last.saturating_add(1).clamp(first, end.max(first));
    let mut candidates = (start..end).chain(first..start.min(end)).map(Ipv4Addr::from_bits);
    candidates.find(|address| !others.contains(address) && !promised(*address)).ok_or_else(|| {
        let all = range.map_or_else(|| subnet.to_string(), |(first, last)| format!("{first} to {last}"));
        let why = format!("all of {all} is taken");
        Error::new(Kind::Failed, "find an address in", format!("network {name}"), why).because(Cause::NoAddressLeft)
    })
}
