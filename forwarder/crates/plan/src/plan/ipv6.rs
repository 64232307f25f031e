//! What comes with the IPv6 of a network: at its bridge, on the host, and inside of its namespaces.

use std::{collections::BTreeSet, net::Ipv6Addr};

use ipnet::Ipv6Net;

use crate::{
    Actual, Interface, NetworkRecord, Object, SourceRange, Sources, SysctlRecord, Undo, accept_ra,
    desired::Asked,
    disable_ipv6, forwarding6,
    ipv6::SMALLEST_MTU,
    object,
    settled::{Network, Settled},
    sysctls::{ALL_FORWARDING6, HEEDED, OFF, ON, PROXY_NDP},
    uplink::Uplink,
};
use fwd_kernel::netlink::Link;

/// The gateway's address, and that nobody in the network tells the host by a router advertisement where to go. The settings go with the
/// bridge: nothing to remember.
pub(super) fn of_bridge(actual: &Actual, network: &Network) -> Vec<Object> {
    let bridge = &network.bridge;
    let Some(gateway) = network.gateway6 else { return without(actual, network) };
    let is_off = |name: &str| actual.host.sysctls.get(&disable_ipv6(name)).is_some_and(|value| value == ON);
    // New interfaces have both as the host says for them.
    let heeds = actual.host.sysctls.get(&accept_ra("default")).map_or(ON, String::as_str);
    let mut settings = vec![(accept_ra(bridge), heeds)];
    settings.extend((is_off(bridge) || is_off("default")).then(|| (disable_ipv6(bridge), ON)));
    let setting = |(path, found): (String, &str)| SysctlRecord {
        path,
        original: found.into(),
        ours: OFF.into(),
        interface: None,
    };
    let mut objects: Vec<Object> = settings.into_iter().map(setting).map(Object::Sysctl).collect();
    let (bridge, address) = (bridge.clone(), gateway.into());
    objects.push(Object::GatewayAddress(object::GatewayAddress { bridge, address }));
    objects
}

/// The host takes no IPv6 from a network that has none: it may forward for others, and a namespace can give itself any address. (A link with
/// a smaller MTU has no IPv6, and no setting.)
fn without(actual: &Actual, network: &Network) -> Vec<Object> {
    let has_ipv6 = actual.host.sysctls.contains_key(ALL_FORWARDING6) && network.mtu >= SMALLEST_MTU;
    let (path, original, ours) = (disable_ipv6(&network.bridge), OFF.into(), ON.into());
    let record = SysctlRecord { path, original, ours, interface: None };
    has_ipv6.then_some(Object::Sysctl(record)).into_iter().collect()
}

/// The rules of the network before anything is forwarded, and forwarding, if anything is to leave.
pub(super) fn of_host(actual: &Actual, network: &Network) -> Vec<Object> {
    let Some(gateway) = network.gateway6 else { return Vec::new() };
    let uplink = network.uplink.as_ref();
    let rules = object::Rules6 {
        network: network.name.clone(),
        bridge: network.bridge.clone(),
        subnet: gateway.trunc(),
        uplink: uplink.filter(|_| network.treatment.bound).map(|uplink| uplink.name.clone()),
        masquerade: !network.treatment.routed6,
        separation: network.treatment.separation(),
        unguarded: !network.datapath.is_ebpf(),
    };
    let noted = Undo::Rules6 { network: network.name.clone() };
    let forwarding = uplink.map(|uplink| forwarding(actual, uplink)).unwrap_or_default();
    [Object::Undo(noted), Object::Rules6(rules)].into_iter().chain(forwarding).collect()
}

/// Forwarding of IPv6, which a host has at all interfaces or at none; and before it, that router advertisements are heeded where they were
/// until now: otherwise the kernel forgets the default route that it has by one, and learns none.
///
/// All is noted before anything is changed. Where somebody else has switched forwarding on, nothing is.
pub(super) fn forwarding(actual: &Actual, uplink: &Uplink) -> Vec<Object> {
    let value = |path: &str| actual.host.sysctls.get(path).map(String::as_str);
    let Some(found) = value(ALL_FORWARDING6) else { return Vec::new() };
    let noted: Vec<&SysctlRecord> = actual.changed_sysctls().filter(|record| record.is_ipv6()).collect();
    let is_ours = noted.iter().any(|record| record.path == ALL_FORWARDING6);
    let is_on = found == ON;
    if is_on && !is_ours {
        return Vec::new();
    }
    let heeds = |link: &&Link| {
        let known = noted.iter().any(|record| record.is_of(link.index));
        // An uplink that was made anew is new to a host that forwards already, and heeds none from the beginning.
        let concerned = if is_on { link.index == uplink.index } else { value(&forwarding6(&link.name)) == Some(OFF) };
        concerned && !known && !link.loopback && !crate::is_made(link) && value(&accept_ra(&link.name)) == Some(ON)
    };
    let heed = |link: &Link| SysctlRecord {
        path: accept_ra(&link.name),
        original: ON.into(),
        ours: HEEDED.into(),
        interface: Some(Interface { name: link.name.clone(), index: link.index, mac: link.mac }),
    };
    let mut fresh: Vec<SysctlRecord> = actual.host.net.links.iter().filter(heeds).map(heed).collect();
    fresh.extend(of_new_links(actual, &noted));
    fresh.extend(routers(actual, &noted).filter(|_| !is_ours));
    let all = SysctlRecord { path: ALL_FORWARDING6.into(), original: found.into(), ours: ON.into(), interface: None };
    fresh.extend((!is_ours).then_some(all));
    // One that a killed command has noted has its first value yet; any other value is somebody's, who is not overruled.
    let is_ours = |record: &SysctlRecord| {
        let is_known = |now: &str| now == record.original || now == record.ours;
        record.path == ALL_FORWARDING6 || value(&record.path).is_none_or(is_known)
    };
    let again = noted.into_iter().filter_map(|record| record.now(&actual.host.net)).filter(is_ours);
    let set = again.chain(fresh.iter().cloned()).filter(|record| !record.goes_with_forwarding6());
    let (last, first): (Vec<_>, Vec<_>) = set.partition(|record| record.path == ALL_FORWARDING6);
    let notes = fresh.into_iter().map(|record| Object::Undo(Undo::Sysctl(record)));
    notes.chain(first.into_iter().chain(last).map(Object::Sysctl)).collect()
}

/// That interfaces which come later heed router advertisements, too, if they would without forwarding.
fn of_new_links(actual: &Actual, noted: &[&SysctlRecord]) -> Option<SysctlRecord> {
    let path = accept_ra("default");
    let heeds = actual.host.sysctls.get(&path).is_some_and(|value| value == ON);
    let known = noted.iter().any(|record| record.path == path);
    (heeds && !known).then(|| SysctlRecord { path, original: ON.into(), ours: HEEDED.into(), interface: None })
}

/// Interfaces at which somebody has made a router of the host, to be noted: when forwarding ends at all, the kernel takes it from them, and
/// they get it back.
fn routers(actual: &Actual, noted: &[&SysctlRecord]) -> impl Iterator<Item = SysctlRecord> {
    let links = actual.host.net.links.iter().filter(|link| !crate::is_made(link));
    let interface = |link: &Link| Interface { name: link.name.clone(), index: link.index, mac: link.mac };
    let named = links.map(move |link| (link.name.as_str(), Some(interface(link)))).chain([("default", None)]);
    let records = named.map(|(name, interface)| {
        let path = forwarding6(name);
        SysctlRecord { path, original: ON.into(), ours: OFF.into(), interface }
    });
    let is_on = |record: &SysctlRecord| actual.host.sysctls.get(&record.path).is_some_and(|value| value == ON);
    records.filter(move |record| is_on(record) && !noted.iter().any(|known| known.path == record.path))
}

/// Where the addresses of a routed network are a part of the prefix on the link of the uplink, the host answers there for the endpoint:
/// nobody routes them here. And for the addresses behind which it appears, where they are announced.
pub(super) fn announced(actual: &Actual, settled: &Settled) -> Vec<Object> {
    let Settled { network, endpoint, .. } = settled;
    let Some(uplink) = &network.uplink else { return Vec::new() };
    let own = endpoint.address6.filter(|_| network.treatment.routed6 && network.is_on_link(actual));
    speaks_for(actual, uplink, own.into_iter().chain(of_ipv6(endpoint.source.of(endpoint.announce))))
}

/// That the host answers at an uplink for these addresses.
fn speaks_for(actual: &Actual, uplink: &Uplink, addresses: impl Iterator<Item = Ipv6Addr>) -> Vec<Object> {
    let proxies: Vec<Object> = addresses.map(|address| proxy(uplink, address)).collect();
    if proxies.is_empty() { proxies } else { proxying(actual).into_iter().chain(proxies).collect() }
}

/// Those of IPv6.
pub(super) fn of_ipv6(sources: Sources) -> impl Iterator<Item = Ipv6Addr> {
    sources.v6.into_iter().flat_map(SourceRange::addresses)
}

/// The same at another uplink than before, for all endpoints of a network that is there.
pub(super) fn announced_again(actual: &Actual, network: &NetworkRecord, uplink: &Uplink) -> Vec<Object> {
    let on_link = |subnet: &Ipv6Net| actual.host.net.has_on_link(uplink.index, *subnet);
    let own = network.treatment.routed6 && network.subnet6().filter(on_link).is_some();
    let endpoints = || actual.records.endpoints.iter().filter(|endpoint| endpoint.network == network.name);
    let addresses = endpoints().filter_map(|endpoint| endpoint.address6).filter(|_| own);
    // Those of several endpoints are one.
    let announced: BTreeSet<Ipv6Addr> = endpoints().flat_map(|endpoint| of_ipv6(endpoint.announced())).collect();
    speaks_for(actual, uplink, addresses.chain(announced))
}

fn proxy(uplink: &Uplink, address: Ipv6Addr) -> Object {
    Object::ProxyNeighbour(object::ProxyNeighbour { uplink: uplink.name.clone(), address })
}

/// That the host answers for others at all, noted before it is changed. Where somebody else has it so, nothing is.
fn proxying(actual: &Actual) -> Vec<Object> {
    let Some(found) = actual.host.sysctls.get(PROXY_NDP) else { return Vec::new() };
    let noted = actual.changed_sysctls().find(|record| record.path == PROXY_NDP);
    if found == ON && noted.is_none() {
        return Vec::new();
    }
    let fresh = SysctlRecord { path: PROXY_NDP.into(), original: found.clone(), ours: ON.into(), interface: None };
    let record = noted.cloned().unwrap_or(fresh);
    vec![Object::Undo(Undo::Sysctl(record.clone())), Object::Sysctl(record)]
}

/// What there is inside before the interface is up.
pub(super) fn before_up(asked: &Asked, settled: &Settled) -> Vec<Object> {
    let Some(address) = settled.address6() else { return Vec::new() };
    let (ns, ns_if) = (asked.target.clone(), asked.id.ifname.clone());
    vec![
        Object::NsIpv6(object::NsIpv6 { ns: ns.clone(), ns_if: ns_if.clone() }),
        Object::NsAddress(object::NsAddress { ns, ns_if, address: address.into() }),
    ]
}
