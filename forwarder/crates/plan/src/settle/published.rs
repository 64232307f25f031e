//! Which ports are published for an endpoint, and which cannot be.

pub(crate) mod host_address;

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use super::ways::Followed;
use crate::{
    Actual, Cgroup, Datapath, EndpointRecord, Listener, NetworkRecord, Object, Owner, Sources, Treatment, object,
};
use fwd_base::{Cause, Error, Kind, Result};
use fwd_dataplane::{Publication, PublishedPorts};
use fwd_kernel::netlink::{LinkLayer, nft};

/// The endpoint that ports are to lead to.
pub(crate) struct Publisher<'a> {
    /// Its host-side veth, if it has one.
    pub(crate) index: Option<u32>,
    /// Its network.
    pub(crate) network: &'a str,
    /// What forwards there.
    pub(crate) datapath: Datapath,
    /// The network has no way out.
    pub(crate) internal: bool,
    /// It has IPv4.
    pub(crate) ipv4: bool,
    /// It has IPv6.
    pub(crate) ipv6: bool,
    /// The addresses that are announced for it, and which the host does not have.
    pub(crate) announced: Sources,
}

/// Refuses what cannot be published of the ports that are `asked` for.
///
/// # Errors
/// Each names the ports and who has them.
pub(crate) fn check(asked: &[PublishedPorts], publisher: &Publisher<'_>, actual: &Actual) -> Result<()> {
    let Publisher { network, datapath, internal, .. } = *publisher;
    for (place, ports) in asked.iter().enumerate() {
        if internal && !ports.is_for_host_alone() {
            let why = format!("network {network} is internal: nothing from outside comes in");
            return Err(refusal(Kind::Unsupported, ports, why).remedy(format!(
                "publish it for the host alone (`-p {}:{ports}`), or use a network that was made without --internal",
                Ipv4Addr::LOCALHOST
            )));
        }
        check_family(ports, publisher)?;
        if !datapath.is_ebpf() {
            check_kernel(ports, network)?;
        }
        if let Some(other) = asked.iter().take(place).find(|other| other.overlap(ports)) {
            let error = refusal(Kind::Usage, ports, format!("{other} has some of them, too"));
            return Err(error.remedy("publish each port once"));
        }
        check_address(ports, publisher, actual)?;
        check_others(ports, publisher, actual)?;
    }
    Ok(())
}

/// Somebody must be able to come: by a family that the network has, and from an address of it.
fn check_family(ports: &PublishedPorts, publisher: &Publisher<'_>) -> Result<()> {
    let Publisher { network, ipv4, ipv6, .. } = *publisher;
    for (has, v4, family, other) in [(ipv6, false, "IPv6", "IPv4"), (ipv4, true, "IPv4", "IPv6")] {
        if !has && !ports.are_of(!v4) {
            let why = format!("network {network} has no {family}");
            let remedy = format!(
                "publish it at an address of {other}, or use a network that has {family} (`fwd network ls` shows which)"
            );
            return Err(refusal(Kind::Unsupported, ports, why).remedy(remedy));
        }
    }
    let reached = |v4: bool| ports.are_of(v4) && if v4 { ipv4 } else { ipv6 };
    if [true, false].into_iter().any(|v4| reached(v4) && ports.senders.have(v4)) {
        return Ok(());
    }
    let family = if reached(true) { "IPv4" } else { "IPv6" };
    let why = format!("it is reached over {family}, and nobody in {} has an address of that", ports.senders);
    Err(refusal(Kind::Usage, ports, why)
        .remedy(format!("name prefixes of {family} by --publish-from, or leave it out")))
}

/// What the kernel's own NAT publishes.
fn check_kernel(ports: &PublishedPorts, network: &str) -> Result<()> {
    let why = if ports.is_for_host_alone() {
        "it is for the host alone, from whose loopback the kernel's NAT leads nowhere without route_localnet".to_owned()
    } else if ports.first != ports.last && ports.first != ports.inside {
        "the kernel's NAT has no offset between ranges of ports".to_owned()
    } else if Owner::default().rule(network).len() > nft::PORT_NAME_MAX {
        let most = nft::PORT_NAME_MAX - Owner::default().rule("").len();
        format!("a rule in nftables takes names of networks of at most {most} bytes beside a port")
    } else {
        return Ok(());
    };
    Err(refusal(
        Kind::Unsupported,
        ports,
        format!("network {network} is forwarded by the kernel (--datapath kernel): {why}"),
    )
    .remedy("use a network with --datapath tc; a range of ports can lead to the same ports inside"))
}

/// Ports can be published at addresses that the host has, and that mean this host to others; and at that which is announced for the endpoint.
fn check_address(ports: &PublishedPorts, publisher: &Publisher<'_>, actual: &Actual) -> Result<()> {
    let Some(host) = ports.host.filter(|host| !host.is_unspecified()) else { return Ok(()) };
    if host.is_loopback() {
        let Some(why) = &actual.no_host_access else { return Ok(()) };
        let why = format!("it is for the host alone, whose programs cannot reach it: {why}");
        return Err(refusal(Kind::Unsupported, ports, why).remedy(
            "let programs of the host use the namespace's own address, or mount cgroup2 and name it by --cgroup",
        ));
    }
    if publisher.announced.contains(host) {
        return Ok(());
    }
    let option = if host.is_ipv4() { "-4" } else { "-6" };
    let remedy =
        format!("name an address of the host (`ip {option} address`), or none: then it is published at all of them");
    host_address::check(host, actual).map_err(|(kind, why)| refusal(kind, ports, why).remedy(remedy))
}

/// Ports must be nobody else's; what the endpoint has published already is no obstacle.
fn check_others(ports: &PublishedPorts, publisher: &Publisher<'_>, actual: &Actual) -> Result<()> {
    let Publisher { index, ipv4, ipv6, .. } = *publisher;
    let publications = actual.records.publications.iter();
    let of_endpoint = |it: &&Publication| Some(it.endpoint) == index && it.ports == *ports;
    if publications.clone().any(|it| of_endpoint(&it)) {
        return Ok(());
    }
    for publication in publications.filter(|it| it.ports.overlap(ports)) {
        // Of one that is gone nobody is asked.
        if let Some(owner) = actual.publisher(publication) {
            let found = publication.ports.for_all();
            let why = format!("{} leads to {} already", publication.ports, owner.label());
            let remedy = match owner.option() {
                Some(option) => {
                    format!("withdraw it first (`fwd port rm {option} -p {found}`), or publish another port")
                }
                None => "publish another port".into(),
            };
            return Err(refusal(Kind::Conflict, ports, why).because(Cause::PortTaken).remedy(remedy));
        }
    }
    // At a gateway it is the name server, which nobody outside asks.
    let is_gateway = |it: &Listener| {
        let mut gateways = actual.records.networks.iter().flat_map(NetworkRecord::gateways);
        gateways.any(|gateway| gateway.addr() == it.address)
    };
    let is_reached = |it: &Listener| if it.address.is_ipv4() { ipv4 } else { ipv6 };
    let listens = |it: &&Listener| ports.has(it.transport, it.address, it.port) && is_reached(it) && !is_gateway(it);
    if let Some(listener) = actual.host.listeners.iter().find(listens) {
        let Listener { transport, address, port, process } = listener;
        let who = process.as_ref().map_or_else(|| "a socket of the host".into(), ToString::to_string);
        let why = format!("{who} has {}/{}", SocketAddr::new(*address, *port), transport.name());
        let error = refusal(Kind::Conflict, ports, why).because(Cause::PortTaken);
        return Err(error.remedy("stop it, or publish another port"));
    }
    Ok(())
}

/// The programs by which the host's own reach published ports; none where they cannot be, or are at another cgroup and nothing is said.
///
/// # Errors
/// They are at another cgroup than the one that is named.
pub(crate) fn host_access(actual: &Actual) -> Result<Option<Object>> {
    let Some(cgroup) = actual.host.cgroup.as_ref().filter(|_| actual.no_host_access.is_none()) else { return Ok(None) };
    let elsewhere = actual.records.host_cgroup.is_some_and(|id| id != cgroup.id);
    if elsewhere && cgroup.asked {
        let why = "those of another cgroup reach published ports already, and one cgroup is all that there is";
        return Err(Error::new(Kind::Conflict, "use", format!("cgroup {}", cgroup.path.display()), why)
            .remedy("leave out --cgroup, or withdraw all published ports first (`fwd port ls`)"));
    }
    let Cgroup { path, id, asked: _ } = cgroup.clone();
    Ok((!elsewhere).then_some(Object::HostAccess(object::HostAccess { path, id })))
}

/// That programs of the host do not reach published ports by its own addresses.
pub(crate) fn without_access(actual: &Actual) -> Option<String> {
    let why = actual.no_host_access.as_ref()?;
    Some(format!(
        "programs of the host reach published ports by the namespace's own address alone, not by those of the host: {why}"
    ))
}

/// That neighbours do not reach published ports of a network that the kernel forwards and whose endpoints do not reach each other.
pub(crate) fn apart_from_neighbours(actual: &Actual, datapath: Datapath, treatment: Treatment) -> Option<String> {
    let is_kept = !datapath.is_ebpf() && treatment.no_icc && actual.host.surroundings.bridged;
    is_kept.then(|| {
        "published ports are not reached from the same network, which has --no-icc, because bridges call netfilter \
         (net.bridge.bridge-nf-call-iptables is 1): --datapath tc has no such limit"
            .into()
    })
}

/// That what comes from outside to ports of an interface without a default route is answered by another interface of the namespace, where
/// its address passes for a forged one; and how the namespace can be told to answer by this one.
pub(crate) fn answered_elsewhere(
    asked: &[PublishedPorts],
    no_default_route: bool,
    (ifname, address): (&str, IpAddr),
    gateway: IpAddr,
) -> Option<String> {
    let reached = asked.iter().any(|ports| !ports.is_for_host_alone());
    let ip = if address.is_ipv4() { "ip" } else { "ip -6" };
    (no_default_route && reached).then(|| {
        format!(
            "{ifname} has no default route: what comes from outside to its ports is answered by the namespace's other interface, which drops \
             it (SpoofedSource). Publish them at the interface with the default route, or have the namespace answer by {ifname}: inside, \
             `{ip} rule add from {address} lookup 100` and `{ip} route add default via {gateway} dev {ifname} table 100`"
        )
    })
}

/// That ports are not reached over IPv6 by uplinks without a link-layer header, whose packets of IPv6 the programs leave to the host.
/// A network leaves by what it has `followed` and, where it has IPv6, by `uplink`.
pub(crate) fn not_by_tunnels(
    actual: &Actual,
    datapath: Datapath,
    (followed, uplink): (Followed, Option<u32>),
    asked: &[PublishedPorts],
) -> Option<String> {
    let reached = asked.iter().any(|ports| ports.are_of(false) && !ports.is_for_host_alone());
    let uplink = uplink.filter(|_| reached && datapath.is_ebpf())?;
    let host = &actual.host.net;
    let leading = host.routes.iter().filter(|route| followed.v6 && followed.leads(route)).map(|route| route.ifindex);
    let uplinks: BTreeSet<u32> = leading.chain([uplink]).collect();
    let tunnels = uplinks.into_iter().filter_map(|index| host.by_index(index));
    let tunnels: Vec<_> =
        tunnels.filter(|link| link.layer == LinkLayer::None && !link.loopback).map(|link| link.name.as_str()).collect();
    (!tunnels.is_empty()).then(|| {
        format!(
            "published ports are not reached over IPv6 by {}, without a link-layer header: what comes by it is the host's, but for --datapath kernel",
            tunnels.join(", ")
        )
    })
}

fn refusal(kind: Kind, ports: &PublishedPorts, why: String) -> Error {
    Error::new(kind, "publish", format!("port {ports}"), why)
}

impl Actual {
    /// The endpoint that has published these ports, if it is there.
    pub(crate) fn publisher(&self, publication: &Publication) -> Option<&EndpointRecord> {
        let is_it = |it: &&EndpointRecord| it.index == publication.endpoint && it.cookie == publication.cookie;
        self.records.endpoints.iter().find(is_it).filter(|endpoint| self.is_live(endpoint))
    }

    /// What an endpoint has published, by its record.
    pub(crate) fn published_by<'a>(&'a self, endpoint: &'a EndpointRecord) -> impl Iterator<Item = &'a Publication> {
        let is_its = |it: &&Publication| it.endpoint == endpoint.index && it.cookie == endpoint.cookie;
        self.records.publications.iter().filter(is_its)
    }
}
