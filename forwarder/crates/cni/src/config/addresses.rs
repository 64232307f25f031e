//! Ranges of addresses: of the network, and those that may be chosen.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{
    keys::{self, Keys, Range},
    parsed,
};
use crate::failure::{Failure, Result};
use fwd_plan::{Ipv4, Ipv6};

/// What is said of addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges {
    pub(super) subnet: Option<Ipv4Net>,
    pub(super) gateway: Option<Ipv4Addr>,
    pub(super) range: Option<(Ipv4Addr, Ipv4Addr)>,
    pub(super) ipv4: Option<Ipv4>,
    pub(super) ipv6: Option<Ipv6>,
    pub(super) subnet6: Option<Ipv6Net>,
}

impl Ranges {
    /// Reads them; those of the container go before those of the network.
    pub(super) fn of(keys: &Keys) -> Result<Self> {
        let of_container = keys.runtimeconfig.ipranges.clone().map(sets).filter(|sets| !sets.is_empty());
        let mut all = of_container.unwrap_or_else(|| keys.ipam.ranges.clone().map(sets).unwrap_or_default());
        let own = Range { subnet: keys.subnet.clone(), gateway: keys.gateway.clone(), ..Range::default() };
        for single in [&keys.ipam.range, &own] {
            if single.subnet.is_some() {
                all.push(vec![single.clone()]);
            }
        }
        let mut read = Self::default();
        for set in &all {
            let [range] = set.as_slice() else {
                let value = format!("a set of {}", set.len());
                return Err(Failure::unsupported(
                    "ipam.ranges",
                    value,
                    "give each set one range: a network has one subnet",
                ));
            };
            match parsed::<IpNet>("subnet", range.subnet.as_deref().unwrap_or_default())? {
                IpNet::V4(subnet) => read.add(subnet, range)?,
                IpNet::V6(subnet) => read.add6(subnet, range)?,
            }
        }
        // Who names addresses of one family alone means that.
        if read.subnet.is_some() || read.subnet6.is_some() {
            read.ipv4 = Some(Ipv4::of(read.subnet.is_some()));
            read.ipv6 = Some(if read.subnet6.is_some() { Ipv6::Masquerade } else { Ipv6::Off });
        }
        Ok(read)
    }

    fn add(&mut self, subnet: Ipv4Net, range: &Range) -> Result<()> {
        if self.subnet.replace(subnet).is_some_and(|former| former != subnet) {
            return Err(Failure::unsupported("ipam.ranges", subnet, "a network has one subnet of each family"));
        }
        let of = |key: &str, text: &Option<String>| {
            let Some(text) = text.as_deref().filter(|text| !text.is_empty()) else { return Ok(None) };
            let address: Ipv4Addr = parsed(key, text)?;
            let inside = subnet.contains(&address);
            if inside {
                Ok(Some(address))
            } else {
                Err(Failure::invalid(key, address, format!("it is not in {subnet}")))
            }
        };
        self.gateway = of("gateway", &range.gateway)?.or(self.gateway);
        let (start, end) = (of("rangeStart", &range.rangestart)?, of("rangeEnd", &range.rangeend)?);
        if let (Some(start), Some(end)) = (start, end)
            && end < start
        {
            return Err(Failure::invalid("rangeEnd", end, format!("it comes before rangeStart, {start}")));
        }
        if start.is_some() || end.is_some() {
            self.range = Some((start.unwrap_or(subnet.network()), end.unwrap_or(subnet.broadcast())));
        }
        Ok(())
    }

    fn add6(&mut self, subnet: Ipv6Net, range: &Range) -> Result<()> {
        if self.subnet6.replace(subnet).is_some_and(|former| former != subnet) {
            return Err(Failure::unsupported("ipam.ranges", subnet, "a network has one subnet of each family"));
        }
        for (key, value) in [("rangeStart", &range.rangestart), ("rangeEnd", &range.rangeend)] {
            if let Some(value) = value.as_deref().filter(|text| !text.is_empty()) {
                let remedy = "leave it out: which addresses of IPv6 are given is chosen here";
                return Err(Failure::unsupported(key, value, remedy));
            }
        }
        let first = std::net::Ipv6Addr::from_bits(subnet.network().to_bits() + 1);
        match range.gateway.as_deref().filter(|text| !text.is_empty()) {
            Some(text) if parsed::<IpAddr>("gateway", text)? != IpAddr::V6(first) => Err(Failure::unsupported(
                "gateway",
                text,
                "leave it out: the gateway of IPv6 is the first of its subnet",
            )),
            _ => Ok(()),
        }
    }
}

/// Sets of ranges, however they are written.
fn sets(ranges: keys::Ranges) -> Vec<Vec<Range>> {
    match ranges {
        keys::Ranges::Sets(sets) => sets.into_iter().filter(|set| !set.is_empty()).collect(),
        keys::Ranges::Flat(ranges) => ranges.into_iter().map(|range| vec![range]).collect(),
    }
}
