//! What users ought to know of an `up` that works.

use crate::{
    Actual, Bridging, Concerned, Datapath, Object, ResolvConf, Target,
    desired::Asked,
    forwarding, ipv6, name_server, overlap, published,
    settled::{Network, Settled},
    subnet,
    sysctls::{ALL_FORWARDING6, ALL_IGNORE_LINKDOWN, ON},
    ways,
};

/// With so little room in a network, users are told.
const LITTLE_ROOM: usize = 16;

/// How many more endpoints the network takes, after the one that is settled.
pub(crate) fn room(actual: &Actual, settled: &Settled) -> usize {
    let network = &settled.network;
    let others = actual.records.endpoints.iter();
    let others =
        others.filter(|it| it.network == network.name && it.main_address() != settled.endpoint.main_address()).count();
    places(network).min(network.most_endpoints()).saturating_sub(others + 1)
}

/// How many endpoints its subnets have room for.
fn places(network: &Network) -> usize {
    let room = network.gateway.map_or(usize::MAX, |gateway| subnet::room(gateway.trunc()));
    room.min(network.gateway6.map_or(usize::MAX, |gateway| ipv6::address::room(gateway.trunc())))
}

/// What is not as it should be, or soon will not be.
pub(crate) fn warnings(asked: &Asked, actual: &Actual, settled: &Settled) -> Vec<String> {
    let mut warnings = Vec::new();
    if actual.records.table.is_none() {
        warnings.extend(asked.table.warnings());
    }
    let name = &settled.network.name;
    // A small subnet was asked for.
    let is_large = places(&settled.network) > 4 * LITTLE_ROOM;
    let room = room(actual, settled);
    if actual.attached().is_none() && is_large && room <= LITTLE_ROOM {
        warnings.push(format!(
            "network {name} has room for {room} more: then use another (--network NAME, with a --subnet that is large enough)"
        ));
    }
    warnings.extend(without_programs(asked, actual, settled));
    let network = &settled.network;
    let is_new = !actual.records.networks.iter().any(|record| record.name == network.name);
    if is_new {
        warnings.extend(of_new_network(asked, actual, network));
    }
    if let Some(uplink) = network.uplink.as_ref().filter(|_| network.treatment.bound) {
        warnings.extend(actual.host.net.no_way_out(uplink.index));
    }
    warnings.extend(ways::left_out(actual, network.followed()).filter(|_| network.datapath.is_ebpf()));
    let second = actual.attached().is_none() && settled.endpoint.no_default_route;
    if second && !asked.options.no_default_route && !network.treatment.internal {
        warnings.push(format!(
            "{} gets no default route: the namespace has one by another interface (--metric N adds one: the lowest metric wins)",
            asked.id.ifname
        ));
    }
    warnings.extend(without_carrier(actual, network));
    warnings.extend(spoofs_to_nobody(asked, network));
    warnings.extend(switched_off(actual, settled).filter(|_| !is_new));
    if let Some(concerned) = network.concerned(actual) {
        let has_rules = !network.datapath.is_ebpf() && !settled.endpoint.policy.is_empty();
        let own = actual.attached().map(|record| record.index);
        let ruled = has_rules || actual.records.filters(&network.name, own);
        let concerned = Concerned { published: !settled.publish.is_empty(), ruled, ..concerned };
        warnings.extend(actual.host.surroundings.warnings(&concerned, actual.host.given.as_deref()));
        if !settled.publish.is_empty() {
            warnings.extend(actual.host.surroundings.passed_by_ports(concerned.uplink));
        }
    }
    warnings.extend(
        published::without_access(actual).filter(|_| !settled.publish.is_empty() && settled.network.datapath.is_ebpf()),
    );
    let apart = published::apart_from_neighbours(actual, network.datapath, network.treatment);
    warnings.extend(apart.filter(|_| !settled.publish.is_empty()));
    warnings.extend(published::not_by_tunnels(actual, network.datapath, network.by_ipv6(), &settled.publish));
    let endpoint = &settled.endpoint;
    let at = (asked.id.ifname.as_str(), endpoint.main_address());
    let (without_route, gateway) = (endpoint.no_default_route, network.main_gateway());
    warnings.extend(published::answered_elsewhere(&settled.publish, without_route, at, gateway));
    warnings.extend(by_address(asked, settled));
    warnings.extend(name_server::warnings(actual, settled));
    warnings.extend(without_resolver(actual));
    warnings
}

/// What whoever makes a network learns of its addresses.
fn of_new_network(asked: &Asked, actual: &Actual, network: &Network) -> Vec<String> {
    let mut warnings = Vec::new();
    let subnet = network.gateway.map(|gateway| gateway.trunc());
    if let Some((subnet, cover)) = subnet.and_then(|subnet| Some((subnet, overlap::cover(actual, subnet)?))) {
        warnings.push(format!(
            "{subnet} is a part of {cover}: hosts there with addresses of {subnet} cannot be reached now"
        ));
    }
    let asked6 = asked.network.options.ipv6.is_some() || network.gateway6.is_some();
    if let Some(obstacle) = (!asked6).then(|| ipv6::left_out(actual, network)).flatten() {
        warnings.push(format!("network {} has no IPv6, because {obstacle}", network.name));
    }
    warnings.extend(ipv6::reaches_less(actual, network));
    warnings
}

/// Why names are not resolved inside.
fn without_resolver(actual: &Actual) -> Option<String> {
    let is_new = *actual.resolv_conf() == ResolvConf::Unreachable && actual.attached().is_none();
    is_new.then(|| {
        let label = actual.target.as_ref().map(Target::label).unwrap_or_default();
        format!(
            "the host's /etc/resolv.conf names a resolver on loopback, which cannot be reached from inside: write /etc/netns/{label}/resolv.conf"
        )
    })
}

/// Why the kernel forwards where nobody has asked for that.
fn without_programs(asked: &Asked, actual: &Actual, settled: &Settled) -> Option<String> {
    let chosen = asked.network.options.datapath.is_none() && settled.network.datapath == Datapath::Kernel;
    let why = actual.no_tc.as_ref().filter(|_| chosen)?;
    Some(format!("this kernel cannot run the programs ({why}): the data path is the kernel's own"))
}

/// Where the kernel forwards nothing guards the sources of who has no rules, and those of others go by them.
fn by_address(asked: &Asked, settled: &Settled) -> Option<String> {
    let is_ruled =
        !settled.network.datapath.is_ebpf() && asked.options.policy.iter().flatten().any(|rule| rule.verb.is_inward());
    is_ruled.then(|| {
        "with --datapath kernel a namespace of the same network that has no rules of its own may send from the address of another, whom rules let \
         in: use --datapath tc where whoever is root inside of one is not trusted"
            .into()
    })
}

/// Why the host sends nothing to the namespaces of a network without a bridge.
fn without_carrier(actual: &Actual, network: &Network) -> Option<String> {
    let is_on = actual.host.sysctls.get(ALL_IGNORE_LINKDOWN).is_some_and(|value| value == ON);
    let (name, key) = (&network.name, ALL_IGNORE_LINKDOWN.replace('/', "."));
    (is_on && network.treatment.bridging == Bridging::None).then(|| format!(
        "the host does not answer the namespaces of network {name}: it goes by no route without a carrier, which a bridge without ports has not (sysctl -w {key}=0)"
    ))
}

/// Who finds the other addresses of an endpoint that has more than its own.
fn spoofs_to_nobody(asked: &Asked, network: &Network) -> Option<String> {
    (asked.options.allow_spoof && network.treatment.bridging == Bridging::None).then(|| {
        "by --allow-spoof it may send from other addresses, but without a bridge nobody in the network finds it by them: answers need a route by its own \
         address (ip route add ADDRESS via ITS-OWN), on the host or inside of a neighbour"
            .into()
    })
}

/// Interfaces of a network that had forwarded, and which somebody has told not to: what is planned mends them.
fn switched_off<'a>(actual: &'a Actual, settled: &'a Settled) -> impl Iterator<Item = String> + use<'a> {
    let network = &settled.network;
    let is_off = |name: &&&String| actual.host.sysctls.get(&forwarding(name)).is_some_and(|value| value != ON);
    // Of an internal network neither is to forward.
    let uplink = network.uplink.as_ref().filter(|_| network.gateway.is_some());
    let names = uplink.map(|uplink| [&uplink.name, &network.bridge]).into_iter().flatten();
    let names = names.filter(move |name| is_off(&name));
    let of_ipv4 = names.map(|name| format!("{name} (net.ipv4.conf.{name}.forwarding)"));
    let is_off6 = actual.host.sysctls.get(ALL_FORWARDING6).is_some_and(|value| value != ON);
    // Of the first network with IPv6, nobody has.
    let was_on6 = actual.changed_sysctls().any(|record| record.path == ALL_FORWARDING6);
    let of_ipv6 = network
        .gateway6
        .filter(|_| is_off6 && was_on6 && network.uplink.is_some())
        .map(|_| "IPv6 (net.ipv6.conf.all.forwarding)".into());
    of_ipv4.chain(of_ipv6).map(|what: String| was_switched_off(&what))
}

/// As [`switched_off`], of uplinks that the host's routes lead by: `objects` are what they need, and what of it is missing is mended.
pub(crate) fn switched_off_ways(actual: &Actual, objects: &[Object]) -> Vec<String> {
    let guarded = actual.records.uplinks.iter().filter(|uplink| actual.records.uplink_hooks.contains(&uplink.index));
    let is_mended = |name: &str| {
        let path = forwarding(name);
        objects.iter().any(|it| matches!(it, Object::Sysctl(record) if record.path == path) && !actual.has(it))
    };
    let off = guarded.filter(|uplink| is_mended(&uplink.name));
    off.map(|uplink| was_switched_off(&format!("{0} (net.ipv4.conf.{0}.forwarding)", uplink.name))).collect()
}

fn was_switched_off(what: &str) -> String {
    format!("somebody has switched off forwarding of {what}: it is switched on again")
}
