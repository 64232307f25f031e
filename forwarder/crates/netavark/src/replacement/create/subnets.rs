//! Subnets of a network: those that are given, and those that are chosen.

use std::{
    fs::File,
    io::Read as _,
    net::{IpAddr, Ipv6Addr},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde_json::json;

use super::{Draft, Options, Pool, Used};
use crate::{
    input::{LeaseRange, Subnet},
    replacement::failure::{Failure, Result},
};

/// Length of the prefix of a subnet of IPv6 that is chosen, bits (RFC 4291 section 2.5.4).
const PREFIX6: u8 = 64;
/// So many of them are tried.
const ATTEMPTS: u32 = 10_000;

/// Adds those that the network is to have and does not name.
pub(super) fn choose(draft: &mut Draft, used: &Used, asked: &Options, check_used: bool) -> Result<()> {
    let network = &draft.network;
    let has = |v4: bool| network.subnets.iter().any(|it| it.subnet.addr().is_ipv4() == v4);
    let lacks4 = network.subnets.is_empty() || network.ipv6_enabled && !has(true);
    let lacks6 = network.ipv6_enabled && !has(false);
    let taken = if check_used { used.subnets.as_slice() } else { &[] };
    if lacks4 {
        add(draft, free(&asked.subnet_pools, taken)?.into());
    }
    if lacks6 {
        add(draft, free6(&used.subnets)?.into());
    }
    Ok(())
}

fn add(draft: &mut Draft, subnet: IpNet) {
    if !draft.written["subnets"].is_array() {
        draft.written["subnets"] = json!([]);
    }
    if let Some(written) = draft.written["subnets"].as_array_mut() {
        written.push(json!({ "subnet": subnet }));
    }
    draft.network.subnets.push(Subnet { subnet, gateway: None, lease_range: None });
}

/// Checks all of them, and gives each a gateway, if the network has any.
pub(super) fn check_all(draft: &mut Draft, add_gateway: bool, used: &[IpNet]) -> Result<()> {
    let mut before: Vec<IpNet> = Vec::new();
    for (place, Subnet { subnet, gateway, lease_range }) in draft.network.subnets.iter_mut().enumerate() {
        if before.contains(subnet) {
            return Err(Failure::new(format!("duplicate subnet defined: {subnet}")));
        }
        if let Some(other) = before.iter().find(|other| overlap(other, subnet)) {
            return Err(Failure::new(format!("overlapping subnets: {other} and {subnet}")));
        }
        before.push(*subnet);
        if used.iter().any(|used| overlap(used, subnet)) {
            return Err(Failure::new(format!("subnet {subnet} is already used on the host or by another config")));
        }
        match gateway {
            Some(gateway) if !subnet.contains(&*gateway) => {
                return Err(Failure::new(format!("gateway {gateway} not in subnet {subnet}")));
            }
            None if add_gateway => {
                let first = first(*subnet)?;
                draft.written["subnets"][place]["gateway"] = json!(first);
                *gateway = Some(first);
            }
            _ => {}
        }
        if let Some(range) = lease_range {
            check_range(range, *subnet)?;
        }
        if subnet.addr().is_ipv6() {
            draft.network.ipv6_enabled = true;
            draft.written["ipv6_enabled"] = json!(true);
        }
    }
    Ok(())
}

fn check_range(range: &LeaseRange, subnet: IpNet) -> Result<()> {
    let LeaseRange { start_ip, end_ip } = range;
    for (name, address) in [("start_ip", start_ip), ("end_ip", end_ip)] {
        if let Some(address) = address.filter(|address| !subnet.contains(address)) {
            return Err(Failure::new(format!("lease range {name} {address} not in subnet {subnet}")));
        }
    }
    match (start_ip, end_ip) {
        (Some(start), Some(end)) if start > end => {
            Err(Failure::new(format!("lease range start_ip {start} must be less than or equal to end_ip {end}")))
        }
        _ => Ok(()),
    }
}

/// The first address, where there is one beside those that no interface has (of IPv4, the last one too).
fn first(subnet: IpNet) -> Result<IpAddr> {
    let least = if subnet.addr().is_ipv4() { subnet.max_prefix_len() - 1 } else { subnet.max_prefix_len() };
    if subnet.prefix_len() >= least {
        return Err(Failure::new(format!(
            "could not create gateway for subnet {subnet} because it has a {least} or greater subnet prefix"
        )));
    }
    Ok(match subnet.network() {
        IpAddr::V4(network) => IpAddr::V4((network.to_bits() | 1).into()),
        IpAddr::V6(network) => IpAddr::V6((network.to_bits() | 1).into()),
    })
}

fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(&other.network()) || other.contains(&one.network())
}

/// The first subnet of the pools that overlaps none of `taken`.
fn free(pools: &[Pool], taken: &[IpNet]) -> Result<Ipv4Net> {
    let of_pool = |Pool { base, size }: &Pool| match base {
        IpNet::V4(base) => base.subnets(*size).ok(),
        IpNet::V6(_) => None,
    };
    let is_free = |subnet: &Ipv4Net| !taken.iter().any(|taken| overlap(taken, &IpNet::V4(*subnet)));
    let found = pools.iter().filter_map(of_pool).flatten().find(is_free);
    found.ok_or_else(|| Failure::new("could not find free subnet from subnet pools"))
}

/// A subnet of addresses that are unique on purpose: chosen by chance (RFC 4193 section 3.2.2).
fn free6(taken: &[IpNet]) -> Result<Ipv6Net> {
    let mut random = File::open("/dev/urandom").map_err(|error| Failure::io("choose a subnet of IPv6", &error))?;
    for _ in 0..ATTEMPTS {
        let mut octets = [0; 16];
        let [first, chosen @ .., _, _, _, _, _, _, _, _] = &mut octets;
        *first = 0xfd;
        random.read_exact(chosen).map_err(|error| Failure::io("choose a subnet of IPv6", &error))?;
        let subnet = Ipv6Net::new_assert(Ipv6Addr::from(octets), PREFIX6);
        if !taken.iter().any(|taken| overlap(taken, &IpNet::V6(subnet))) {
            return Ok(subnet);
        }
    }
    Err(Failure::new("failed to get random ipv6 subnet"))
}
