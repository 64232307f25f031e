//! Whether a network has IPv6, and which addresses.

pub(crate) mod address;

use std::{
    borrow::Cow,
    net::{Ipv4Addr, Ipv6Addr},
};

use ipnet::{IpNet, Ipv6Net};

use super::{same as is_same, settled::Network, uplink::Uplink};
use crate::{
    Actual, Ipv4, Ipv6, NetworkRecord,
    desired::AskedNetwork,
    disable_ipv6,
    overlap::Overlaps,
    sysctls::{ALL_FORWARDING6, ON},
};
use fwd_base::{Cause, Error, Kind, Result, hash::fnv, text::word};

/// Smallest MTU that carries IPv6 (RFC 8200 §5).
pub(crate) const SMALLEST_MTU: u32 = 1_280;
/// Lengths of the prefix that a network may have: from that of a link (RFC 4291 §2.5.1) to one with room for a gateway and an endpoint.
const PREFIXES: std::ops::RangeInclusive<u8> = 64..=126;
/// Subnets of the host's own prefix that are tried.
const SUBNETS: std::ops::RangeInclusive<u16> = 0..=u16::MAX;

/// What to do about a subnet that is in use.
const FREE: &str = "leave out --subnet6: a free one is taken then";

/// Why a network cannot have IPv6, and what to do about it.
pub(crate) struct Obstacle {
    why: String,
    remedy: String,
}

impl std::fmt::Display for Obstacle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.why, self.remedy)
    }
}

/// The gateway of a new network, if it is to have IPv6.
///
/// # Errors
/// It is asked for where it cannot be.
pub(super) fn gateway(
    asked: &AskedNetwork,
    actual: &Actual,
    uplink: Option<&Uplink>,
    bridge: &str,
    mtu: u32,
) -> Result<Option<Ipv6Net>> {
    let Some(wanted) = wanted(asked, !asked.is_internal())? else { return Ok(None) };
    if asked.is_internal() {
        check_internal(asked)?;
    }
    let leaves_by = uplink.map(|uplink| leaving(actual, uplink, asked.options.uplink.interface().is_some()));
    let is_routed = asked.options.ipv6 == Some(Ipv6::Route) || asked.is_internal();
    // Who takes any way waits for one of IPv6.
    let can = |uplink: &&Uplink| !asked.takes_any_way() || at_uplink(actual, uplink, is_routed).is_none();
    let uplink = leaves_by.as_deref().filter(can);
    let obstacle = obstacle(actual, uplink, mtu, is_routed);
    match (wanted, obstacle) {
        (true, Some(Obstacle { why, remedy })) => {
            return Err(Error::new(Kind::Unsupported, "give IPv6 to", format!("network {}", asked.name), why).remedy(
                match asked.ipv4() {
                    Ipv4::On => format!("{remedy}, or leave it out (--ipv6 off)"),
                    Ipv4::Off => format!("{remedy}, or give the network IPv4 (without --ipv4 off)"),
                },
            ));
        }
        (false, Some(_)) => return Ok(None),
        (false, None) if uplink.is_none_or(|uplink| routeless(actual, uplink).is_some()) => return Ok(None),
        (_, None) => {}
    }
    // A bridge with ports and without a record: its pins were lost. It keeps its address.
    let host = &actual.host.net;
    if let Some(kept) = host.link(bridge).and_then(|link| host.ipv6(link.index)) {
        return Ok(Some(kept));
    }
    let subnet = match asked.options.subnet6 {
        Some(given) => {
            check(given)?;
            given
        }
        None => free(actual)?,
    };
    if let Some(occupant) = Overlaps::of(actual, &[subnet.into()]).occupant(subnet.into()) {
        let remedy = if is_routed { "give another part of what is routed to this host" } else { FREE };
        return Err(Error::new(Kind::Conflict, "use", format!("subnet {subnet}"), occupant)
            .because(Cause::SubnetTaken)
            .remedy(remedy));
    }
    let first = Ipv6Addr::from_bits(subnet.network().to_bits() + 1);
    Ok(Some(Ipv6Net::new_assert(first, subnet.prefix_len())))
}

/// Whether a new network is to have IPv6, and not only may; none if it is to have none. `leaves` says whether anything is to leave it.
///
/// # Errors
/// What is asked for contradicts itself.
fn wanted(asked: &AskedNetwork, leaves: bool) -> Result<Option<bool>> {
    match (asked.options.ipv6, asked.options.subnet6) {
        (Some(Ipv6::Off), Some(subnet)) => {
            let why = "the network is to have no IPv6 (--ipv6 off)";
            Err(Error::new(Kind::Usage, "use", format!("--subnet6 {subnet}"), why).remedy("leave out one of the two"))
        }
        (Some(Ipv6::Off), None) => Ok(None),
        (Some(Ipv6::Route), None) if leaves => {
            let why =
                "addresses that are not translated are those that the outside routes to this host, which only you know";
            Err(Error::new(Kind::Usage, "use", "--ipv6 route", why).remedy(
                "give the prefix that is delegated to it, or a part of the uplink's own: --subnet6 2001:db8:0:1::/64",
            ))
        }
        (Some(Ipv6::Masquerade | Ipv6::Route), _) | (None, Some(_)) => Ok(Some(true)),
        (None, None) => Ok(Some(asked.ipv4() == Ipv4::Off)),
    }
}

/// By what the IPv6 of a network leaves: its uplink, if it is bound to that, else what the host's default route leads by, if there is one.
fn leaving<'a>(actual: &Actual, uplink: &'a Uplink, bound: bool) -> Cow<'a, Uplink> {
    let host = &actual.host.net;
    let best = host.default_routes6().min_by_key(|route| route.metric).filter(|_| !bound);
    let other = best.filter(|route| route.ifindex != uplink.index).and_then(|route| host.by_index(route.ifindex));
    other.map_or(Cow::Borrowed(uplink), |link| Cow::Owned(Uplink::of(link, Ipv4Addr::UNSPECIFIED)))
}

/// A network that nothing leaves has addresses where they are asked for, and whose they are nobody else need know.
fn check_internal(asked: &AskedNetwork) -> Result<()> {
    if asked.options.ipv6 != Some(Ipv6::Masquerade) {
        return Ok(());
    }
    let why = "an internal network (--internal) has no uplink behind whose address it could appear";
    let error = Error::new(Kind::Usage, "give IPv6 to", format!("network {}", asked.name), why);
    Err(error.remedy("ask for --ipv6 route, or leave one of the two out"))
}

/// Why a new network that was not asked to have IPv6 has none, on a host that has it.
pub(crate) fn left_out(actual: &Actual, network: &Network) -> Option<Obstacle> {
    let host = &actual.host.net;
    let uplink = &*leaving(actual, network.uplink.as_ref()?, network.treatment.bound);
    let has = host.ipv6(uplink.index).is_some() || host.default_routes6().next().is_some();
    let because = || {
        let obstacle = obstacle(actual, Some(uplink), network.mtu, network.treatment.routed6);
        obstacle.or_else(|| routeless(actual, uplink))
    };
    has.then(because).flatten()
}

/// What keeps a network from having IPv6, and its packets from being forwarded to the uplink, if it has one; unless it is routed, also from
/// being translated to an address of it.
fn obstacle(actual: &Actual, uplink: Option<&Uplink>, mtu: u32, is_routed: bool) -> Option<Obstacle> {
    let found = |why: String, remedy: String| Some(Obstacle { why, remedy });
    if !actual.host.sysctls.contains_key(ALL_FORWARDING6) {
        return found("this kernel has no IPv6".into(), "boot it without ipv6.disable=1".into());
    }
    if let Some(obstacle) = uplink.and_then(|uplink| at_uplink(actual, uplink, is_routed)) {
        return Some(obstacle);
    }
    if mtu < SMALLEST_MTU {
        let why = format!("IPv6 needs an MTU of {SMALLEST_MTU} bytes, and the network's is {mtu}");
        return found(why, format!("give it that much (--mtu {SMALLEST_MTU})"));
    }
    let no_nat = actual.no_ipv6_nat.as_ref()?;
    found(no_nat.clone(), "load nf_tables and nft_masq".into())
}

/// See [`obstacle`].
fn at_uplink(actual: &Actual, uplink: &Uplink, is_routed: bool) -> Option<Obstacle> {
    let (name, quoted) = (&uplink.name, word(&uplink.name));
    if actual.host.sysctls.get(&disable_ipv6(name)).is_some_and(|value| value == ON) {
        let remedy = format!("switch it on: sysctl -w net.ipv6.conf.{}.disable_ipv6=0", name.replace('.', "/"));
        return Some(Obstacle { why: format!("IPv6 is switched off at the uplink {name}"), remedy });
    }
    if !is_routed && actual.host.net.ipv6(uplink.index).is_none() {
        let why = format!("the uplink {name} has no IPv6 address but for its own link");
        return Some(Obstacle { why, remedy: format!("give it one: ip -6 addr add ADDRESS/64 dev {quoted}") });
    }
    None
}

/// The kernel would lead what is for elsewhere by another interface, or nowhere.
fn routeless(actual: &Actual, uplink: &Uplink) -> Option<Obstacle> {
    let best = actual.host.net.default_routes6().min_by_key(|route| route.metric);
    let why = match best {
        None => format!("no IPv6 default route leaves by the uplink {}", uplink.name),
        Some(route) if route.ifindex == uplink.index => return None,
        Some(route) => {
            let elsewhere = actual.host.net.name_of(route.ifindex);
            format!("the host's IPv6 default route leaves by {elsewhere}, not by the uplink {}", uplink.name)
        }
    };
    Some(Obstacle { why, remedy: "--ipv6 masquerade does without one".into() })
}

/// What a new network with IPv6 that was asked for does not reach.
pub(crate) fn reaches_less(actual: &Actual, network: &Network) -> Option<String> {
    let uplink = network.uplink.as_ref().filter(|_| network.gateway6.is_some())?;
    routeless(actual, &leaving(actual, uplink, network.treatment.bound))
        .map(|Obstacle { why, .. }| format!("by IPv6, only what is behind {} is reached: {why}", uplink.name))
}

/// Checks what is asked of a network that exists.
///
/// # Errors
/// [`Kind::Conflict`].
pub(super) fn same(asked: &AskedNetwork, record: &NetworkRecord) -> Result<()> {
    is_same(&record.name, "IPv6", asked.options.ipv6.map(Ipv6::name).as_ref(), &record.ipv6().name())?;
    let asked = asked.options.subnet6.map(|subnet| subnet.to_string());
    let has = record.subnet6().map_or_else(|| "none".into(), |subnet| subnet.to_string());
    is_same(&record.name, "subnet of IPv6", asked.as_ref(), &has)
}

/// Checks a subnet that the user gave.
///
/// # Errors
/// [`Kind::Usage`].
fn check(subnet: Ipv6Net) -> Result<()> {
    let refuse = |why: &str| Error::new(Kind::Usage, "use", format!("subnet {subnet}"), why);
    let (least, most) = (PREFIXES.start(), PREFIXES.end());
    if !PREFIXES.contains(&subnet.prefix_len()) {
        let why = format!("a network has a prefix of {least} to {most} bits");
        return Err(refuse(&why).remedy(format!("use a /{least}, such as fd00:77::/{least}")));
    }
    if subnet.trunc() != subnet {
        return Err(refuse("it is an address inside a subnet").remedy(format!("use {}", subnet.trunc())));
    }
    let first = subnet.network();
    let is_mapped = first.to_ipv4().is_some();
    if first.is_multicast() || first.is_unicast_link_local() || is_mapped {
        return Err(refuse("its addresses cannot be routed to an interface")
            .remedy(format!("use a unique local prefix, such as fd00:77::/{least}")));
    }
    Ok(())
}

/// A free /64 of the prefix that the host has for itself: a unique local one whose global ID is random (RFC 4193 §3.2), by the number that
/// tells this machine from others, and the run directory. So a network that comes again has the addresses that it had.
///
/// # Errors
/// [`Kind::Conflict`] if there is none.
fn free(actual: &Actual) -> Result<Ipv6Net> {
    free_besides(actual, &[])
}

/// The same, if each of `taken` were in use, too.
///
/// # Errors
/// As [`free`].
pub(super) fn free_besides(actual: &Actual, taken: &[IpNet]) -> Result<Ipv6Net> {
    let id = fnv(actual.host.machine.to_le_bytes().into_iter().chain(actual.host.owner.0.to_le_bytes()));
    let prefix = 0xfd_u128 << 120 | u128::from(id >> 24) << 80;
    let of = |number: u16| Ipv6Net::new_assert(Ipv6Addr::from_bits(prefix | u128::from(number) << 64), 64);
    let whole = Ipv6Net::new_assert(Ipv6Addr::from_bits(prefix), 48);
    let overlaps = Overlaps::of(actual, &[whole.into()]).and(taken);
    let is_free =
        |subnet: &Ipv6Net| overlaps.occupant((*subnet).into()).is_none() && !overlaps.is_on_link((*subnet).into());
    SUBNETS.map(of).find(is_free).ok_or_else(|| {
        Error::new(Kind::Conflict, "choose a subnet in", whole.to_string(), "all of it is in use")
            .remedy("choose one yourself, such as --subnet6 fd00:77::/64")
    })
}
