//! Settles what is left open of an endpoint.

pub(super) mod announced;
pub(super) mod routes;
pub(super) mod source;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    interface, ipv6, name_server, refuse,
    settled::{Endpoint, Network},
    subnet::{self, ipv4},
};
use crate::{
    Actual, Announced, EndpointRecord, HardwareAddress, are_ends,
    desired::{Asked, policy},
    families::{both, main_of},
    names,
};
use fwd_base::{Cause, Error, Kind, Result};
use fwd_dataplane::Backend;

/// Settles an endpoint that is there: each option given must be what it has.
///
/// # Errors
/// One is another, or what the endpoint is made of is not as it was.
pub(super) fn existing(asked: &Asked, actual: &Actual, network: &Network, record: &EndpointRecord) -> Result<Endpoint> {
    let refuse = |why: String| {
        Error::new(Kind::Conflict, "attach", asked.target.to_string(), why).remedy(refuse::take_out(&asked.target))
    };
    if let Some(ip) = asked.options.ip.filter(|ip| Some(*ip) != record.address) {
        let has = record.address.map_or_else(|| "none".into(), |address| address.to_string());
        return Err(refuse(format!("its address is {has}, not {ip}")));
    }
    if let Some(ip) = asked.options.ip6.filter(|ip| Some(*ip) != record.address6) {
        let has = record.address6.map_or_else(|| "none".into(), |address| address.to_string());
        return Err(refuse(format!("its address of IPv6 is {has}, not {ip}")));
    }
    if let Some(mac) = asked.options.mac.filter(|mac| mac.0 != record.mac) {
        return Err(refuse(format!("its hardware address is {}, not {mac}", HardwareAddress(record.mac))));
    }
    let announce = Announced::asked(asked.options.announce, asked.options.source);
    if asked.options.announce && !record.announce.any() || announce.and(record.announce) != record.announce {
        return Err(refuse("it was attached without --announce".into()));
    }
    if asked.options.allow_spoof && !record.allow_spoof {
        return Err(refuse("it was attached without --allow-spoof".into()));
    }
    source::same(asked.options.source, record.source).map_err(refuse)?;
    if asked.no_others {
        exact(asked, actual, record, network).map_err(refuse)?;
    }
    routes::same(asked, record, network).map_err(refuse)?;
    if record.id.ifname != asked.id.ifname {
        return Err(refuse(format!("the interface is {}", record.id.ifname)));
    }
    let host = actual.host.net.by_index(record.index);
    let inside = actual.target_netns().and_then(|inside| inside.net.link(&record.id.ifname));
    match (host, inside) {
        (Some(host), Some(inside)) if are_ends(host, inside) => Ok(Endpoint {
            host_if: host.name.clone(),
            address: record.address,
            address6: record.address6,
            mac: record.mac,
            announce: record.announce,
            allow_spoof: record.allow_spoof,
            source: record.source,
            no_default_route: record.no_default_route,
            metric: record.metric,
            routes: record.routes.clone(),
            limits: asked.options.limits.over(record.limits, network.datapath, actual.no_shaper)?,
            policy: policy::rules(&asked.options.policy, &record.policy, network.datapath, actual.no_bridge_filter)?,
            attach: asked.options.attach.unwrap_or(record.attach),
            aliases: name_server::aliases(asked, &record.aliases),
        }),
        _ => {
            Err(refuse(format!("{}, the other end of {}, was renamed or moved away", record.id.ifname, record.host_if)))
        }
    }
}

/// What an endpoint that is there has and is not asked for, in words.
///
/// # Errors
/// The words.
fn exact(asked: &Asked, actual: &Actual, record: &EndpointRecord, network: &Network) -> Result<(), String> {
    if record.announce.any() && !asked.options.announce {
        return Err("it was attached with --announce".into());
    }
    if record.allow_spoof && !asked.options.allow_spoof {
        return Err("it was attached with --allow-spoof".into());
    }
    source::exact(asked.options.source.or(network.source), record.source)?;
    if asked.options.mac.is_none() && record.mac != names::endpoint_mac(record.main_address()) {
        return Err(format!("it was attached with --mac {}", HardwareAddress(record.mac)));
    }
    routes::exact(asked, actual, record, network)
}

/// Settles an endpoint that is to be made.
///
/// # Errors
/// It cannot have what it asks for.
pub(super) fn new(asked: &Asked, actual: &Actual, network: &Network, former: &[EndpointRecord]) -> Result<Endpoint> {
    let endpoints = &actual.records.endpoints;
    let cookie = actual.target_netns().map(|inside| inside.cookie);
    // The same namespace keeps its address when its veth pair was deleted by hand.
    let kept = former.iter().find(|record| Some(record.cookie) == cookie && record.network == network.name);
    let addresses = kept.map(|record| (record.address, record.address6)).unwrap_or_default();
    // Of what is asked for to the last, nothing else is kept.
    let kept = kept.filter(|_| !asked.no_others);
    // What is asked for anew is not what was announced before.
    let former = kept.map(|record| record.announce).unwrap_or_default();
    let stays = Announced {
        v4: former.v4 && asked.options.source.v4.is_none(),
        v6: former.v6 && asked.options.source.v6.is_none(),
    };
    let announce = Announced::asked(asked.options.announce, asked.options.source).and(stays);
    let allow_spoof = asked.options.allow_spoof || kept.is_some_and(|record| record.allow_spoof);
    let source = source::settled(asked, actual, network, kept)?;
    let no_default_route = routes::has_no_default(asked, actual, network, kept);
    let limits = kept.map(|record| record.limits).unwrap_or_default();
    let limits = asked.options.limits.over(limits, network.datapath, actual.no_shaper)?;
    let former_rules = kept.map(|record| record.policy.clone()).unwrap_or_default();
    let policy = policy::rules(&asked.options.policy, &former_rules, network.datapath, actual.no_bridge_filter)?;
    let usual = if actual.no_tcx || asked.hurries { Backend::Clsact } else { Backend::Tcx };
    let former_attach = kept.map(|record| record.attach).filter(|attach| *attach != Backend::Netkit);
    let chosen = asked.options.attach.or(former_attach).unwrap_or(usual);
    let attach = if network.datapath.has_netkit() { Backend::Netkit } else { chosen };
    let aliases = name_server::aliases(asked, kept.map_or(&[], |record| &record.aliases));
    let routes = routes::settled(asked, actual, network, kept)?;
    let metric = asked.options.metric.or(kept.and_then(|record| record.metric)).filter(|_| !no_default_route);
    // One that follows from the former address may be that of whoever has the address by now.
    let chosen = kept.filter(|record| record.mac != names::endpoint_mac(record.main_address()));
    let mac = asked.options.mac.map(|mac| mac.0).or(chosen.map(|record| record.mac));
    let (address, address6) = addresses_of(asked, actual, network, addresses)?;
    let main = main_of(both(address, address6));
    let host_if = host_if(asked, actual, network, main)?;
    match actual.host.net.link(&host_if) {
        Some(link) if !actual.host.owner.has_veth(link) => {
            let why = "an interface of that name exists, and fwd did not make it";
            Err(Error::new(Kind::Conflict, "create", format!("interface {host_if}"), why)
                .remedy("choose another address with --ip"))
        }
        _ => {
            let mac = mac.unwrap_or_else(|| names::endpoint_mac(main));
            interface::check_mac(mac, network, endpoints)?;
            Ok(Endpoint {
                host_if,
                address,
                address6,
                mac,
                announce,
                allow_spoof,
                source,
                no_default_route,
                metric,
                routes,
                limits,
                policy,
                attach,
                aliases,
            })
        }
    }
}

/// The name of the host-side veth: the one that is asked for, which nobody may have, or one that follows from network and address.
fn host_if(asked: &Asked, actual: &Actual, network: &Network, main: IpAddr) -> Result<String> {
    let Some(name) = &asked.options.host_if else { return Ok(names::host_if(actual.host.owner, &network.name, main)) };
    let refuse = |kind, why: &str| Error::new(kind, "create", format!("interface {name}"), why);
    if !names::is_ifname(name) {
        return Err(refuse(Kind::Usage, "an interface cannot be called so").remedy("choose another name"));
    }
    if *name == network.bridge || actual.host.net.link(name).is_some() {
        let taken = refuse(Kind::Conflict, "an interface of that name exists").because(Cause::HostInterfaceTaken);
        return Err(taken.remedy("choose another name, or none"));
    }
    Ok(name.clone())
}

/// The addresses of an endpoint that is to be made, one of each family that the network has: those asked for, the `former` ones where nobody
/// has them, or free ones. That of IPv6 has the number of that of IPv4 in its subnet.
///
/// # Errors
/// One that is asked for cannot be had, or none is free.
fn addresses_of(
    asked: &Asked,
    actual: &Actual,
    network: &Network,
    (former, former6): (Option<Ipv4Addr>, Option<Ipv6Addr>),
) -> Result<(Option<Ipv4Addr>, Option<Ipv6Addr>)> {
    let endpoints = &actual.records.endpoints;
    let promised = |address: IpAddr| asked.promised.contains(&(network.name.clone(), address));
    let Some(gateway) = network.gateway else {
        ipv4::without(asked, network)?;
        let address6 =
            ipv6::address::alone(asked.options.ip6, former6, network, endpoints, |address| promised(address.into()))?;
        return Ok((None, address6));
    };
    let check = |address| subnet::check_address(address, gateway, &network.name, endpoints);
    let address = match (asked.options.ip, former.filter(|address| check(*address).is_ok())) {
        (Some(ip), _) => check(ip).map(|()| ip)?,
        (None, Some(former)) => former,
        (None, None) => {
            let of = (network.name.as_str(), gateway, network.last);
            subnet::allocate(of, asked.options.range, endpoints, |address| promised(address.into())).map_err(
                |error| {
                    let given = "give a larger range, or take down endpoints that are not needed";
                    error.remedy(
                        asked.options.range.map_or_else(|| refuse::no_room(actual, &network.name), |_| given.into()),
                    )
                },
            )?
        }
    };
    let number = address.to_bits().saturating_sub(gateway.network().to_bits());
    Ok((Some(address), ipv6::address::beside(asked.options.ip6, number, network, endpoints)?))
}
