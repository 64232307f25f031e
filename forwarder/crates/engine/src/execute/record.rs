//! Between the records of the maps and the types of [`reconcile`](fwd_plan).

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, Ipv6Addr},
};

use forwarder_common::{
    abi::{self, endpoint_flags, uplink_flags},
    decide::rate,
};
use ipnet::{Ipv4Net, Ipv6Net};

use fwd_base::Result;
use fwd_dataplane::{
    Backend, Dataplane, Described, EndpointId, EndpointOwner, Metadata, NetnsMetadata, NetworkMetadata, Rule, TcxOrder,
    XdpHook, name, name_of,
};
use fwd_plan::{
    Announced, Datapath, EndpointRecord, EndpointSpec, IDLE_TIMES, Limits, Marks, NetworkRecord, NetworkSpec,
    RateLimit, Records, SourceRange, Sources, TableRecord, TargetRef, Treatment, UplinkRecord,
};

/// Reads all maps.
///
/// # Errors
/// One cannot be read.
pub(super) fn read(plane: &Dataplane, others: Vec<String>) -> Result<Records> {
    read_for(plane, others, None)
}

/// As [`read`]. Where an endpoint is to come that nobody is yet, of this identity, in the namespace with this cookie, no more is read of others
/// than the programs know: not what they are called, nor how their namespaces and interfaces are.
///
/// # Errors
/// As [`read`].
pub(super) fn read_for(plane: &Dataplane, others: Vec<String>, coming: Option<(&EndpointId, u64)>) -> Result<Records> {
    let hooks = plane.pinned_hooks()?;
    let devices = plane.devices()?;
    Ok(Records {
        loaded: true,
        table: if plane.is_loaded() { Some(table(&plane.config()?)) } else { None },
        partly_loaded: plane.is_partly_loaded(),
        pinned: true,
        others,
        networks: networks(plane, &devices)?,
        devices,
        endpoints: endpoints(plane, coming)?,
        uplinks: plane.uplinks()?.iter().map(|(index, record)| uplink(*index, record)).collect(),
        publications: plane.publications()?,
        host_cgroup: plane.host_cgroup_of(&hooks)?,
        host_attached: hooks.is_host_attached(),
        uplink_hooks: hooks.uplinks(),
        misplaced: BTreeSet::new(),
        network_hooks: hooks.networks(),
        endpoint_hooks: hooks.endpoints(Backend::Tcx),
        endpoint_filters: hooks.endpoints(Backend::Clsact),
        endpoint_netkits: hooks.endpoints(Backend::Netkit),
        uplink_xdp: hooks.xdp(XdpHook::FromUplink),
        endpoint_xdp: hooks.xdp(XdpHook::FromNs),
    })
}

/// The networks in the order in which they came, but of each name the record first that goes on: that of the bridge which is there, or was made
/// last.
fn networks(plane: &Dataplane, devices: &BTreeSet<u32>) -> Result<Vec<NetworkRecord>> {
    let (mut found, mut gone): (Vec<_>, Vec<_>) =
        plane.networks()?.into_iter().partition(|(index, _)| devices.contains(index));
    found.sort_by_key(|(index, _)| *index);
    gone.sort_by_key(|(index, _)| Reverse(*index));
    found.extend(gone);
    found.iter().map(|(index, record)| network(plane, *index, record)).collect()
}

/// The settings of the flow table.
#[must_use]
pub(crate) fn table(config: &abi::Config) -> TableRecord {
    let seconds = |which| config.timeouts.get(which as usize).map_or(0, |jiffies| jiffies / config.hz.max(1));
    TableRecord {
        nat_ports: (config.nat_port_min, config.nat_port_max),
        max_flows: config.max_flows,
        max_flows_per_ns: config.max_flows_per_endpoint,
        timeouts: IDLE_TIMES.iter().map(|idle| (idle.which, seconds(idle.which))).collect(),
    }
}

/// An IPv4 address, if a record has one.
fn given4(address: [u8; 4]) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::from(address)).filter(|address| !address.is_unspecified())
}

/// The same of IPv6.
fn given(address: abi::Addr) -> Option<Ipv6Addr> {
    Some(Ipv6Addr::from(address)).filter(|address| !address.is_unspecified())
}

fn network(plane: &Dataplane, index: u32, record: &abi::Network) -> Result<NetworkRecord> {
    let name = name_of(&record.name);
    let known = plane.network_metadata(&name)?;
    let source = sources_of(&known);
    let prefix = u8::try_from(record.prefix_v4).unwrap_or(32).min(32);
    let prefix6 = u8::try_from(record.prefix_v6).unwrap_or(128).min(128);
    Ok(NetworkRecord {
        index,
        name,
        bridge: name_of(&record.bridge),
        gateway: given4(record.gateway_v4).map(|gateway| Ipv4Net::new_assert(gateway, prefix)),
        gateway6: given(record.gateway_v6).map(|gateway| Ipv6Net::new_assert(gateway, prefix6)),
        uplink: record.uplink,
        mtu: record.mtu,
        mac: record.gateway_mac,
        last: u32::from_be_bytes(record.last),
        datapath: Datapath::of_flags(record.flags),
        treatment: Treatment::of_flags(record.flags),
        kept: record.flags & endpoint_flags::KEPT != 0,
        allows: known.allows,
        source,
    })
}

fn endpoints(plane: &Dataplane, coming: Option<(&EndpointId, u64)>) -> Result<Vec<EndpointRecord>> {
    let policies = plane.policies()?;
    let read = |index: u32, found: Described| -> Result<EndpointRecord> {
        let rules = policies.rules(&found.record);
        Ok(endpoint(index, (limits(&plane.limits(&found.record)?), rules), found))
    };
    let strangers = coming.map(|(id, cookie)| plane.strangers(id, cookie)).transpose()?.flatten();
    if let Some(strangers) = strangers {
        let networks: BTreeMap<u32, String> =
            plane.networks()?.iter().map(|(index, record)| (*index, name_of(&record.name))).collect();
        return strangers.into_iter().map(|(index, record)| read(index, stranger(record, &networks))).collect();
    }
    let mut endpoints = Vec::new();
    plane.each_described(|index, found| {
        endpoints.push(read(index, found)?);
        Ok(())
    })?;
    Ok(endpoints)
}

/// An endpoint of which nothing is known but its record.
fn stranger(record: abi::Endpoint, networks: &BTreeMap<u32, String>) -> Described {
    let id = EndpointId { owner: EndpointOwner::Unknown, ..EndpointId::default() };
    let network = networks.get(&record.network).cloned().unwrap_or_default();
    Described { record, metadata: Metadata { id, network, ..Metadata::default() }, unreadable: None }
}

/// What an endpoint may send and get in a second.
#[must_use]
pub(crate) fn limits(record: &abi::Limits) -> Limits {
    let limit = |limit: &abi::Limit| RateLimit { rate: limit.rate, burst: limit.burst };
    Limits { outbound: limit(&record.outbound), inbound: limit(&record.inbound) }
}

/// The same for the programs.
pub(super) fn of_limits(limits: Limits) -> abi::Limits {
    let limit = |RateLimit { rate, burst }| abi::Limit { rate, burst, cost: rate::cost(rate), busy_until: 0 };
    abi::Limits { outbound: limit(limits.outbound), inbound: limit(limits.inbound) }
}

fn endpoint(
    index: u32,
    (limits, policy): (Limits, Vec<Rule>),
    Described { record, metadata, unreadable: _ }: Described,
) -> EndpointRecord {
    let is_set = |flag: u32| record.flags & flag != 0;
    let Metadata { id, network, owner_network, netns, host_if, addresses: _, routes, aliases } = metadata;
    let NetnsMetadata { name: ns, pid, path, container, inode } = netns;
    let (default, others): (Vec<_>, Vec<_>) = routes.into_iter().partition(|route| route.to.prefix_len() == 0);
    let path = path.or_else(|| TargetRef::path_of(&id));
    EndpointRecord {
        id,
        index,
        network_index: record.network,
        uplink: record.uplink,
        network,
        owner_network,
        ns,
        pid,
        container,
        path,
        cookie: record.netns_cookie,
        inode,
        host_if,
        address: given4(record.v4),
        address6: given(record.v6),
        mac: record.mac,
        announce: Announced { v4: is_set(endpoint_flags::ANNOUNCED), v6: is_set(endpoint_flags::ANNOUNCED_V6) },
        allow_spoof: is_set(endpoint_flags::ALLOW_SPOOF),
        source: source(&record),
        no_default_route: is_set(endpoint_flags::NO_DEFAULT_ROUTE),
        metric: default.first().and_then(|route| route.metric),
        routes: others.into_iter().map(|route| (route.to, route.via)).collect(),
        limits,
        policy,
        attach: attach(record.flags),
        aliases,
        marks: Marks {
            created: is_set(endpoint_flags::NS_CREATED),
            resolv_conf: is_set(endpoint_flags::RESOLV_CONF),
            awaited: is_set(endpoint_flags::AWAITED),
            pooled: is_set(endpoint_flags::POOLED),
        },
    }
}

/// The addresses behind which endpoints of a network appear that ask for none.
#[must_use]
pub(crate) fn sources_of(known: &NetworkMetadata) -> Sources {
    Sources {
        v4: known.source.map(|(first, count)| SourceRange::counted(first, count)),
        v6: known.source6.map(|(first, count)| SourceRange::counted(first, count)),
    }
}

/// The addresses behind which an endpoint appears, where some were asked for.
#[must_use]
pub(crate) fn source(record: &abi::Endpoint) -> Sources {
    Sources {
        v4: given4(record.source).map(|first| SourceRange::counted(first, record.sources)),
        v6: given(record.source_v6).map(|first| SourceRange::counted(first, record.sources_v6)),
    }
}

fn uplink(index: u32, record: &abi::Uplink) -> UplinkRecord {
    let asked = record.flags & uplink_flags::ASKED != 0;
    UplinkRecord { index, name: name_of(&record.ifname), address: record.v4.into(), asked, order: order_of(record) }
}

/// Where the programs at an uplink stand among those of others.
pub(crate) const fn order_of(record: &abi::Uplink) -> TcxOrder {
    if record.flags & uplink_flags::BEHIND_OTHERS == 0 { TcxOrder::First } else { TcxOrder::Last }
}

/// How the program is attached to the host-side veth of an endpoint with these flags.
#[must_use]
pub(crate) fn attach(flags: u32) -> Backend {
    match flags & (endpoint_flags::NETKIT_DATAPATH | endpoint_flags::CLSACT) {
        0 => Backend::Tcx,
        endpoint_flags::CLSACT => Backend::Clsact,
        _ => Backend::Netkit,
    }
}

/// The record of a network with a block of counters, or 0.
///
/// # Errors
/// A name is too long.
pub(super) fn of_network(spec: &NetworkSpec, counters: u32) -> Result<abi::Network> {
    let NetworkSpec {
        name: network,
        index: _,
        bridge,
        gateway,
        gateway6,
        uplink,
        mtu,
        mac,
        last,
        datapath,
        treatment,
        kept,
    } = spec;
    let kept = if *kept { endpoint_flags::KEPT } else { 0 };
    Ok(abi::Network {
        gateway_v4: gateway.map_or([0; 4], |gateway| gateway.addr().octets()),
        prefix_v4: gateway.map_or(0, |gateway| gateway.prefix_len().into()),
        uplink: *uplink,
        mtu: *mtu,
        gateway_mac: *mac,
        _pad: [0; 2],
        counters,
        gateway_v6: gateway6.map_or([0; 16], |gateway| gateway.addr().octets()),
        prefix_v6: gateway6.map_or(0, |gateway| gateway.prefix_len().into()),
        last: last.to_be_bytes(),
        flags: datapath.flag() | treatment.flags() | kept,
        name: name(network)?,
        bridge: name(bridge)?,
    })
}

/// Numbers that an endpoint's record has and its plan has not.
pub(super) struct Numbers {
    /// ifindex of the bridge.
    pub(super) network: u32,
    /// Block of counters.
    pub(super) counters: u32,
    /// Cookie of the namespace.
    pub(super) cookie: u64,
    /// Key of the metadata.
    pub(super) metadata: u64,
}

/// The record of an endpoint.
pub(super) fn of_endpoint(spec: &EndpointSpec, numbers: &Numbers) -> abi::Endpoint {
    let Marks { created, resolv_conf, awaited, pooled } = spec.marks;
    let marks = [
        (created, endpoint_flags::NS_CREATED),
        (resolv_conf, endpoint_flags::RESOLV_CONF),
        (awaited, endpoint_flags::AWAITED),
        (pooled, endpoint_flags::POOLED),
        (spec.announce.v4, endpoint_flags::ANNOUNCED),
        (spec.announce.v6, endpoint_flags::ANNOUNCED_V6),
        (spec.allow_spoof, endpoint_flags::ALLOW_SPOOF),
        (spec.id.owner.is_runtime(), endpoint_flags::RUNTIME),
        (spec.no_default_route, endpoint_flags::NO_DEFAULT_ROUTE),
        (spec.attach == Backend::Clsact, endpoint_flags::CLSACT),
    ];
    let marks = marks.into_iter().filter(|(set, _)| *set).fold(0, |flags, (_, flag)| flags | flag);
    let Sources { v4, v6 } = spec.source;
    abi::Endpoint {
        v4: spec.address.map_or([0; 4], |address| address.addr().octets()),
        network: numbers.network,
        uplink: spec.uplink,
        counters: numbers.counters,
        mtu: spec.mtu,
        mac: spec.mac,
        gateway_mac: spec.gateway_mac,
        flags: spec.datapath.flag() | spec.treatment.flags() | marks,
        v6: spec.address6.map_or([0; 16], |address| address.addr().octets()),
        source: v4.map_or([0; 4], |range| range.first().octets()),
        sources: v4.map_or(0, SourceRange::count),
        sources_v6: v6.map_or(0, SourceRange::count),
        source_v6: v6.map_or([0; 16], |range| range.first().octets()),
        _pad: 0,
        netns_cookie: numbers.cookie,
        metadata: numbers.metadata,
    }
}

/// The record of an uplink with two blocks of counters.
///
/// # Errors
/// The name is too long.
pub(super) fn of_uplink(
    ifname: &str,
    address: Ipv4Addr,
    transit: bool,
    counters_in: u32,
    counters_out: u32,
) -> Result<abi::Uplink> {
    // Before anybody has looked how it checks sources (`surroundings::follow_routes`), it checks strictly; its hardware address is noted then, too.
    let flags = uplink_flags::STRICT | if transit { 0 } else { uplink_flags::NO_TRANSIT };
    let (mac, _pad, link_local) = ([0; 6], [0; 2], [0; 16]);
    let (v4, ifname) = (address.octets(), name(ifname)?);
    Ok(abi::Uplink { v4, counters_in, counters_out, flags, mac, _pad, link_local, ifname })
}
