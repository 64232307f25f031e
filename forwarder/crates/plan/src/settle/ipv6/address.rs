//! Which address of IPv6 an endpoint gets.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use crate::{EndpointRecord, settle::subnet::of_the_pool, settled::Network};
use fwd_base::{Cause, Error, Kind, Result};

/// The address of a new endpoint: the one that was asked for, else the one with this `number` in the subnet, which that of IPv4 has in its
/// own, else the next free one.
///
/// # Errors
/// What was asked for cannot be, or all are taken.
pub(in crate::settle) fn beside(
    asked: Option<Ipv6Addr>,
    number: u32,
    network: &Network,
    endpoints: &[EndpointRecord],
) -> Result<Option<Ipv6Addr>> {
    let name = &network.name;
    let Some(gateway) = network.gateway6 else {
        let Some(asked) = asked else { return Ok(None) };
        let why = format!("network {name} has no IPv6");
        return Err(Error::new(Kind::Unsupported, "use", format!("address {asked}"), why).remedy("leave it out"));
    };
    let taken = Taken { network: name, gateway, endpoints };
    if let Some(asked) = asked {
        return taken.check(asked).map(|()| Some(asked));
    }
    // Of so many at most one is free, or the subnet is full.
    let others = 0..=endpoints.len() as u32 + 2;
    taken.first([number].into_iter().chain(others), |_| true).map(Some)
}

/// The same in a network without IPv4: the one that was asked for, the `former` one, or the next after the one given last that is free, and not
/// promised to others.
///
/// # Errors
/// As [`beside`].
pub(in crate::settle) fn alone(
    asked: Option<Ipv6Addr>,
    former: Option<Ipv6Addr>,
    network: &Network,
    endpoints: &[EndpointRecord],
    promised: impl Fn(Ipv6Addr) -> bool,
) -> Result<Option<Ipv6Addr>> {
    let Some(gateway) = network.gateway6 else { return Ok(None) };
    let taken = Taken { network: &network.name, gateway, endpoints };
    if let Some(asked) = asked {
        return taken.check(asked).map(|()| Some(asked));
    }
    if let Some(former) = former.filter(|former| taken.check(*former).is_ok()) {
        return Ok(Some(former));
    }
    // As far as 32 bits count: no network has as many endpoints.
    let most = u32::try_from(u128::MAX >> gateway.prefix_len()).unwrap_or(u32::MAX);
    let given = network.last.saturating_sub(gateway.network().to_bits() as u32);
    let next = given.saturating_add(1).min(most);
    taken.first((next..=most).chain(1..next), |address| !promised(address)).map(Some)
}

/// Which addresses of a network are taken.
struct Taken<'a> {
    network: &'a str,
    gateway: Ipv6Net,
    endpoints: &'a [EndpointRecord],
}

impl Taken<'_> {
    fn others(&self) -> impl Iterator<Item = &EndpointRecord> {
        self.endpoints.iter().filter(|endpoint| endpoint.network == self.network)
    }

    fn has(&self, address: Ipv6Addr) -> bool {
        let mut others = self.others();
        address == self.gateway.addr()
            || address == self.gateway.network()
            || others.any(|it| it.address6 == Some(address))
    }

    /// Whether an address that was asked for can be had.
    fn check(&self, asked: Ipv6Addr) -> Result<()> {
        let subnet = self.gateway.trunc();
        let refuse = |kind, why: String| {
            Error::new(kind, "use", format!("address {asked}"), why)
                .remedy(format!("leave it out, or choose a free address of {subnet}"))
        };
        match (subnet.contains(&asked), self.has(asked)) {
            (false, _) => {
                let why = format!("it is outside of {subnet}, the subnet of network {}", self.network);
                Err(refuse(Kind::Usage, why))
            }
            (true, true) => {
                let error = refuse(Kind::Conflict, "it is taken".into()).because(Cause::AddressTaken);
                let of_pool = self.others().find(|it| it.marks.pooled && it.address6 == Some(asked));
                Err(match of_pool {
                    Some(owner) => error.remedy(of_the_pool(owner)),
                    None => error,
                })
            }
            (true, false) => Ok(()),
        }
    }

    /// The first that is free of those with these numbers in the subnet.
    fn first(&self, mut numbers: impl Iterator<Item = u32>, fits: impl Fn(Ipv6Addr) -> bool) -> Result<Ipv6Addr> {
        let subnet = self.gateway.trunc();
        let free = numbers.find_map(|number| {
            let address = Ipv6Addr::from_bits(subnet.network().to_bits().saturating_add(number.into()));
            (subnet.contains(&address) && !self.has(address) && fits(address)).then_some(address)
        });
        free.ok_or_else(|| {
            let why = format!("all of {subnet} is taken");
            Error::new(Kind::Failed, "find an address in", format!("network {}", self.network), why)
                .because(Cause::NoAddressLeft)
                .remedy("use another network (--network NAME), with a larger --subnet6")
        })
    }
}

/// How many endpoints have room in a subnet: the address of the subnet itself and the gateway are none.
#[must_use]
pub(crate) fn room(subnet: Ipv6Net) -> usize {
    let addresses = 1_u128 << (128 - subnet.prefix_len());
    usize::try_from(addresses - 2).unwrap_or(usize::MAX)
}
