//! Which interface leads outside.

use std::net::Ipv4Addr;

use crate::{
    Actual, Datapath, Interface, Ipv4, NetConfig, NetworkRecord, Object, SysctlRecord, Undo, UplinkRecord, forwarding,
    names, object,
    sysctls::{ALL_FORWARDING, ON},
};
use fwd_base::{
    Error, Kind, Result,
    text::{option, word},
};
use fwd_kernel::{
    netlink::{Link, LinkLayer, Route},
    netns::{Name, nearest},
};

/// The kind of an interface that has routes and addresses of its own.
pub(crate) const VRF: &str = "vrf";

/// The uplink of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Uplink {
    pub(crate) name: String,
    pub(crate) index: u32,
    pub(crate) mtu: u32,
    pub(crate) address: Ipv4Addr,
    pub(crate) layer: LinkLayer,
    /// What kind of interface it is, and whether it is a port of another.
    pub(crate) kind: Option<String>,
    pub(crate) port: bool,
}

/// The uplink that was asked for, or the default route's.
///
/// # Errors
/// It is absent, down, without an address, or leads nowhere.
pub(crate) fn choose(actual: &Actual, given: Option<&str>, ipv4: Ipv4) -> Result<Uplink> {
    let host = &actual.host.net;
    let link = match given {
        Some(name) => host.link(name).ok_or_else(|| unknown(actual, name))?,
        None => {
            let link = default_route(host, ipv4).and_then(|route| host.by_index(route.ifindex));
            link.ok_or_else(|| without_route(actual, ipv4))?
        }
    };
    ready(actual, link, ipv4)
}

/// The default route by which most of a network leaves: of IPv6 where it has no IPv4.
pub(crate) fn default_route(host: &NetConfig, ipv4: Ipv4) -> Option<&Route> {
    match ipv4 {
        Ipv4::On => host.way_out(),
        Ipv4::Off => host.default_routes6().min_by_key(|route| route.metric),
    }
}

fn without_route(actual: &Actual, ipv4: Ipv4) -> Error {
    let (why, other) = match ipv4 {
        Ipv4::Off => ("the host has no default route of IPv6", ""),
        Ipv4::On if actual.host.net.default_routes6().next().is_some() => {
            ("the host has no default route of IPv4", "; or make a network of IPv6 alone: --ipv4 off")
        }
        Ipv4::On => ("the host has no default route", ""),
    };
    let error = Error::new(Kind::NotFound, "find", "an uplink", why);
    error.remedy(format!("name the interface that leads outside: --uplink IFACE{}{other}", among(actual)))
}

/// An interface that programs are to guard, whoever leads through it. One without an address of its own is left from the address that a
/// route names.
///
/// # Errors
/// It is absent, down, or cannot be guarded.
pub(crate) fn guardable(actual: &Actual, name: &str) -> Result<Uplink> {
    let link = actual.host.net.link(name).ok_or_else(|| unknown(actual, name))?;
    fit(actual, link)?;
    let uplink = Uplink::of(link, actual.host.net.ipv4(link.index).map_or(Ipv4Addr::UNSPECIFIED, |net| net.addr()));
    uplink.check_layer()?;
    Ok(uplink)
}

/// The uplink of a network that exists. One that carries an endpoint already may be down for the moment.
///
/// # Errors
/// It has gone, or is not fit for a further endpoint.
pub(crate) fn of_network(actual: &Actual, network: &NetworkRecord, attached: bool) -> Result<Uplink> {
    let record = actual.records.uplinks.iter().find(|uplink| uplink.index == network.uplink);
    let Some(link) = actual.recorded(network.uplink) else {
        let name = record.map_or_else(|| format!("with index {}", network.uplink), |uplink| uplink.name.clone());
        let why = match actual.host.net.link(&name).map(|link| ready(actual, link, network.ipv4())) {
            Some(Err(error)) => format!("its uplink {name} was made anew, and cannot be used yet: {}", error.why),
            _ => format!("its uplink {name} is gone"),
        };
        let remedy = format!("set {name} up again, or name another: --uplink IFACE{}", among(actual));
        return Err(Error::new(Kind::Conflict, "join", format!("network {}", network.name), why).remedy(remedy));
    };
    match (record, attached) {
        (Some(record), true) => {
            let address = actual.host.net.ipv4(link.index).map_or(record.address, |net| net.addr());
            Ok(Uplink::of(link, address))
        }
        _ => ready(actual, link, network.ipv4()),
    }
}

/// Checks that an interface can be the uplink of a network now that has this of IPv4; what it needs of IPv6 is another question.
fn ready(actual: &Actual, link: &Link, ipv4: Ipv4) -> Result<Uplink> {
    fit(actual, link)?;
    let name = &link.name;
    let address = actual.host.net.ipv4(link.index);
    if ipv4 == Ipv4::Off {
        return Ok(Uplink::of(link, address.map_or(Ipv4Addr::UNSPECIFIED, |net| net.addr())));
    }
    let Some(address) = address else {
        let error = Error::new(Kind::Failed, "use", format!("uplink {name}"), "it has no IPv4 address");
        return Err(match link.controller.and_then(|index| actual.host.net.by_index(index)) {
            Some(controller) => {
                let way = option("--uplink", &controller.name);
                error.remedy(format!("it is a port of {}: try {way}", controller.name))
            }
            None => error.remedy(format!("give it one: ip addr add ADDRESS/LENGTH dev {}", word(name))),
        });
    };
    Ok(Uplink::of(link, address.addr()))
}

/// Checks that an interface is up, and one of the host's own.
fn fit(actual: &Actual, link: &Link) -> Result<()> {
    let name = &link.name;
    let refuse = |kind, why: &str| Error::new(kind, "use", format!("uplink {name}"), why);
    if link.loopback {
        return Err(
            refuse(Kind::Usage, "it is the loopback interface").remedy(format!("name another{}", among(actual)))
        );
    }
    if names::is_made(link) {
        return Err(
            refuse(Kind::Usage, "it belongs to a network of fwd").remedy(format!("name another{}", among(actual)))
        );
    }
    let vrf = |link: &&Link| link.kind.as_deref() == Some(VRF);
    let controller = link.controller.and_then(|index| actual.host.net.by_index(index));
    if let Some(vrf) = [Some(link), controller].into_iter().flatten().find(vrf) {
        let why = format!("it is of the VRF {}, which has routes and addresses of its own", vrf.name);
        return Err(refuse(Kind::Unsupported, &why).remedy(format!(
            "name an uplink of the host's main routing, or take it out of the VRF: ip link set {} nomaster",
            word(name)
        )));
    }
    if !link.up {
        return Err(refuse(Kind::Failed, "it is down").remedy(format!("set it up: ip link set {} up", word(name))));
    }
    Ok(())
}

impl Uplink {
    /// This interface, with the address behind which endpoints appear.
    pub(crate) fn of(link: &Link, address: Ipv4Addr) -> Self {
        Self {
            name: link.name.clone(),
            index: link.index,
            mtu: link.mtu,
            address,
            layer: link.layer,
            kind: link.kind.clone(),
            port: link.controller.is_some(),
        }
    }

    /// As its record has it, of which the rest does not matter.
    pub(crate) fn recorded(record: &UplinkRecord) -> Self {
        let link = Link { index: record.index, name: record.name.clone(), ..Link::default() };
        Self::of(&link, record.address)
    }

    /// Checks that the programs of a data path, if it has any, know its packets: all that counts for a network that is there already.
    ///
    /// # Errors
    /// They do not.
    pub(crate) fn check_programs(&self, datapath: Datapath, actual: &Actual) -> Result<()> {
        if datapath.is_ebpf() {
            self.check_layer()?;
        }
        if datapath.has_xdp() { self.check_xdp(actual) } else { Ok(()) }
    }

    /// Checks that a network whose packets the kernel forwards by itself can be bound to it.
    ///
    /// # Errors
    /// The host's default route leaves by another interface: what is not translated there would leave by that one.
    pub(crate) fn check_routes(&self, actual: &Actual) -> Result<()> {
        let host = &actual.host.net;
        let Some(route) = host.default_route().filter(|route| route.ifindex != self.index) else { return Ok(()) };
        let (name, other) = (&self.name, host.name_of(route.ifindex));
        let why = format!("the kernel forwards by the host's routes, and its default route leaves by {other}");
        Err(Error::new(Kind::Unsupported, "use", format!("uplink {name} for datapath kernel"), why).remedy(format!(
            "use --datapath tc, which looks up routes as a socket that is bound to {name} does; or lead the default route through {name}"
        )))
    }

    /// Checks that XDP sees at it what the traffic control hooks would.
    ///
    /// # Errors
    /// It has no frames of its own, or VLANs share it, whose tags XDP may not see.
    fn check_xdp(&self, actual: &Actual) -> Result<()> {
        let refuse = |why: String| {
            Error::new(Kind::Unsupported, "use", format!("uplink {} for datapath xdp", self.name), why)
                .remedy("use --datapath tc, which takes any uplink")
        };
        if self.layer != LinkLayer::Ethernet {
            return Err(refuse("it has no Ethernet header".into()));
        }
        if let Some(kind @ ("bridge" | "vlan")) = self.kind.as_deref() {
            let why = format!("it is a {kind}: its frames come by other interfaces, and XDP belongs to those");
            return Err(refuse(why));
        }
        let is_above = |link: &&Link| link.kind.as_deref() == Some("vlan") && link.peer == Some(self.index);
        if let Some(vlan) = actual.host.net.links.iter().find(is_above) {
            let why = format!(
                "it carries the VLAN {}: where the card takes tags off, XDP cannot tell whose a frame is",
                vlan.name
            );
            return Err(refuse(why));
        }
        Ok(())
    }

    /// Checks that the programs of the eBPF path know its packets.
    ///
    /// # Errors
    /// They begin with another header than Ethernet's.
    fn check_layer(&self) -> Result<()> {
        let LinkLayer::Other(number) = self.layer else { return Ok(()) };
        let why = format!("it is neither Ethernet nor without link-layer header, but of type {number}");
        Err(Error::new(Kind::Unsupported, "use", format!("uplink {}", self.name), why)
            .remedy("use another uplink, or --datapath kernel, which takes any"))
    }
}

impl Uplink {
    /// Everything of an uplink, the guard of what leaves before anything leads through it, and that of what arrives before any of it is
    /// forwarded.
    pub(crate) fn objects(&self, actual: &Actual, ipv4: Ipv4, (ebpf, xdp): (bool, bool)) -> Vec<Object> {
        let (name, index, address) = (self.name.clone(), self.index, self.address);
        let is_noted = |object: &Object| matches!(object, Object::Undo(_));
        // Forwarding of IPv6 is the host's, not an interface's.
        let sysctls = if ipv4 == Ipv4::On { self.sysctls(actual) } else { Vec::new() };
        let (mut objects, forwarding): (Vec<_>, Vec<_>) = sysctls.into_iter().partition(is_noted);
        objects.push(Object::Uplink(object::Uplink { name: name.clone(), index, address }));
        let record = actual.records.uplinks.iter().find(|record| record.index == index);
        objects.extend(record.map(|record| {
            Object::UplinkAddress(object::UplinkAddress {
                name: name.clone(),
                index,
                from: record.address,
                to: address,
            })
        }));
        if ebpf {
            objects.push(Object::UplinkHooks(object::UplinkHooks { name: name.clone(), index, layer: self.layer }));
        }
        if xdp {
            objects.push(Object::UplinkXdp(object::UplinkXdp { name, index }));
        }
        objects.extend(forwarding);
        objects
    }

    /// Forwarding at the uplink: remembered before it is changed, with the switch for all interfaces beside it.
    fn sysctls(&self, actual: &Actual) -> Vec<Object> {
        let path = forwarding(&self.name);
        // Not those of IPv6, which another command may still have to put back.
        let changed = actual.changed_sysctls().filter(|record| record.is_of(self.index) && !record.is_ipv6());
        if let Some(record) = changed.filter_map(|record| record.now(&actual.host.net)).next() {
            return vec![Object::Sysctl(record)];
        }
        let value = |path: &str| actual.host.sysctls.get(path).cloned();
        let Some(original) = value(&path).filter(|value| value != ON) else { return Vec::new() };
        let all = value(ALL_FORWARDING).unwrap_or_default();
        let witness = SysctlRecord { path: ALL_FORWARDING.into(), original: all.clone(), ours: all, interface: None };
        let mac = actual.host.net.by_index(self.index).and_then(|link| link.mac);
        let interface = Some(Interface { name: self.name.clone(), index: self.index, mac });
        let record = SysctlRecord { path, original, ours: ON.into(), interface };
        let remembered = [witness, record.clone()].map(|record| Object::Undo(Undo::Sysctl(record)));
        remembered.into_iter().chain([Object::Sysctl(record)]).collect()
    }
}

fn unknown(actual: &Actual, name: &str) -> Error {
    let error = Error::new(Kind::NotFound, "use", format!("uplink {name}"), "there is no such interface");
    let candidates: Vec<Name> = candidates(actual).filter_map(|link| Name::try_from(link.name.as_str()).ok()).collect();
    match nearest(name, &candidates) {
        Some(nearest) => error.remedy(format!("did you mean {nearest}?{}", among(actual))),
        None => error.remedy(format!("name an interface that exists{}", among(actual))),
    }
}

/// ` (there are: eth0, eth1)`.
fn among(actual: &Actual) -> String {
    const SHOWN: usize = 8;
    let mut names: Vec<&str> = candidates(actual).map(|link| link.name.as_str()).collect();
    if names.is_empty() {
        return " (there is none)".into();
    }
    if names.len() > SHOWN {
        names.truncate(SHOWN);
        names.push("…");
    }
    format!(" (there are: {})", names.join(", "))
}

/// Interfaces that may lead outside.
fn candidates(actual: &Actual) -> impl Iterator<Item = &Link> {
    let ours = |link: &&Link| names::is_made(link);
    actual.host.net.links.iter().filter(|link| !link.loopback).filter(move |link| !ours(link))
}
