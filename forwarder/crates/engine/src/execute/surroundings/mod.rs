//! Reads what other parts of the host do to the packets of networks, and tells what is wrong with it.

mod host_access;
mod ipv6;
mod listeners;
pub(super) mod multicast;
mod sources;
mod transit;

use std::net::IpAddr;

use forwarder_common::{
    abi::{Uplink, uplink_flags},
    types::verdict::{DropReason, PuntReason},
};

pub(super) use self::host_access::follow_addresses;
pub use self::listeners::listeners;
pub(super) use self::listeners::{is_in_the_way_of_a_runtime, socket};
pub(super) use self::transit::Transit;
use super::{record, undo::UndoLog};
use fwd_base::{Error, Result, text::word};
use fwd_dataplane::{Dataplane, Stat};
use fwd_kernel::{
    netlink::{
        Interface, Link, LinkLayer, Netlink, forward_chains, input_chains, mark_rules, redirecting_tables,
        xfrm_policies,
    },
    sysctl,
};
use fwd_plan::{
    ALL_FORWARDING6, Actual, Concerned, Datapath, EndpointRecord, NetConfig, NetworkRecord, Records, Surroundings,
    UpRequest, forwarding, led_by, network_name, route_mtus, unguarded,
};

const OTHER_MTUS: &str = "the MTUs that routes of this host ask for have changed since fwd read them, so that packets of namespaces may be \
    larger than a route allows, or smaller: any `fwd up` reads them again";

/// Whether bridged packets pass the chains of the forward hook, of IPv4 and of IPv6.
const BRIDGED: [&str; 2] = ["net/bridge/bridge-nf-call-iptables", "net/bridge/bridge-nf-call-ip6tables"];

/// Reads what an `up` depends on: of a network that is there with programs, only policies that it does not ignore. Who names the ports that
/// packets appear behind knows of those that others use.
///
/// # Errors
/// The kernel refuses.
pub(super) fn for_up(request: &UpRequest, actual: &Actual) -> Result<Surroundings> {
    let name = network_name(request, actual).ok();
    let record = actual.records.networks.iter().find(|network| Some(&network.name) == name.as_ref());
    let datapath = record.map_or(request.options.datapath, |record| Some(record.datapath));
    let ignores = record.map_or(request.options.ignore_xfrm, |record| record.treatment.ignore_xfrm);
    let kernel = datapath == Some(Datapath::Kernel);
    Ok(Surroundings {
        redirecting: if record.is_none() && request.table.nat_ports.is_none() {
            redirecting_tables()?
        } else {
            Vec::new()
        },
        input: if request.endpoint.publish.is_empty() { Vec::new() } else { input_chains()? },
        ..read(!kernel && !ignores, kernel || record.is_none())?
    })
}

/// What a published port is reached past.
///
/// # Errors
/// The kernel refuses.
pub(super) fn of_input() -> Result<Surroundings> {
    let [bridged, bridged6] = are_bridged()?;
    Ok(Surroundings { input: input_chains()?, bridged, bridged6, ..Surroundings::default() })
}

/// Tells the programs the MTUs that routes ask for, how uplinks check sources, which hardware addresses they have, which are guarded, where the host
/// forwards for others than namespaces, and what is announced, as it is now.
///
/// Returns the uplinks that have another hardware address than before, by their indexes.
///
/// # Errors
/// The host cannot be read, or a map cannot be written.
pub(super) fn follow_routes(plane: Option<&Dataplane>, netlink: &Netlink, log: &UndoLog) -> Result<Vec<u32>> {
    let mut changed = Vec::new();
    let Some(plane) = plane.filter(|plane| plane.is_loaded()) else { return Ok(changed) };
    let transit = Transit::read(log)?;
    plane.set_route_mtus(&route_mtus(&netlink.routes()?))?;
    plane.follow_announced()?;
    for (index, record) in plane.uplinks()? {
        let Some(link) = netlink.link_by_index(index)? else { continue };
        let strict = if is_strict(&link.name)? { uplink_flags::STRICT } else { 0 };
        let tunnel = if link.layer == LinkLayer::None { uplink_flags::TUNNEL } else { 0 };
        plane.discard_moved(index)?;
        let guarded = if plane.is_uplink_attached(index)? { uplink_flags::GUARDED } else { 0 };
        let restrained = if transit.is_allowed(index) { 0 } else { uplink_flags::NO_TRANSIT };
        let kept = record.flags & (uplink_flags::ASKED | uplink_flags::ALLMULTI | uplink_flags::BEHIND_OTHERS);
        let flags = strict | tunnel | guarded | restrained | kept;
        let now = Uplink { flags, mac: link.mac.unwrap_or_default(), ..record };
        let now = multicast::follow(plane, netlink, &link, &now)?;
        if record != now {
            plane.put_uplink(index, &now)?;
        }
        if record.mac != now.mac {
            changed.push(index);
        }
    }
    Ok(changed)
}

/// Whether the host takes from an interface only what it would send by it: the larger of two settings holds (ip-sysctl, `rp_filter`).
pub(crate) fn is_strict(interface: &str) -> Result<bool> {
    let mut holds = 0;
    for interface in ["all", interface] {
        let value = sysctl::read(&format!("net/ipv4/conf/{interface}/rp_filter"))?;
        holds = holds.max(value.and_then(|value| value.parse().ok()).unwrap_or(0));
    }
    Ok(holds == 1)
}

pub(super) fn read(policies: bool, chains: bool) -> Result<Surroundings> {
    let [bridged, bridged6] = are_bridged()?;
    Ok(Surroundings {
        marks: if chains { mark_rules()? } else { Vec::new() },
        policies: if policies { xfrm_policies()? } else { Vec::new() },
        chains: if chains { forward_chains()? } else { Vec::new() },
        redirecting: Vec::new(),
        input: Vec::new(),
        bridged,
        bridged6,
    })
}

/// Whether what a bridge passes from port to port goes through the chains of the forward hook, of IPv4 and of IPv6 (br_netfilter).
///
/// # Errors
/// /proc cannot be read.
pub(crate) fn are_bridged() -> Result<[bool; 2]> {
    let read = |path| Ok(sysctl::read(path)?.is_some_and(|value| value != "0"));
    let [ipv4, ipv6] = BRIDGED.map(read);
    Ok([ipv4?, ipv6?])
}

/// What keeps the packets of a network (or of all networks) from getting through, or lets through what should not, each with the
/// remedy. `host` is the name (or path) of the namespace that plays the host, where it is not the caller's.
///
/// # Errors
/// The records cannot be read. What cannot be read of the rest is one of the problems.
pub fn problems(plane: &Dataplane, host: Option<&str>, network: Option<&str>) -> Result<Vec<String>> {
    let records = record::read(plane, Vec::new())?;
    let found = look(&records, host, network).and_then(|mut found| {
        found.extend(by_other_interfaces(plane, &records, network)?);
        if plane.is_loaded() && plane.route_mtus()? != route_mtus(&Netlink::here()?.routes()?) {
            found.push(OTHER_MTUS.into());
        }
        found.extend(host_access::problem(plane, &records)?);
        Ok(found)
    });
    Ok(found.unwrap_or_else(|error| vec![format!("what else happens to packets on this host cannot be told: {error}")]))
}

/// What was lost because it left, or came in, by another interface than the uplink.
fn by_other_interfaces(plane: &Dataplane, records: &Records, network: Option<&str>) -> Result<Vec<String>> {
    let stats = plane.stats()?;
    let count = |interface: &str, reason: &str| {
        let same = |stat: &&Stat| stat.ifname == interface && stat.reason == Some(reason);
        stats.iter().filter(same).map(|stat| stat.packets).sum::<u64>()
    };
    let mut found = Vec::new();
    for record in records.networks.iter().filter(|record| network.is_none_or(|name| record.name == name)) {
        let Some(uplink) = records.uplinks.iter().find(|uplink| uplink.index == record.uplink) else { continue };
        let members = records.endpoints.iter().filter(|endpoint| endpoint.network == record.name);
        let lost =
            |reason: DropReason| -> u64 { members.clone().map(|member| count(&member.host_if, reason.name())).sum() };
        let elsewhere = lost(DropReason::RouteNotViaUplink);
        if elsewhere != 0 {
            let why = if record.treatment.bound {
                let unrouted = format!("{}, to which it is bound, has no route there", uplink.name);
                let elsewhere = ipv6::elsewhere(records, record, uplink)?;
                [Some(unrouted), elsewhere].into_iter().flatten().collect::<Vec<_>>().join(", or ")
            } else {
                "the host sends them by a tunnel of the route's own".into()
            };
            found.push(format!(
                "{elsewhere} packets of network {} were dropped so far (RouteNotViaUplink), because {why}",
                record.name
            ));
        }
        found.extend(refused_ways(records, record, lost(DropReason::UplinkUnguarded))?);
        let refused = count(&uplink.name, PuntReason::AsymmetricReply.name());
        if refused != 0 {
            found.push(format!(
                "{refused} replies to namespaces behind {} were refused by the host so far (AsymmetricReply), because they came in by \
                 another interface: route them back by {}, or make the interface where they come in an uplink (`fwd uplink add`), with rp_filter 0 or 2",
                uplink.name, uplink.name
            ));
        }
    }
    Ok(found)
}

/// What to say where packets of a network were refused because no program guards the way that they would take, and still does not.
fn refused_ways(records: &Records, record: &NetworkRecord, packets: u64) -> Result<Option<String>> {
    if packets == 0 {
        return Ok(None);
    }
    let ways = unguarded(&routed(&Netlink::here()?)?, records);
    let add: Vec<String> = ways.iter().map(|name| format!("`fwd uplink add {}`", word(name))).collect();
    Ok((!ways.is_empty()).then(|| {
        format!(
            "{packets} packets of network {} were refused so far (UplinkUnguarded), because no program guards what leaves by {}: {}, or any \
             `fwd up`, takes in what the host's routes lead by",
            record.name,
            ways.join(", "),
            add.join(", ")
        )
    }))
}

/// The interfaces of the host, and its routes.
fn routed(netlink: &Netlink) -> Result<NetConfig> {
    Ok(NetConfig { links: netlink.links()?, routes: netlink.routes()?, ..NetConfig::default() })
}

/// What the host does not forward of a network by this uplink, although it was told to.
fn forwards_not(netlink: &Netlink, records: &Records, record: &NetworkRecord, uplink: &str) -> Result<Vec<String>> {
    let is_off = |path: &str| Ok::<_, Error>(sysctl::read(path)?.is_some_and(|value| value == "0"));
    let mut lost = Vec::new();
    let setting = |name: &str| format!("{name} is off (net.ipv4.conf.{name}.forwarding)");
    let of_ipv4 = record.gateway.map(|_| [uplink, &record.bridge]);
    for name in of_ipv4.into_iter().flatten() {
        if is_off(&forwarding(name))? {
            lost.push((setting(name), "nothing"));
        }
    }
    // What the programs forward is refused there, and counted.
    if record.follows_routes() && record.gateway.is_some() && !record.datapath.is_ebpf() {
        for name in led_by(&routed(netlink)?).iter().filter(|name| *name != uplink) {
            if is_off(&forwarding(name))? {
                lost.push((setting(name), "no answer by it to a namespace"));
            }
        }
    }
    if record.gateway6.is_some() && is_off(ALL_FORWARDING6)? {
        lost.push(("IPv6 is off (net.ipv6.conf.all.forwarding)".into(), "no IPv6"));
    }
    let again = records.endpoints.iter().find(|endpoint| endpoint.network == record.name);
    let option = again.and_then(EndpointRecord::option).unwrap_or_else(|| "NAME".into());
    let told = lost.into_iter().map(|(what, nothing)| {
        let network = &record.name;
        format!("forwarding of {what}, so that {nothing} of network {network} is forwarded: `fwd up {option}` switches it on again")
    });
    Ok(told.collect())
}

/// A network that leaves the host, with its uplink and the addresses behind which its packets may appear.
type Leaving<'a> = (&'a NetworkRecord, Link, Vec<IpAddr>);

/// The networks that leave the host: nothing of an internal one concerns others; of an uplink that is gone, or is still to come, others tell.
fn leaving<'a>(netlink: &Netlink, records: &'a Records, network: Option<&str>) -> Result<Vec<Leaving<'a>>> {
    let mut found = Vec::new();
    for record in records.networks.iter().filter(|record| network.is_none_or(|name| record.name == name)) {
        if record.treatment.internal || record.uplink == 0 {
            continue;
        }
        let Some(link) = netlink.link_by_index(record.uplink)? else { continue };
        // What follows the host's routes may appear behind any address of the host.
        let of = (!record.follows_routes()).then_some(link.index);
        let addresses = netlink.addresses(of)?.into_iter().map(|(_, address)| address.addr());
        found.push((record, link, addresses.filter(|address| record.treatment.appears_behind(*address)).collect()));
    }
    Ok(found)
}

/// What is not forwarded of networks although it was switched on: the name of each, and in words with the remedy.
///
/// # Errors
/// The kernel refuses.
pub(crate) fn not_forwarded(records: &Records) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    let netlink = Netlink::here()?;
    for (record, link, _) in leaving(&netlink, records, None)? {
        found.extend(
            forwards_not(&netlink, records, record, &link.name)?.into_iter().map(|what| (record.name.clone(), what)),
        );
    }
    Ok(found)
}

/// Addresses behind which endpoints are to appear, and that the host has lost, or that are announced, and it has got: those of each network, in
/// words with the remedy.
///
/// # Errors
/// The kernel refuses.
pub(crate) fn lost_sources(records: &Records) -> Result<Vec<String>> {
    let netlink = Netlink::here()?;
    let mut found = Vec::new();
    for network in &records.networks {
        found.extend(sources::lost(&netlink, records, network)?);
        found.extend(sources::come(&netlink, records, network)?);
    }
    Ok(found)
}

/// What these surroundings do to networks, each with the remedy.
///
/// # Errors
/// The kernel refuses.
pub(crate) fn effects(records: &Records, surroundings: &Surroundings, host: Option<&str>) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (record, link, addresses) in leaving(&Netlink::here()?, records, None)? {
        let uplink = Interface { name: &link.name, index: link.index };
        found.extend(surroundings.warnings(&concerned(records, record, uplink, addresses), host));
    }
    Ok(found)
}

fn concerned<'a>(
    records: &Records,
    record: &'a NetworkRecord,
    uplink: Interface<'a>,
    addresses: Vec<IpAddr>,
) -> Concerned<'a> {
    let (published, ruled) = (records.publishes(record.index), records.filters(&record.name, None));
    Concerned { published, ruled, ..record.concerned(uplink, addresses) }
}

fn look(records: &Records, host: Option<&str>, network: Option<&str>) -> Result<Vec<String>> {
    let netlink = Netlink::here()?;
    let surroundings = read(true, true)?;
    let mut problems = Vec::new();
    for (record, link, addresses) in leaving(&netlink, records, network)? {
        problems.extend(forwards_not(&netlink, records, record, &link.name)?);
        problems.extend(ipv6::silent_routers(&netlink, record, &link)?);
        problems.extend(sources::lost(&netlink, records, record)?);
        problems.extend(sources::come(&netlink, records, record)?);
        if record.treatment.bound {
            let host = NetConfig {
                links: vec![link.clone()],
                addresses: netlink.addresses(None)?,
                routes: netlink.routes()?,
                ..NetConfig::default()
            };
            problems.extend(host.no_way_out(link.index));
        }
        let uplink = Interface { name: &link.name, index: link.index };
        problems.extend(surroundings.warnings(&concerned(records, record, uplink, addresses), host));
    }
    Ok(problems)
}
