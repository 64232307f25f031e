//! What networks and endpoints have of two families, of which there is one at least.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// What is of either family, that of IPv4 first.
pub(crate) fn both<T>(v4: Option<impl Into<T>>, v6: Option<impl Into<T>>) -> impl Iterator<Item = T> {
    v4.map(Into::into).into_iter().chain(v6.map(Into::into))
}

/// The first of them, by which something is known; of what has none, as only a broken record says, the address of nobody.
pub(crate) fn main_of(mut addresses: impl Iterator<Item = IpAddr>) -> IpAddr {
    addresses.next().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

/// Where the default route by a router leads: to all of its family.
pub(crate) fn everything(router: IpAddr) -> IpNet {
    if router.is_ipv6() { Ipv6Net::default().into() } else { Ipv4Net::default().into() }
}
