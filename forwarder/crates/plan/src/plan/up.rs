//! What comes: endpoints and networks that are desired, less what there is.

mod network;

use std::net::IpAddr;

use ipnet::IpNet;

use super::{clearing, ipv6, name_server, others::Others, pairs, pool, ports, rules};

use crate::{
    Actual, Attachment, Bridging, Datapath, EndpointRecord, EndpointSpec, Ipv4, Marks, Object, Op, ResolvConf,
    SysctlRecord, TableRequest, Target, TargetRef, Treatment, Undo, advice,
    desired::{Asked, AskedNetwork},
    names, object, published, refuse,
    settle::{self, Joiner},
    settled::{Network, Settled},
    sysctls::arp_ignore,
    ways,
};
use fwd_base::Result;
use fwd_kernel::netlink::{BridgeSpec, Mac, PairSpec};

/// What it takes for an endpoint to be there, and where it is then.
pub(crate) struct Coming {
    pub(crate) ops: Vec<Op>,
    pub(crate) attachment: Attachment,
    pub(crate) warnings: Vec<String>,
}

/// What it takes for an endpoint to be there, with its network. What is left of a former one is removed first.
///
/// # Errors
/// Everything that can be refused.
pub(super) fn endpoint(asked: &Asked, actual: &Actual, others: &Others) -> Result<Coming> {
    refuse::elsewhere(&asked.target, Some(&asked.network.name), actual)?;
    pool::refuse(asked, actual)?;
    let (mut ops, former) = clearing::dead_endpoints(actual, others);
    ops.extend(clearing::forgotten(actual, others));
    ops.extend(clearing::remove_orphans(actual, &asked.network.name));
    let rest = actual.after(&ops);
    let mut settled = settle::settle(asked, &rest, &former)?;
    if !asked.no_others {
        // What a former endpoint of the same namespace has published goes on.
        settled.publish.extend(ports::kept(actual, &former, &settled));
    }
    ops.extend(clearing::in_the_way(&rest, &settled.network, Some(&settled.endpoint)));
    let rest = name_server::resolver(actual.after(&ops), &settled.network);
    // The inode is not known of a namespace that is still to be made.
    endpoint_spec(asked, &rest, &settled, &former).metadata(u64::MAX).check()?;
    ops.extend(ports::withdrawn(asked, &rest).into_iter().map(Op::remove));
    ops.extend(ports::in_the_way(&rest, &settled.publish).map(Op::remove));
    let rest = name_server::resolver(actual.after(&ops), &settled.network);
    let by_programs = !settled.publish.is_empty() && settled.network.datapath.is_ebpf();
    let access = if by_programs { published::host_access(&rest)? } else { None };
    let wanted = wanted(asked, &rest, others, &settled, (&former, access));
    ops.extend(wanted.into_iter().filter(|object| !rest.has(object)).map(Op::make));
    ops.extend(ports::access_without_use(actual, &ops, by_programs).map(Op::remove));
    let room = advice::room(&rest, &settled);
    let warnings = advice::warnings(asked, &rest, &settled);
    let attachment = Attachment { network: settled.network.name, host_if: settled.endpoint.host_if, room };
    Ok(Coming { ops, attachment, warnings })
}

/// What it takes for a network to be there, whoever is in it.
///
/// # Errors
/// Everything that can be refused.
pub(crate) fn network_alone(asked: &AskedNetwork, table: &TableRequest, actual: &Actual) -> Result<Vec<Op>> {
    let used = actual.records.endpoints.iter().any(|endpoint| endpoint.network == asked.name);
    let network = settle::network(asked, actual, Joiner::None { used })?;
    let table = if network.datapath.is_ebpf() { table.clone() } else { TableRequest::default() };
    let table = settle::table(&table, actual, &network)?;
    let mut ops = clearing::in_the_way(actual, &network, None);
    let rest = actual.after(&ops);
    let mut objects = vec![Object::Records(object::RecordMaps)];
    objects.extend(network.datapath.is_ebpf().then_some(Object::Dataplane(table)));
    objects.extend(uplinks(&rest, &network));
    objects.extend(network_objects(&rest, &network));
    ops.extend(objects.into_iter().filter(|object| !rest.has(object)).map(Op::make));
    Ok(ops)
}

/// Everything that there is to be, in the order in which it is made.
fn wanted(
    asked: &Asked,
    actual: &Actual,
    others: &Others,
    settled: &Settled,
    (former, access): (&[EndpointRecord], Option<Object>),
) -> Vec<Object> {
    let mut objects = vec![Object::Records(object::RecordMaps)];
    if settled.network.datapath.is_ebpf() {
        objects.push(Object::Dataplane(settled.table.clone()));
    }
    if let (TargetRef::Named(name), None) = (&asked.target, actual.target_netns()) {
        objects.push(Object::Undo(Undo::Netns { name: name.clone(), cookie: None }));
        objects.push(Object::Netns(object::NamedNetns { name: name.clone() }));
    }
    objects.extend(pool::taken(asked, actual, &settled.network.name, marks(asked, actual, &[]).resolv_conf));
    objects.extend(uplinks(actual, &settled.network));
    objects.extend(network_objects(actual, &settled.network));
    objects.extend(neighbours_healed(actual, others, settled));
    objects.extend(host_veth(asked, actual, settled, former));
    if !asked.target.is_awaited() {
        objects.extend(inside(asked, actual, settled));
    }
    objects.extend(xdp(asked, settled));
    objects.extend(ipv6::announced(actual, settled));
    objects.extend(access);
    objects.extend(ports::published(settled));
    let attached = actual.attached();
    if let (Some(target), ResolvConf::Write(contents)) = (&actual.target, actual.resolv_conf())
        && let Some(ns) = &target.name
        && attached.is_none_or(|endpoint| endpoint.marks.resolv_conf || endpoint.marks.pooled)
        && !asked.options.pooled
    {
        objects.push(Object::Undo(Undo::ResolvConf { ns: ns.clone() }));
        objects.push(Object::ResolvConf(object::ResolvConf { ns: ns.clone(), contents: contents.clone() }));
    }
    objects
}

/// The uplink of a network, and those that it leaves by besides where it follows the host's routes.
fn uplinks(actual: &Actual, network: &Network) -> Vec<Object> {
    let uplink = network.uplink.as_ref();
    let programs = (network.datapath.is_ebpf(), network.datapath.has_xdp());
    let own = uplink.map(|it| it.objects(actual, Ipv4::of(network.gateway.is_some()), programs));
    let mut objects = own.unwrap_or_default();
    if network.follows_routes() {
        let others = ways::objects(actual, network.followed(), network.datapath.is_ebpf());
        let others: Vec<Object> = others.into_iter().filter(|object| !objects.contains(object)).collect();
        objects.extend(others);
    }
    objects
}

fn network_objects(actual: &Actual, network: &Network) -> Vec<Object> {
    let Network { name, bridge, gateway, mac, mtu, datapath, treatment, kept, allows, source, .. } = network.clone();
    let alias = actual.host.owner.network_alias(&name);
    let pairs = pairs::of_network(actual, network);
    let mut objects = vec![Object::Bridge(BridgeSpec { name: bridge.clone(), mac, mtu, alias })];
    objects.extend(up_again(actual, &bridge));
    objects.extend(gateway.map(|gateway| {
        Object::GatewayAddress(object::GatewayAddress { bridge: bridge.clone(), address: gateway.into() })
    }));
    objects.extend(ipv6::of_bridge(actual, network));
    objects.extend(pairs::forwarding_of(network, &pairs));
    if datapath.is_ebpf() {
        // The bridge tells nobody its hardware address: see `names::virtual_gateway_mac`.
        let (path, ours) = (arp_ignore(&bridge), "8".into());
        objects.push(Object::Sysctl(SysctlRecord { path, original: "0".into(), ours, interface: None }));
    }
    objects.extend(network::routes_without_carrier(network));
    objects.extend(network::record(actual, network));
    let stays =
        kept.then(|| Object::NetworkKept(object::NetworkKept { network: name.clone(), bridge: bridge.clone() }));
    objects.extend(stays);
    let record = actual.records.networks.iter().find(|record| record.name == name);
    let from = record.map(|record| record.allows.clone()).unwrap_or_default();
    let allows = object::NetworkAllows { network: name.clone(), from, to: allows };
    objects.push(Object::NetworkAllows(allows));
    let from = record.map(|record| record.source).unwrap_or_default();
    objects.push(Object::NetworkSource(object::NetworkSource { network: name.clone(), from, to: source }));
    if datapath == Datapath::Kernel {
        objects.push(Object::Undo(Undo::Masquerade { network: name.clone() }));
        let separation = treatment.separation();
        objects.push(Object::Isolation(object::Isolation {
            network: name.clone(),
            bridge: bridge.clone(),
            separation,
        }));
        objects.extend(network.leaving().zip(gateway).map(|(leaving, gateway)| {
            let subnet = gateway.trunc();
            Object::Masquerade(object::Masquerade { network: name, bridge, subnet, leaving })
        }));
    } else {
        objects.push(Object::NetworkHook(object::NetworkHook { bridge, index: None }));
    }
    objects.extend(ipv6::of_host(actual, network));
    objects.extend(pairs);
    objects.extend(name_server::server(network));
    objects
}

/// An interface that exists but was set down.
fn up_again(actual: &Actual, name: &str) -> Option<Object> {
    actual.host.net.link(name).map(|link| Object::LinkUp(object::LinkUp { name: link.name.clone() }))
}

/// What the network's other endpoints lose when its bridge is deleted by hand.
fn neighbours_healed(actual: &Actual, others: &Others, settled: &Settled) -> Vec<Object> {
    let (network, treatment) = (&settled.network.name, settled.network.treatment);
    let endpoints = others.suspects(actual);
    let others =
        endpoints.filter(|endpoint| endpoint.network == *network && endpoint.host_if != settled.endpoint.host_if);
    let seen = others.filter(|endpoint| actual.is_live(endpoint) && !actual.is_out_of_scope(endpoint));
    seen.flat_map(|endpoint| on_bridge(actual, &settled.network.bridge, endpoint, treatment)).collect()
}

/// An endpoint as it is to be at a bridge.
fn on_bridge(actual: &Actual, bridge: &str, endpoint: &EndpointRecord, treatment: Treatment) -> Vec<Object> {
    // The interface may have been renamed.
    let host_if = actual.host.net.name_of(endpoint.index);
    let (bridge, from) = (bridge.to_owned(), endpoint.network_index);
    let mut objects = port(&host_if, &bridge, (endpoint.addresses(), endpoint.mac), endpoint.allow_spoof, treatment);
    // Last: where the record names the bridge, the rest is taken for granted by commands about other endpoints.
    objects.push(Object::EndpointBridge(object::EndpointBridge { host_if: endpoint.host_if.clone(), from, bridge }));
    objects
}

/// The host-side veth as a port of the bridge, or as none; and the endpoint as a neighbour there. Other hardware addresses than its own are behind a port
/// only where that is allowed.
fn port(
    host_if: &str,
    bridge: &str,
    (addresses, mac): (impl Iterator<Item = IpAddr>, Mac),
    learns: bool,
    treatment: Treatment,
) -> Vec<Object> {
    let (host_if, bridge, isolated) = (host_if.to_owned(), bridge.to_owned(), treatment.no_icc);
    let mut objects = match treatment.bridging {
        Bridging::Ports => vec![
            Object::Port(object::Port { host_if: host_if.clone(), bridge: bridge.clone(), learns, isolated }),
            Object::Fdb(object::Fdb { host_if, mac }),
        ],
        Bridging::None => vec![Object::HostSide(object::HostSide { host_if, bridge: bridge.clone(), mac })],
    };
    let neighbour = |address| Object::Neighbour(object::Neighbour { bridge: bridge.clone(), address, mac });
    objects.extend(addresses.map(neighbour));
    objects
}

fn host_veth(asked: &Asked, actual: &Actual, settled: &Settled, former: &[EndpointRecord]) -> Vec<Object> {
    let Settled { network, endpoint, .. } = settled;
    // Of a runtime's endpoint the alias tells whose it is, also where no record can be read.
    let of_namespace = || actual.target.as_ref().map(Target::label).unwrap_or_default();
    let label = if asked.id.owner.is_runtime() { asked.id.to_string() } else { of_namespace() };
    let spec = PairSpec {
        kind: network.datapath.pair(),
        host_if: endpoint.host_if.clone(),
        ns_if: asked.id.ifname.clone(),
        host_mac: Some(names::host_mac(endpoint.main_address())),
        ns_mac: endpoint.mac,
        mtu: network.mtu,
        alias: actual.host.owner.endpoint_alias(&network.name, &label),
    };
    let mut objects = vec![Object::Veth(object::Veth { spec, ns: asked.target.clone() })];
    objects.extend(up_again(actual, &endpoint.host_if));
    objects.push(Object::Endpoint(endpoint_spec(asked, actual, settled, former)));
    objects.extend(rules::of_endpoint(actual, settled));
    if let Some(record) = actual.attached() {
        let (from, bridge) = (record.network_index, network.bridge.clone());
        objects.push(Object::EndpointBridge(object::EndpointBridge { host_if: record.host_if.clone(), from, bridge }));
    }
    objects.extend(actual.attached().map(|record| {
        let (from, to) = (record.limits, endpoint.limits);
        let (ns, ns_if) = (asked.target.clone(), asked.id.ifname.clone());
        let host_if = endpoint.host_if.clone();
        Object::EndpointLimits(object::EndpointLimits { host_if, ns, ns_if, mtu: network.mtu, from, to })
    }));
    objects.extend(actual.attached().map(|record| {
        let (host_if, from, to) = (endpoint.host_if.clone(), record.aliases.clone(), endpoint.aliases.clone());
        Object::EndpointNames(object::EndpointNames { host_if, from, to })
    }));
    let from = actual.attached().map(|record| record.policy.clone()).unwrap_or_default();
    let (host_if, to) = (endpoint.host_if.clone(), endpoint.policy.clone());
    objects.push(Object::EndpointPolicy(object::EndpointPolicy { host_if, from, to }));
    if network.datapath.is_ebpf() {
        let (host_if, attach) = (endpoint.host_if.clone(), endpoint.attach);
        objects.push(Object::EndpointHook(object::EndpointHook { host_if: host_if.clone(), index: None, attach }));
        let from = actual.attached().map(|record| record.attach);
        objects.extend(from.map(|from| Object::EndpointAttach(object::EndpointAttach { host_if, from, to: attach })));
    }
    let ends = (endpoint.addresses(), endpoint.mac);
    objects.extend(port(&endpoint.host_if, &network.bridge, ends, endpoint.allow_spoof, network.treatment));
    objects
}

fn endpoint_spec(asked: &Asked, actual: &Actual, settled: &Settled, former: &[EndpointRecord]) -> EndpointSpec {
    let Settled { network, endpoint, .. } = settled;
    let target = actual.target.as_ref();
    EndpointSpec {
        id: asked.id.clone(),
        network: network.name.clone(),
        owner_network: asked.owner_network.clone(),
        bridge: network.bridge.clone(),
        uplink: network.uplink_index(),
        target: asked.target.clone(),
        ns: target.and_then(|target| target.name.as_ref()).map(ToString::to_string),
        pid: target.and_then(|target| target.pid),
        container: asked.target.container().map(ToOwned::to_owned),
        host_if: endpoint.host_if.clone(),
        index: None,
        address: settled.address(),
        address6: settled.address6(),
        mac: endpoint.mac,
        gateway: network.gateway.map(|gateway| gateway.addr()),
        gateway6: network.gateway6.map(|gateway| gateway.addr()),
        gateway_mac: network.seen_mac(),
        mtu: network.mtu,
        datapath: network.datapath,
        treatment: network.treatment,
        announce: endpoint.announce,
        allow_spoof: endpoint.allow_spoof,
        source: endpoint.source,
        no_default_route: endpoint.no_default_route,
        metric: endpoint.metric,
        routes: endpoint.routes.clone(),
        limits: endpoint.limits,
        attach: endpoint.attach,
        aliases: endpoint.aliases.clone(),
        marks: marks(asked, actual, former),
    }
}

/// What is done for the endpoint besides, now or before.
fn marks(asked: &Asked, actual: &Actual, former: &[EndpointRecord]) -> Marks {
    let name = actual.target.as_ref().and_then(|target| target.name.as_ref());
    let noted = |entry: &Undo| matches!(entry, Undo::ResolvConf { ns } if Some(ns) == name);
    let written = former.iter().any(|record| record.marks.resolv_conf) || actual.undo.iter().any(noted);
    Marks {
        created: actual.target_netns().is_none_or(|inside| inside.made),
        resolv_conf: written || !asked.options.pooled && matches!(actual.resolv_conf(), ResolvConf::Write(_)),
        awaited: actual.target.as_ref().is_some_and(|target| target.reference.is_awaited()),
        pooled: asked.options.pooled,
    }
}

fn inside(asked: &Asked, actual: &Actual, settled: &Settled) -> Vec<Object> {
    let Settled { network, endpoint, .. } = settled;
    let (ns, ns_if) = (asked.target.clone(), asked.id.ifname.clone());
    // A namespace that goes with its endpoint takes it with it.
    let theirs = actual.target_netns().filter(|inside| !inside.made && !inside.is_loopback_up());
    let mut objects: Vec<Object> = theirs
        .map(|inside| Object::Undo(Undo::Loopback { ns: ns.clone(), cookie: inside.cookie }))
        .into_iter()
        .collect();
    objects.push(Object::Loopback(object::Loopback { ns: ns.clone() }));
    objects.extend(settled.address().map(|address| {
        let (ns, ns_if, address) = (ns.clone(), ns_if.clone(), address.into());
        Object::NsAddress(object::NsAddress { ns, ns_if, address })
    }));
    objects.extend(ipv6::before_up(asked, settled));
    let host_if = endpoint.host_if.clone();
    objects.push(Object::NsLinkUp(object::NsLinkUp { ns: ns.clone(), ns_if: ns_if.clone(), host_if }));
    for gateway in network.gateways().map(|gateway| gateway.addr()) {
        if !endpoint.no_default_route {
            let (ns, ns_if, metric) = (ns.clone(), ns_if.clone(), endpoint.metric);
            objects.push(Object::NsDefaultRoute(object::NsDefaultRoute { ns, ns_if, gateway, metric }));
        }
        let (ns, ns_if, mac) = (ns.clone(), ns_if.clone(), network.seen_mac());
        objects.push(Object::NsNeighbour(object::NsNeighbour { ns, ns_if, gateway, mac }));
    }
    let (ns, ns_if) = (&asked.target, &asked.id.ifname);
    let route =
        |(to, via): &(IpNet, IpAddr)| object::NsRoute { ns: ns.clone(), ns_if: ns_if.clone(), to: *to, via: *via };
    objects.extend(endpoint.routes.iter().map(route).map(Object::NsRoute));
    objects
}

/// XDP at the host-side veth, once the other end is up and takes frames.
fn xdp(asked: &Asked, settled: &Settled) -> Vec<Object> {
    let Settled { network, endpoint, .. } = settled;
    let uplink = network.uplink.as_ref().filter(|_| network.datapath.has_xdp());
    let Some(uplink) = uplink.map(|uplink| uplink.name.clone()) else { return Vec::new() };
    let host_if = endpoint.host_if.clone();
    vec![
        Object::NsOffloads(object::NsOffloads { ns: asked.target.clone(), ns_if: asked.id.ifname.clone() }),
        Object::EndpointXdp(object::EndpointXdp { host_if, index: None, uplink }),
    ]
}
