//! Settles what a request leaves open, and refuses everything that can be refused.

pub(crate) mod advice;
pub(crate) mod allowed;
mod endpoint;
mod interface;
pub(crate) mod ipv6;
pub(crate) mod name_server;
pub(crate) mod published;
pub(crate) mod refuse;
pub(crate) mod settled;
pub(crate) mod subnet;
pub(crate) mod uplink;
pub(crate) mod ways;

use std::collections::BTreeSet;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

pub use self::endpoint::announced::to_be_announced;
pub(crate) use self::published::host_address;
pub(crate) use self::subnet::overlap;
pub use self::{
    interface::interface,
    refuse::refuse_others,
    ways::{Followed, led_by, unguarded},
};
use self::{
    settled::{Network, Settled},
    subnet::ipv4,
    uplink::Uplink,
};
use super::{
    Actual, DEFAULT_NETWORK, Datapath, EndpointRecord, Nat, NetworkRecord, TableRequest, TargetRef, Treatment,
    UpRequest, UplinkChoice,
    desired::{Asked, AskedNetwork, SWITCHES, Switch},
    families::{both, main_of},
    names,
};
use fwd_base::{Error, Kind, Result, text::word};
use fwd_dataplane::{NETKIT, Sizes};
use fwd_kernel::netlink::nft;

/// Smallest MTU that carries IPv4 (RFC 791: every host forwards 68 bytes unfragmented).
const SMALLEST_MTU: u32 = 68;
/// Largest MTU of a veth pair and of an IPv4 packet, bytes.
const LARGEST_MTU: u32 = 65_535;
/// MTU of a network without an uplink: that of Ethernet (RFC 894), bytes.
const INTERNAL_MTU: u32 = 1_500;
/// What the uplink of an internal network is called.
const NO_UPLINK: &str = "none (--internal)";
/// And that of one on a host from which no route leads anywhere.
const NO_UPLINK_YET: &str = "none yet";

/// Settles what is left open of an endpoint and its network. `actual` is without the orphans that the plan removes first; `former` are
/// endpoints among it.
///
/// # Errors
/// Everything that can be refused.
pub(super) fn settle(asked: &Asked, actual: &Actual, former: &[EndpointRecord]) -> Result<Settled> {
    let attached = actual.attached();
    let joiner = attached.map_or(Joiner::New, |_| Joiner::Member(&asked.target));
    let network = network(&asked.network, actual, joiner)?;
    let table = table(&asked.table, actual, &network)?;
    refuse::attach(asked, actual, &network)?;
    refuse::awaited(asked, &network)?;
    name_server::check(asked, &network)?;
    let endpoint = match attached {
        Some(record) => endpoint::existing(asked, actual, &network, record)?,
        None => {
            refuse::without_ports(actual, &network)?;
            refuse::uncounted(actual, &network)?;
            interface::check(&asked.id.ifname)?;
            refuse::occupied(asked, actual, &network)?;
            endpoint::new(asked, actual, &network, former)?
        }
    };
    let publisher = published::Publisher {
        index: attached.map(|record| record.index),
        network: &network.name,
        datapath: network.datapath,
        internal: network.treatment.internal,
        ipv4: network.gateway.is_some(),
        ipv6: network.gateway6.is_some(),
        announced: endpoint.source.of(endpoint.announce),
    };
    published::check(&asked.options.publish, &publisher, actual)?;
    Ok(Settled { network, endpoint, publish: asked.options.publish.clone(), table })
}

/// Why an endpoint that is there cannot become what is asked for while it stays; none if it can, or is not there.
pub(super) fn why_replace(asked: &Asked, actual: &Actual) -> Option<String> {
    let conflict = |error: Error| (error.kind == Kind::Conflict).then_some(error.why);
    if let Err(error) = refuse::elsewhere(&asked.target, Some(&asked.network.name), actual) {
        return conflict(error);
    }
    let record = actual.attached()?;
    let network = network(&asked.network, actual, Joiner::Member(&asked.target)).ok()?;
    endpoint::existing(asked, actual, &network, record).err().and_then(conflict)
}

/// The same of a network.
pub(super) fn why_replace_network(asked: &AskedNetwork, actual: &Actual) -> Option<String> {
    let record = actual.records.networks.iter().find(|network| network.name == asked.name)?;
    let found = existing_network(asked, actual, record, Joiner::None { used: true });
    found.err().filter(|error| error.kind == Kind::Conflict).map(|error| error.why)
}

/// For whom a network is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Joiner<'a> {
    /// A namespace that is to join it.
    New,
    /// A namespace that is in it already.
    Member(&'a TargetRef),
    /// Nobody: the network itself is meant, whether anybody is in it or not.
    None { used: bool },
}

/// Subnets that networks would be given, if each of `taken` were in use, too.
///
/// # Errors
/// [`Kind::Conflict`] if none is free.
pub fn free_subnets(actual: &Actual, taken: &[IpNet]) -> Result<(Ipv4Net, Ipv6Net)> {
    Ok((subnet::free_besides(actual, taken)?, ipv6::free_besides(actual, taken)?))
}

/// Settles what is left open of a network.
///
/// # Errors
/// Everything that can be refused.
pub(super) fn network(asked: &AskedNetwork, actual: &Actual, joiner: Joiner<'_>) -> Result<Network> {
    match actual.records.networks.iter().find(|network| network.name == asked.name) {
        Some(record) => existing_network(asked, actual, record, joiner),
        None => new_network(asked, actual),
    }
}

/// The network that is meant.
///
/// # Errors
/// The target is the host's own namespace, or in another network.
pub fn network_name(request: &UpRequest, actual: &Actual) -> Result<String> {
    let wanted = request.network.as_ref().map(ToString::to_string);
    refuse::elsewhere(&request.target, wanted.as_deref(), actual)?;
    let attached = actual.attached().map(|record| record.network.clone());
    Ok(attached.or(wanted).unwrap_or_else(|| DEFAULT_NETWORK.into()))
}

/// Settles the options of a network that exists: each given one must be what it has.
fn existing_network(
    asked: &AskedNetwork,
    actual: &Actual,
    record: &NetworkRecord,
    joiner: Joiner<'_>,
) -> Result<Network> {
    let internal = record.treatment.internal;
    let in_use = matches!(joiner, Joiner::Member(_) | Joiner::None { used: true });
    let leaves = !internal && record.uplink != 0;
    let uplink = leaves.then(|| uplink::of_network(actual, record, in_use)).transpose()?;
    let name = &record.name;
    let remedy = || match joiner {
        Joiner::Member(member) => {
            format!("leave the option out, or take the namespace out first: `fwd down {}`", member.option())
        }
        Joiner::New => format!(
            "leave the option out, or use another network: --network {} (`fwd down --all` takes all of them down)",
            refuse::free_name(actual)
        ),
        Joiner::None { .. } => {
            format!("leave the option out, or remove the network first: `fwd network rm {}`", word(name))
        }
    };
    let check = || {
        let none = if internal { NO_UPLINK } else { NO_UPLINK_YET };
        let way = uplink.as_ref().map_or_else(|| none.into(), |uplink| uplink.name.clone());
        let wanted = match &asked.options.uplink {
            UplinkChoice::Auto | UplinkChoice::Any => None,
            UplinkChoice::Interface(name) => Some(name.clone()),
            UplinkChoice::None => Some(NO_UPLINK.into()),
        };
        same(name, "uplink", wanted.as_ref(), &way)?;
        ipv4::same(asked, record)?;
        ipv6::same(asked, record)?;
        same(name, "MTU", asked.options.mtu.as_ref(), &record.mtu)?;
        same(name, "datapath", asked.options.datapath.map(Datapath::name).as_ref(), &record.datapath.name())?;
        same(name, "NAT", asked.options.nat.map(Nat::name).as_ref(), &record.treatment.nat.name())?;
        for Switch { what, states: [without, with], asked: is_asked, has, .. } in &SWITCHES {
            let state = |on: bool| if on { with } else { without };
            let wanted = asked.says(is_asked(&asked.options)).map(state);
            same(name, what, wanted, state(has(&record.treatment)))?;
        }
        way_out(asked, record)
    };
    check().map_err(|error| error.remedy(remedy()))?;
    refuse::foreign_bridge(actual, &record.bridge)?;
    let network = Network {
        name: name.clone(),
        bridge: record.bridge.clone(),
        gateway: record.gateway,
        gateway6: record.gateway6,
        mac: record.mac,
        mtu: record.mtu,
        datapath: record.datapath,
        uplink,
        last: record.last,
        treatment: record.treatment,
        kept: record.kept || asked.options.kept,
        allows: allowed::checked(asked, &asked.allows(&record.allows), record.datapath, actual)?,
        source: if asked.exact { asked.options.source } else { asked.options.source.or(record.source) },
    };
    endpoint::source::check(asked.options.source, &network, actual)?;
    Ok(network)
}

/// What leads outside of a network that exists must be as it is asked for, where nothing else is to be.
fn way_out(asked: &AskedNetwork, record: &NetworkRecord) -> Result<()> {
    if !asked.exact {
        return Ok(());
    }
    let Treatment { internal, bound, .. } = record.treatment;
    let way = |internal: bool, bound: bool| match (internal, bound) {
        (true, _) => "none",
        (false, true) => "one uplink alone",
        (false, false) => "whatever the host's routes lead by",
    };
    let given = way(asked.is_internal(), asked.options.uplink.interface().is_some());
    same(&record.name, "way out", Some(&given), &way(internal, bound))
}

/// Settles the flow table: one that exists must be as it is asked for.
pub(super) fn table(asked: &TableRequest, actual: &Actual, network: &Network) -> Result<Sizes> {
    if network.datapath == Datapath::Kernel {
        asked.refuse_with_kernel()?;
    }
    match &actual.records.table {
        Some(found) => asked.check(found).map(|()| Sizes::default()),
        None => asked.sizes(),
    }
}

/// An option given must be the one that exists.
fn same<T: PartialEq + std::fmt::Display>(network: &str, what: &str, given: Option<&T>, found: &T) -> Result<()> {
    match given {
        Some(given) if given != found => {
            let why = format!("its {what} is {found}, not {given}");
            Err(Error::new(Kind::Conflict, "join", format!("network {network}"), why))
        }
        _ => Ok(()),
    }
}

/// Settles the options of a network that is to be made.
fn new_network(asked: &AskedNetwork, actual: &Actual) -> Result<Network> {
    let name = asked.name.clone();
    if let Some(why) = names::reserved(&name) {
        return Err(Error::new(Kind::Usage, "use", format!("{name} as the name of a network"), why)
            .remedy(format!("choose another, such as --network {}", refuse::free_name(actual))));
    }
    ipv4::check(asked)?;
    let uplink = match &asked.options.uplink {
        UplinkChoice::None => None,
        UplinkChoice::Any => ways::first(actual, asked.ipv4())?,
        UplinkChoice::Auto | UplinkChoice::Interface(_) => {
            Some(uplink::choose(actual, asked.options.uplink.interface(), asked.ipv4())?)
        }
    };
    let host = &actual.host.net;
    let bridge =
        names::bridge(&name, |bridge| host.link(bridge).is_some_and(|link| !actual.host.owner.has_bridge(link)));
    refuse::foreign_bridge(actual, &bridge)?;
    let gateway = ipv4::gateway(asked, actual, &bridge)?;
    let datapath = datapath(asked.options.datapath, actual)?;
    let treatment = asked.options.treatment();
    treatment.check(datapath)?;
    let (most, used) = (nft::NAME_MAX - actual.host.owner.rule("").len(), name.len());
    if datapath == Datapath::Kernel && used > most {
        let why = format!("a rule in nftables takes names of at most {most} bytes, and it has {used}");
        return Err(Error::new(Kind::Usage, "make", format!("network {name}"), why)
            .remedy("choose a shorter --network NAME, or use --datapath tc"));
    }
    uplink.as_ref().map_or(Ok(()), |uplink| uplink.check_programs(datapath, actual))?;
    if let Some(uplink) = uplink.as_ref().filter(|_| treatment.bound && !datapath.is_ebpf()) {
        uplink.check_routes(actual)?;
    }
    // Of several ways out, one may carry less in any case.
    let narrow = uplink.as_ref().filter(|_| !asked.takes_any_way() || asked.options.mtu.is_none());
    let mtu = mtu(asked.options.mtu, narrow)?;
    let gateway6 = ipv6::gateway(asked, actual, uplink.as_ref(), &bridge, mtu)?;
    let network = Network {
        mtu,
        gateway6,
        datapath,
        treatment,
        mac: names::gateway_mac(main_of(both(gateway, gateway6).map(|gateway: IpNet| gateway.addr()))),
        last: 0,
        kept: asked.options.kept,
        allows: allowed::checked(asked, &asked.allows(&BTreeSet::new()), datapath, actual)?,
        source: asked.options.source,
        name,
        bridge,
        gateway,
        uplink,
    };
    name_server::check_port(&network, actual)?;
    endpoint::source::check(asked.options.source, &network, actual)?;
    network.concerned(actual).map_or(Ok(()), |concerned| actual.host.surroundings.check(&concerned))?;
    Ok(network)
}

fn mtu(given: Option<u32>, uplink: Option<&Uplink>) -> Result<u32> {
    let usual = uplink.map_or(INTERNAL_MTU, |uplink| uplink.mtu);
    let Some(mtu) = given else { return Ok(usual.min(LARGEST_MTU)) };
    let why = if mtu < SMALLEST_MTU {
        format!("IPv4 needs at least {SMALLEST_MTU} bytes")
    } else if mtu > LARGEST_MTU {
        format!("an interface takes at most {LARGEST_MTU} bytes")
    } else if let Some(uplink) = uplink.filter(|uplink| mtu > uplink.mtu) {
        format!("it is larger than the {} bytes of the uplink {}", uplink.mtu, uplink.name)
    } else {
        return Ok(mtu);
    };
    Err(Error::new(Kind::Usage, "use", format!("MTU {mtu}"), why).remedy(format!("leave out --mtu: {usual} is taken")))
}

fn datapath(given: Option<Datapath>, actual: &Actual) -> Result<Datapath> {
    match (given, &actual.no_tc) {
        (Some(Datapath::Kernel), _) | (None, Some(_)) => Ok(Datapath::Kernel),
        (None, None) => Ok(Datapath::BEST),
        (Some(datapath), None) if datapath.has_netkit() && actual.no_netkit => {
            let object = format!("datapath {}", datapath.name());
            Err(Error::new(Kind::Unsupported, "use", object, NETKIT.absence())
                .remedy("upgrade the kernel, or use --datapath tc: the same programs at veth pairs"))
        }
        (Some(datapath), None) => Ok(datapath),
        (Some(datapath), Some(why)) => {
            let object = format!("datapath {}", datapath.name());
            Err(Error::new(Kind::Unsupported, "use", object, why.clone())
                .remedy("use --datapath kernel: the kernel's bridge and nftables"))
        }
    }
}
