//! Whether the host may answer at an uplink for an address that it does not have (`--announce`).

use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};

use crate::{Actual, EndpointRecord, HardwareAddress, Sources, host_address, settled::Network, uplink::Uplink};
use fwd_base::{Error, Kind, Result};
use fwd_kernel::netlink::LinkLayer;

/// The one address that is asked for.
///
/// # Errors
/// There is none, there are several, or there is one of IPv6, too.
fn only(asked: Sources) -> Result<Ipv4Addr> {
    let refuse =
        |source: String, why, remedy: &str| Err(Error::new(Kind::Usage, "announce", source, why).remedy(remedy));
    match (asked.v4, asked.v6) {
        (_, Some(v6)) => {
            let why = "an address of IPv4 alone can be announced";
            refuse(v6.to_string(), why, "leave out --source6, or leave out --announce and give the host the addresses")
        }
        (None, None) => refuse("an address".into(), "none is named", "name it: --source ADDR, or leave out --announce"),
        (Some(v4), None) => asked.one_v4().map_or_else(
            || {
                let remedy = format!(
                    "name one of them (--source {}), or leave out --announce and give the host the addresses",
                    v4.first()
                );
                refuse(v4.to_string(), "one address alone can be announced", &remedy)
            },
            Ok,
        ),
    }
}

/// Checks that what is `asked` for may be announced for an endpoint of `network`.
///
/// # Errors
/// It is not one address of IPv4, no program would answer, nobody would ask there, the host has the address, or somebody else does.
pub(super) fn check(asked: Sources, actual: &Actual, network: &Network) -> Result<()> {
    let source = only(asked)?;
    // Of an internal network others have told.
    let Some(uplink) = &network.uplink else { return Ok(()) };
    let refuse =
        |kind, why: String, remedy: &str| Err(Error::new(kind, "announce", source.to_string(), why).remedy(remedy));
    if !network.datapath.is_ebpf() {
        let why = "no program answers for it with --datapath kernel".into();
        return refuse(Kind::Unsupported, why, "leave out --announce, or use --datapath tc");
    }
    if let Err((kind, why)) = host_address::check_possible(source.into(), actual) {
        return refuse(kind, why, "name another --source");
    }
    if host_address::has(source.into(), actual) {
        return refuse(Kind::Conflict, "the host has it, and answers for it itself".into(), "leave out --announce");
    }
    let link = link(source, actual, uplink)?;
    let another = format!("name another address of {link}");
    if link.prefix_len() < 31 && [link.network(), link.broadcast()].contains(&source) {
        return refuse(Kind::Usage, format!("in {link} it is no host's"), &another);
    }
    if let Some(other) = elsewhere(source, actual, uplink) {
        return refuse(Kind::Conflict, format!("it is announced at another uplink, for {}", other.id), &another);
    }
    match actual.host.taken.get(&source) {
        Some(mac) => {
            let why = format!("somebody on the link of {} has it ({})", uplink.name, HardwareAddress(*mac));
            refuse(Kind::Conflict, why, &another)
        }
        None => Ok(()),
    }
}

/// The prefix on the link of an uplink of which the address is.
///
/// # Errors
/// Nobody on that link would ask for it.
fn link(source: Ipv4Addr, actual: &Actual, uplink: &Uplink) -> Result<Ipv4Net> {
    let name = &uplink.name;
    let known = actual.host.net.addresses.iter().filter(|(index, _)| *index == uplink.index);
    let of_ipv4 = known.filter_map(|(_, address)| if let IpNet::V4(it) = address { Some(it.trunc()) } else { None });
    let links: Vec<Ipv4Net> =
        of_ipv4.filter(|link| link.prefix_len() < 32 && uplink.layer != LinkLayer::None).collect();
    if let Some(link) = links.iter().find(|link| link.contains(&source)) {
        return Ok(*link);
    }
    let object = source.to_string();
    if links.is_empty() {
        let why = format!("on the link of {name} nobody asks for addresses");
        return Err(Error::new(Kind::Unsupported, "announce", object, why).remedy(format!(
            "leave out --announce, and give the host the address: `ip addr add {source}/32 dev {name}`"
        )));
    }
    let of = links.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
    let why = format!("it is not of the link of {name} ({of}), where others would ask for it");
    Err(Error::new(Kind::Usage, "announce", object, why).remedy(format!("name an address of {of}")))
}

/// An endpoint that has the address announced at another uplink.
fn elsewhere<'a>(source: Ipv4Addr, actual: &'a Actual, uplink: &Uplink) -> Option<&'a EndpointRecord> {
    let announced = |it: &&EndpointRecord| it.announced() == Some(source) && it.uplink != uplink.index;
    actual.records.endpoints.iter().find(announced)
}

/// The addresses of those `asked` for that nobody announces yet, each with an interface on whose link somebody may have it.
pub fn to_be_announced(asked: impl Iterator<Item = Ipv4Addr>, actual: &Actual) -> Vec<(u32, Ipv4Addr)> {
    let is_known = |source: &Ipv4Addr| {
        actual.records.endpoints.iter().any(|it| it.announced() == Some(*source))
            || host_address::has((*source).into(), actual)
    };
    let links = |source: Ipv4Addr| {
        let on_link = move |(_, address): &&(u32, IpNet)| {
            address.prefix_len() < 32 && address.contains(&std::net::IpAddr::V4(source))
        };
        actual.host.net.addresses.iter().filter(on_link).map(move |(index, _)| (*index, source))
    };
    asked.filter(|source| !is_known(source)).flat_map(links).collect()
}
