//! What `up` refuses for what there is already, each with what to do instead.

use std::collections::BTreeSet;

use forwarder_common::abi::ABI_VERSION;
use ipnet::IpNet;

use super::endpoint::routes;
use crate::{
    Actual, EndpointOptions, NetworkScope, TargetRef, UpRequest, desired::Asked, orphans, overlap, settled::Network,
    subnet, ways::ways,
};
use fwd_base::{Cause, Error, Kind, Result, text::word};
use fwd_dataplane::{Backend, FILTER_PRIORITY, INTERFACE_BLOCKS, TCX, TcxOrder};
use fwd_kernel::{
    netlink::Route,
    netns::{Name, nearest},
};

pub(crate) fn take_out(target: &TargetRef) -> String {
    format!("take it out first: `fwd down {}`", target.option())
}

/// The first of fwd0, fwd1, … that is neither a network nor an interface.
pub(crate) fn free_name(actual: &Actual) -> String {
    let is_network = |name: &str| actual.records.networks.iter().any(|network| network.name == name);
    let is_free = |name: &String| !is_network(name) && actual.host.net.link(name).is_none();
    let mut names = (0..).map(|number: u32| format!("fwd{number}"));
    names.find(is_free).unwrap_or_default()
}

/// What to do when the addresses of a network are all taken.
pub(crate) fn no_room(actual: &Actual, network: &str) -> String {
    if actual.records.endpoints.iter().any(|it| it.marks.pooled && it.network == network) {
        return format!("`fwd pool 0 --network {}` frees what is of its pool, and nobody's", word(network));
    }
    let name = free_name(actual);
    match subnet::roomy(actual) {
        Some(subnet) => {
            let room = subnet::room(subnet);
            format!(
                "use another network, such as one with room for {room} namespaces: --network {name} --subnet {subnet}"
            )
        }
        None => format!("use another network: --network {name}"),
    }
}

/// Refuses a way to attach that is not there.
pub(crate) fn attach(asked: &Asked, actual: &Actual, network: &Network) -> Result<()> {
    let Some(attach) = asked.options.attach else { return Ok(()) };
    let refuse = |why: &str, remedy| {
        Error::new(Kind::Unsupported, "use", format!("--attach {}", attach.name()), why).remedy(remedy)
    };
    if !network.datapath.is_ebpf() {
        return Err(refuse("datapath kernel: no program is attached", "leave it out, or use --datapath tc"));
    }
    if network.datapath.has_netkit() {
        return Err(refuse(
            "datapath netkit: the program is attached to the pair",
            "leave it out, or use --datapath tc",
        ));
    }
    if attach == Backend::Tcx && actual.no_tcx {
        return Err(refuse(&TCX.absence(), "leave it out: clsact is taken"));
    }
    Ok(())
}

/// Refuses an order among the programs of others where the kernel lets nobody choose one.
pub(crate) fn tcx_order(order: TcxOrder, actual: &Actual) -> Result<()> {
    if !actual.no_tcx {
        return Ok(());
    }
    let why =
        format!("{}, and filters of clsact go by their priorities: those of fwd by {FILTER_PRIORITY}", TCX.absence());
    let error = Error::new(Kind::Unsupported, "use", format!("--tcx-order {}", order.name()), why);
    Err(error.remedy("leave it out, and give filters of others a smaller number where they are to go first"))
}

pub(crate) fn foreign_bridge(actual: &Actual, bridge: &str) -> Result<()> {
    match actual.host.net.link(bridge) {
        Some(link) if !actual.host.owner.has_bridge(link) => {
            let why = "an interface of that name exists, and fwd did not make it";
            Err(Error::new(Kind::Conflict, "create", format!("bridge {bridge}"), why).remedy(format!(
                "rename it (`ip link set {} name …`), or use another network: --network {}",
                word(bridge),
                free_name(actual)
            )))
        }
        _ => Ok(()),
    }
}

/// Refuses a namespace that has a life of its own: a default route or an `eth0`, or the network's addresses.
pub(crate) fn occupied(asked: &Asked, actual: &Actual, network: &Network) -> Result<()> {
    let no_default_route = asked.options.no_default_route || network.treatment.internal || routes::comes_later(asked);
    let comes_first =
        |route: &&Route| asked.options.metric.map_or(!routes::is_ours(actual, route), |it| it == route.metric);
    let Some(inside) = actual.target_netns() else { return Ok(()) };
    let refuse = |why: String| Error::new(Kind::Conflict, "attach", asked.target.to_string(), why);
    let exec = format!("fwd exec {}", asked.target.option());
    let ifname = &asked.id.ifname;
    let mut conflicts = routes::default_routes(actual, network).filter(comes_first);
    if inside.net.link(ifname).is_some() {
        // A container manager has connected it already.
        let container = match asked.target {
            TargetRef::Named(_) => "",
            TargetRef::Pid(_) | TargetRef::Path(_) | TargetRef::Container(_) | TargetRef::Awaited(_) => {
                "start the container without a network of its own (`docker run --network none …`; podman likewise); "
            }
        };
        let keeps_its_route = !no_default_route && conflicts.next().is_some();
        let mut names = (1..).map(|number| format!("eth{number}"));
        let free = names.find(|name| inside.net.link(name).is_none()).unwrap_or_default();
        let second = format!("--ifname {free}{}", if keeps_its_route { " --no-default-route" } else { "" });
        return Err(refuse(format!("it has an interface {ifname} of its own")).because(Cause::InterfaceTaken).remedy(format!(
            "give the new one another name: {second}; or {container}if nothing needs it, delete it: `{exec} -- ip link delete {ifname}`; or use a \
             fresh namespace"
        )));
    }
    if let Some(route) = conflicts.next().filter(|_| !no_default_route) {
        let family = if route.destination.addr().is_ipv6() { " -6" } else { "" };
        let of = if asked.options.metric.is_some() { "of that metric" } else { "of its own" };
        let interface = inside.net.name_of(route.ifindex);
        return Err(refuse(format!("it has a default route {of}, through {interface}")).remedy(format!(
            "delete the route: `{exec} -- ip{family} route delete default`; or keep it: --no-default-route, or --metric N with another N"
        )));
    }
    let mut subnets = network.gateways().map(|gateway| gateway.trunc());
    let occupied = |subnet: IpNet| overlap::inside(actual, subnet).map(|occupant| (subnet, occupant));
    if let Some((subnet, occupant)) = subnets.find_map(occupied) {
        let why = format!("network {} has {subnet}, and {occupant}", network.name);
        let other = free_name(actual);
        return Err(
            refuse(why).remedy(format!("use another network, which is given other addresses: --network {other}"))
        );
    }
    Ok(())
}

/// Refuses the endpoint of a runtime that is there already: whoever calls by such an interface calls it twice, or another did before.
pub(crate) fn attached_for_caller(request: &UpRequest, actual: &Actual) -> Result<()> {
    let (Some(caller), Some(record)) = (&request.caller, actual.attached()) else { return Ok(()) };
    let why = format!("its interface {} is that of endpoint {} already", caller.id.ifname, record.id);
    Err(Error::new(Kind::Conflict, "attach", request.target.to_string(), why)
        .because(Cause::InterfaceTaken)
        .remedy(format!("take it out first, or use another interface than {}", caller.id.ifname)))
}

/// Refuses the host's own namespace, and one that is in another network than `wanted`.
pub(crate) fn elsewhere(target: &TargetRef, wanted: Option<&str>, actual: &Actual) -> Result<()> {
    if !target.is_awaited() && actual.target_netns().is_some_and(|inside| inside.cookie == actual.host.cookie) {
        let why = "it is the host's own namespace: attaching it would cut the host off";
        return Err(Error::new(Kind::Usage, "attach", target.to_string(), why)
            .because(Cause::HostNamespace)
            .remedy("name another namespace; one that is missing is made"));
    }
    match (wanted, actual.attached()) {
        (Some(wanted), Some(record)) if wanted != record.network => {
            let why = format!("its {} is in network {} already, not in {wanted}", record.id.ifname, record.network);
            let ifname = format!("join {wanted} by another interface: --ifname eth1; or {}", take_out(target));
            Err(Error::new(Kind::Conflict, "attach", target.to_string(), why).remedy(ifname))
        }
        _ => Ok(()),
    }
}

/// Refuses what would have to be set inside of a namespace that is not there yet.
pub(crate) fn awaited(asked: &Asked, network: &Network) -> Result<()> {
    let refuse = |object: &str, remedy: &str| {
        let why = format!("it is set inside, and {} does not exist yet", asked.target);
        Err(Error::new(Kind::Unsupported, "use", object, why).remedy(remedy))
    };
    match &asked.options {
        _ if !asked.target.is_awaited() => Ok(()),
        _ if network.datapath.has_xdp() => refuse("datapath xdp", "use datapath tc"),
        _ if network.datapath.has_netkit() => {
            let why = format!("its pair would wait on the host, and {} does not exist yet", asked.target);
            Err(Error::new(Kind::Unsupported, "use", "datapath netkit", why).remedy("use datapath tc"))
        }
        EndpointOptions { limits, .. } if limits.outbound.is_some() => refuse("a rate of what leaves", "leave it out"),
        EndpointOptions { routes, .. } if !routes.is_empty() => refuse("routes", "have the runtime set them"),
        EndpointOptions { metric: Some(_), .. } => refuse("a metric", "have the runtime set it"),
        _ => Ok(()),
    }
}

/// Refuses one endpoint more than a bridge has ports.
pub(crate) fn without_ports(actual: &Actual, network: &Network) -> Result<()> {
    let Network { name, bridge, .. } = network;
    let ports = actual.records.endpoints.iter().filter(|endpoint| endpoint.network == *name).count();
    if ports < network.most_endpoints() {
        return Ok(());
    }
    let why = format!("its bridge {bridge} has {ports} ports, and takes no more");
    Err(Error::new(Kind::Failed, "join", format!("network {name}"), why).remedy(format!(
        "use another: --network {}, or one made with --bridge none, which takes more",
        free_name(actual)
    )))
}

/// Refuses what there are no counters for.
pub(crate) fn uncounted(actual: &Actual, network: &Network) -> Result<()> {
    let recorded = actual.records.uplinks.iter().map(|uplink| uplink.index);
    let own = Some(network.uplink_index()).filter(|index| *index != 0);
    let ways = ways(actual, network.followed()).uplinks;
    let uplinks: BTreeSet<u32> = recorded.chain(own).chain(ways.iter().map(|uplink| uplink.index)).collect();
    // One of an endpoint, two of an uplink.
    let uplinks = uplinks.len();
    let wanted = actual.records.endpoints.len() + 1 + 2 * uplinks;
    if wanted <= INTERFACE_BLOCKS {
        return Ok(());
    }
    let why = format!("a host counts for {INTERFACE_BLOCKS} of them (an uplink takes two), and all are taken");
    Err(Error::new(Kind::Failed, "attach", "one more endpoint", why)
        .remedy("take down endpoints that are not needed; `fwd ls` lists them"))
}

/// Refuses to remove a network that is not there, or that namespaces are in.
///
/// # Errors
/// [`Kind::NotFound`] if there is no such network; [`Kind::Conflict`] if namespaces are in it and are not to go with it.
pub(crate) fn network_in_use(network: &NetworkScope, actual: &Actual) -> Result<()> {
    let NetworkScope { name, force } = network;
    let object = format!("network {name}");
    if actual.records.networks.iter().all(|known| known.name != *name) {
        let names = actual.records.networks.iter().filter_map(|known| Name::try_from(known.name.as_str()).ok());
        let error = Error::new(Kind::NotFound, "remove", object, "there is no such network");
        return Err(error.remedy(match nearest(name, &names.collect::<Vec<_>>()) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => "`fwd network ls` lists those that there are".into(),
        }));
    }
    let dead: Vec<_> = orphans::dead_endpoints(actual).collect();
    let members = actual.records.endpoints.iter().filter(|it| it.network == *name && !it.marks.pooled);
    let labels: Vec<String> = members.filter(|it| !dead.contains(it)).map(|it| it.label()).collect();
    match labels.as_slice() {
        [] => Ok(()),
        _ if *force => Ok(()),
        [first, rest @ ..] => {
            let others = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
            let why = format!("namespace {first}{others} is in it");
            Err(Error::new(Kind::Conflict, "remove", object, why).remedy(format!(
                "take them down first (`fwd ls` lists them), or with it: `fwd network rm {} --force`",
                word(name)
            )))
        }
    }
}

/// Refuses to work beside another version, whose records cannot be read.
///
/// # Errors
/// [`Kind::Conflict`] if there is one.
pub fn refuse_others(others: &[String], doing: &str) -> Result<()> {
    let Some(name) = others.first() else { return Ok(()) };
    let why = format!("another version of fwd brought it up (its layout is {name}, this one's {ABI_VERSION})");
    Err(Error::new(Kind::Conflict, doing, "what is up here", why)
        .remedy("`fwd reload` takes it over; `fwd down --all` takes down what any version brought up"))
}
