//! Settles what a request leaves open, and refuses everything that can be refused.

use std::net::Ipv4Addr;

use super::{
    Actual, DEFAULT_NETWORK, Datapath, EndpointRecord, Nat, NetworkRecord, Treatment, UpRequest,
    desired::{Desired, Endpoint, MOST_PORTS, Network},
    names, orphans, refuse, subnet,
    uplink::{self, Uplink},
};
use fwd_base::{Error, Kind, Result};
use fwd_dataplane::{Backend, Sizes};
use fwd_kernel::netlink::nft;

/// Smallest MTU that carries IPv4 (RFC 791: every host forwards 68 bytes unfragmented).
const SMALLEST_MTU: u32 = 68;
/// Largest MTU of a veth pair and of an IPv4 packet, bytes.
const LARGEST_MTU: u32 = 65_535;

/// Settles what the request leaves open. `actual` is without the orphans that the plan removes first; `former` are
/// endpoints among it.
///
/// # Errors
/// Everything that can be refused.
pub(super) fn settle(request: &UpRequest, name: String, actual: &Actual, former: &[EndpointRecord]) -> Result<Desired> {
    let attached = actual.attached();
    let network = match actual.records.networks.iter().find(|network| network.name == name) {
        Some(record) => existing_network(request, actual, record, attached.is_some())?,
        None => new_network(request, actual, name)?,
    };
    let table = table(request, actual, &network)?;
    refuse::attach(request, actual, &network)?;
    let endpoint = match attached {
        Some(record) => existing_endpoint(request, actual, record)?,
        None => {
            refuse::uncounted(actual, &network)?;
            refuse::occupied(request, actual, &network)?;
            new_endpoint(request, actual, &network, former)?
        }
    };
    Ok(Desired { network, endpoint, table })
}

/// The network that is meant.
///
/// # Errors
/// The target is the host's own namespace, or in another network.
pub fn network_name(request: &UpRequest, actual: &Actual) -> Result<String> {
    if actual.target_netns().is_some_and(|inside| inside.cookie == actual.host.cookie) {
        let why = "it is the host's own namespace: attaching it would cut the host off";
        return Err(Error::new(Kind::Usage, "attach", request.target.to_string(), why)
            .remedy("name another namespace; one that is missing is made"));
    }
    let wanted = request.network.as_ref().map(ToString::to_string);
    match (wanted, actual.attached()) {
        (Some(wanted), Some(record)) if wanted != record.network => {
            let why = format!("it is in network {} already, not in {wanted}", record.network);
            Err(Error::new(Kind::Conflict, "attach", request.target.to_string(), why)
                .remedy(refuse::take_out(&request.target)))
        }
        (_, Some(record)) => Ok(record.network.clone()),
        (wanted, None) => Ok(wanted.unwrap_or_else(|| DEFAULT_NETWORK.into())),
    }
}

/// Settles the options of a network that exists: each given one must be what it has.
fn existing_network(request: &UpRequest, actual: &Actual, record: &NetworkRecord, attached: bool) -> Result<Network> {
    let uplink = uplink::of_network(actual, record, attached)?;
    let name = &record.name;
    let remedy = || {
        if attached {
            return format!(
                "leave the option out, or take the namespace out first: `fwd down {}`",
                request.target.option()
            );
        }
        format!(
            "leave the option out, or use another network: --network {} (`fwd down --all` takes all of them down)",
            refuse::free_name(actual)
        )
    };
    let check = || {
        same(name, "uplink", request.uplink.as_ref(), &uplink.name)?;
        same(name, "subnet", request.subnet.as_ref(), &record.subnet())?;
        same(name, "MTU", request.mtu.as_ref(), &record.mtu)?;
        same(name, "datapath", request.datapath.map(Datapath::name).as_ref(), &record.datapath.name())?;
        same(name, "NAT", request.nat.map(Nat::name).as_ref(), &record.treatment.nat.name())?;
        let on = |clamp_mss| if clamp_mss { "on" } else { "off" };
        same(name, "MSS clamping", request.clamp_mss.then_some("on").as_ref(), &on(record.treatment.clamp_mss))?;
        let ignored = |ignore: bool| if ignore { "ignored" } else { "kept to" };
        let asked = request.ignore_xfrm.then(|| ignored(true));
        same(name, "handling of IPsec policies", asked.as_ref(), &ignored(record.treatment.ignore_xfrm))
    };
    check().map_err(|error| error.remedy(remedy()))?;
    let ports = actual.records.endpoints.iter().filter(|endpoint| endpoint.network == *name).count();
    if !attached && ports >= MOST_PORTS {
        let why = format!("its bridge {} has {ports} ports, and takes no more", record.bridge);
        return Err(Error::new(Kind::Failed, "join", format!("network {name}"), why)
            .remedy(format!("use another: --network {}", refuse::free_name(actual))));
    }
    refuse::foreign_bridge(actual, &record.bridge)?;
    Ok(Network {
        name: name.clone(),
        bridge: record.bridge.clone(),
        gateway: record.gateway,
        mac: record.mac,
        mtu: record.mtu,
        datapath: record.datapath,
        uplink,
        last: record.last,
        treatment: record.treatment,
    })
}

/// Settles the flow table: one that exists must be as it is asked for.
fn table(request: &UpRequest, actual: &Actual, network: &Network) -> Result<Sizes> {
    if network.datapath == Datapath::Kernel {
        request.table.refuse_with_kernel()?;
    }
    match &actual.records.table {
        Some(found) => request.table.check(found).map(|()| Sizes::default()),
        None => request.table.sizes(),
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
fn new_network(request: &UpRequest, actual: &Actual, name: String) -> Result<Network> {
    if let Some(why) = names::reserved(&name) {
        return Err(Error::new(Kind::Usage, "use", format!("{name} as the name of a network"), why)
            .remedy(format!("choose another, such as --network {}", refuse::free_name(actual))));
    }
    let uplink = uplink::choose(actual, request.uplink.as_deref())?;
    let host = &actual.host.net;
    let bridge =
        names::bridge(&name, |bridge| host.link(bridge).is_some_and(|link| !actual.host.owner.has_bridge(link)));
    refuse::foreign_bridge(actual, &bridge)?;
    // A bridge with ports and without a record: its pins were lost. It keeps its address.
    let adopted = host.link(&bridge).and_then(|link| host.ipv4(link.index));
    let subnet = match (request.subnet, adopted) {
        (Some(given), Some(address)) => {
            same(&name, "subnet", Some(&given), &address.trunc())
                .map_err(|error| error.remedy("leave out --subnet: the bridge is there, and keeps its address"))?;
            given
        }
        (None, Some(address)) => address.trunc(),
        (Some(given), None) => {
            subnet::check(given)?;
            subnet::check_unused(actual, given)?;
            given
        }
        (None, None) => subnet::free(actual)?,
    };
    let gateway = subnet::gateway(subnet);
    let datapath = datapath(request.datapath, actual)?;
    let treatment = Treatment {
        nat: request.nat.unwrap_or_default(),
        clamp_mss: request.clamp_mss,
        ignore_xfrm: request.ignore_xfrm,
    };
    treatment.check(datapath)?;
    let (most, used) = (nft::NAME_MAX - actual.host.owner.rule("").len(), name.len());
    if datapath == Datapath::Kernel && used > most {
        let why = format!("a rule in nftables takes names of at most {most} bytes, and it has {used}");
        return Err(Error::new(Kind::Usage, "make", format!("network {name}"), why)
            .remedy("choose a shorter --network NAME, or use --datapath tc"));
    }
    uplink.check(datapath, actual)?;
    let network = Network {
        mtu: mtu(request.mtu, &uplink)?,
        datapath,
        treatment,
        mac: names::gateway_mac(gateway.addr()),
        last: Ipv4Addr::UNSPECIFIED,
        name,
        bridge,
        gateway,
        uplink,
    };
    actual.host.surroundings.check(&network.concerned(actual))?;
    Ok(network)
}

fn mtu(given: Option<u32>, uplink: &Uplink) -> Result<u32> {
    let Some(mtu) = given else { return Ok(uplink.mtu.min(LARGEST_MTU)) };
    let why = if mtu < SMALLEST_MTU {
        format!("IPv4 needs at least {SMALLEST_MTU} bytes")
    } else if mtu > LARGEST_MTU {
        format!("an interface takes at most {LARGEST_MTU} bytes")
    } else if mtu > uplink.mtu {
        format!("it is larger than the {} bytes of the uplink {}", uplink.mtu, uplink.name)
    } else {
        return Ok(mtu);
    };
    Err(Error::new(Kind::Usage, "use", format!("MTU {mtu}"), why).remedy("leave out --mtu: the uplink's is taken"))
}

fn datapath(given: Option<Datapath>, actual: &Actual) -> Result<Datapath> {
    match (given, &actual.no_tc) {
        (Some(Datapath::Kernel), _) | (None, Some(_)) => Ok(Datapath::Kernel),
        (None, None) => Ok(Datapath::BEST),
        (Some(datapath), None) => Ok(datapath),
        (Some(datapath), Some(why)) => {
            let object = format!("datapath {}", datapath.name());
            Err(Error::new(Kind::Unsupported, "use", object, why.clone())
                .remedy("use --datapath kernel: the kernel's bridge and nftables"))
        }
    }
}

fn existing_endpoint(request: &UpRequest, actual: &Actual, record: &EndpointRecord) -> Result<Endpoint> {
    let refuse = |why: String| {
        Error::new(Kind::Conflict, "attach", request.target.to_string(), why).remedy(refuse::take_out(&request.target))
    };
    if let Some(ip) = request.ip.filter(|ip| *ip != record.address) {
        return Err(refuse(format!("its address is {}, not {ip}", record.address)));
    }
    if request.allow_spoof && !record.allow_spoof {
        return Err(refuse("it was attached without --allow-spoof".into()));
    }
    let host = actual.host.net.by_index(record.index);
    let inside = actual.target_netns().and_then(|inside| inside.net.link(&record.ns_if));
    match (host, inside) {
        (Some(host), Some(inside)) if orphans::are_ends(host, inside) => Ok(Endpoint {
            host_if: host.name.clone(),
            address: record.address,
            mac: record.mac,
            allow_spoof: record.allow_spoof,
            attach: request.attach.unwrap_or(record.attach),
        }),
        _ => Err(refuse(format!("{}, the other end of {}, was renamed or moved away", record.ns_if, record.host_if))),
    }
}

fn new_endpoint(
    request: &UpRequest,
    actual: &Actual,
    network: &Network,
    former: &[EndpointRecord],
) -> Result<Endpoint> {
    let endpoints = &actual.records.endpoints;
    let cookie = actual.target_netns().map(|inside| inside.cookie);
    // The same namespace keeps its address when its veth pair was deleted by hand.
    let kept = former.iter().find(|record| Some(record.cookie) == cookie && record.network == network.name);
    let allow_spoof = request.allow_spoof || kept.is_some_and(|record| record.allow_spoof);
    let usual = if actual.no_tcx { Backend::Clsact } else { Backend::Tcx };
    let attach = request.attach.or(kept.map(|record| record.attach)).unwrap_or(usual);
    let kept = kept.map(|record| record.address);
    let usable =
        |address: &Ipv4Addr| subnet::check_address(*address, network.gateway, &network.name, endpoints).is_ok();
    let address = match (request.ip, kept.filter(usable)) {
        (Some(ip), _) => {
            subnet::check_address(ip, network.gateway, &network.name, endpoints)?;
            ip
        }
        (None, Some(kept)) => kept,
        (None, None) => subnet::allocate(network.gateway, network.last, &network.name, endpoints)
            .map_err(|error| error.remedy(refuse::no_room(actual)))?,
    };
    let host_if = names::host_if(actual.host.owner, &network.name, address);
    match actual.host.net.link(&host_if) {
        Some(link) if !actual.host.owner.has_veth(link) => {
            let why = "an interface of that name exists, and fwd did not make it";
            Err(Error::new(Kind::Conflict, "create", format!("interface {host_if}"), why)
                .remedy("choose another address with --ip"))
        }
        _ => Ok(Endpoint { host_if, address, mac: names::endpoint_mac(address), allow_spoof, attach }),
    }
}
