//! Whether the host may answer at an uplink for addresses that it does not have (`--announce`).

use std::{collections::BTreeSet, net::IpAddr};

use forwarder_common::abi::ANNOUNCED_ADDRESSES;
use ipnet::IpNet;

use crate::{Actual, EndpointRecord, HardwareAddress, Sources, host_address, settled::Network, uplink::Uplink};
use fwd_base::{Error, Kind, Result};
use fwd_kernel::netlink::LinkLayer;

/// Checks that what is `asked` for may be announced for an endpoint of `network`.
///
/// # Errors
/// It is none at all, no program would answer, there are too many, or one of them cannot be: nobody would ask there, the host has it, or somebody
/// else does.
pub(super) fn check(asked: Sources, actual: &Actual, network: &Network) -> Result<()> {
    let Some(first) = asked.addresses().next() else {
        return Err(Error::new(Kind::Usage, "announce", "an address", "none is named")
            .remedy("name it: --source ADDR or --source6 ADDR, or leave out --announce"));
    };
    // Of an internal network others have told.
    let Some(uplink) = &network.uplink else { return Ok(()) };
    if !network.datapath.is_ebpf() {
        let why = "no program answers for it with --datapath kernel";
        return Err(Error::new(Kind::Unsupported, "announce", first.to_string(), why)
            .remedy("leave out --announce, or use --datapath tc"));
    }
    let known = actual.records.endpoints.iter().flat_map(|it| it.announced().addresses());
    let count = known.chain(asked.addresses()).collect::<BTreeSet<IpAddr>>().len();
    if count > ANNOUNCED_ADDRESSES {
        let what = asked.options().map(|(_, source)| source).collect::<Vec<_>>().join(" and ");
        let why = format!("with it {count} addresses would be, of which there may be {ANNOUNCED_ADDRESSES}");
        return Err(Error::new(Kind::Unsupported, "announce", what, why).remedy("name fewer addresses"));
    }
    asked.addresses().try_for_each(|address| check_one(address, actual, uplink))
}

/// Checks one of them.
fn check_one(source: IpAddr, actual: &Actual, uplink: &Uplink) -> Result<()> {
    let refuse =
        |kind, why: String, remedy: &str| Err(Error::new(kind, "announce", source.to_string(), why).remedy(remedy));
    let option = if source.is_ipv4() { Sources::V4 } else { Sources::V6 };
    if let Err((kind, why)) = host_address::check_possible(source, actual) {
        return refuse(kind, why, &format!("name another {option}"));
    }
    if host_address::has(source, actual) {
        return refuse(Kind::Conflict, "the host has it, and answers for it itself".into(), "leave out --announce");
    }
    let link = link(source, actual, uplink)?;
    let another = format!("name another address of {link}");
    if is_nobodys(link, source) {
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

/// Whether no host has an address of a link: of IPv4 its first is that of the link, and its last that of all; of IPv6 its first is that of any
/// router (RFC 4291 §2.6.1).
fn is_nobodys(link: IpNet, address: IpAddr) -> bool {
    match link {
        IpNet::V4(link) => link.prefix_len() < 31 && (address == link.network() || address == link.broadcast()),
        IpNet::V6(link) => link.prefix_len() < 127 && address == link.network(),
    }
}

/// The prefix on the link of an uplink of which the address is.
///
/// # Errors
/// Nobody on that link would ask for it.
fn link(source: IpAddr, actual: &Actual, uplink: &Uplink) -> Result<IpNet> {
    let name = &uplink.name;
    let known = actual.host.net.addresses.iter().filter(|(index, _)| *index == uplink.index);
    let of_family = known.filter(|(_, address)| is_link(address) && address.addr().is_ipv4() == source.is_ipv4());
    let links: Vec<IpNet> =
        of_family.map(|(_, address)| address.trunc()).filter(|_| uplink.layer != LinkLayer::None).collect();
    if let Some(link) = links.iter().find(|link| link.contains(&source)) {
        return Ok(*link);
    }
    let object = source.to_string();
    if links.is_empty() {
        let why = format!("on the link of {name} nobody asks for addresses");
        let length = if source.is_ipv4() { 32 } else { 128 };
        return Err(Error::new(Kind::Unsupported, "announce", object, why).remedy(format!(
            "leave out --announce, and give the host the address: `ip addr add {source}/{length} dev {name}`"
        )));
    }
    let of = links.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
    let why = format!("it is not of the link of {name} ({of}), where others would ask for it");
    Err(Error::new(Kind::Usage, "announce", object, why).remedy(format!("name an address of {of}")))
}

/// Whether an address of an interface says of others that they are on its link, and are known by such addresses beyond it.
fn is_link(address: &IpNet) -> bool {
    let is_local = matches!(address, IpNet::V6(it) if it.addr().is_unicast_link_local());
    address.prefix_len() < address.max_prefix_len() && !is_local
}

/// An endpoint that has the address announced at another uplink.
fn elsewhere<'a>(source: IpAddr, actual: &'a Actual, uplink: &Uplink) -> Option<&'a EndpointRecord> {
    let announced = |it: &&EndpointRecord| it.announced().contains(source) && it.uplink != uplink.index;
    actual.records.endpoints.iter().find(announced)
}

/// The addresses of those `asked` for that nobody announces yet, each with an interface on whose link somebody may have it.
pub fn to_be_announced(asked: impl Iterator<Item = IpAddr>, actual: &Actual) -> Vec<(u32, IpAddr)> {
    let is_known = |source: &IpAddr| {
        actual.records.endpoints.iter().any(|it| it.announced().contains(*source)) || host_address::has(*source, actual)
    };
    let links = |source: IpAddr| {
        let on_link = move |(_, address): &&(u32, IpNet)| is_link(address) && address.contains(&source);
        actual.host.net.addresses.iter().filter(on_link).map(move |(index, _)| (*index, source))
    };
    asked.filter(|source| !is_known(source)).flat_map(links).collect()
}
