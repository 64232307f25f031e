//! What is up, read from the pinned maps and the kernel, as views.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
};

use forwarder_common::abi::{Endpoint, Network, Uplink, endpoint_flags};

use super::{HostNetns, traffic::interface_traffic};
use crate::execute;
use fwd_base::{Error, Kind, Result};
use fwd_container::docker_sandboxes;
use fwd_dataplane::{
    Dataplane, Described, EndpointOwner, Metadata, NetnsMetadata, Occupancy, Publication, RouteMetadata, Usage, name_of,
};
use fwd_kernel::{
    netlink::{Link, Netlink},
    netns::{self, Name},
};
use fwd_plan::{Bridging, Datapath, Flows, Ipv4, Limits, Owner, RateLimit, TargetRef, Treatment};
use fwd_render::{EndpointView, FlowCounts, PolicyView, RateView, RuleView, UPLINK_STATES, XdpView};

/// The records of one host.
pub struct State {
    /// The pinned maps.
    pub plane: Dataplane,
    /// Endpoints by the ifindex of their host-side veths, in the order in which they are shown.
    pub endpoints: Vec<(u32, Described)>,
    /// The same of those that are nobody's yet.
    pool: Vec<(u32, Described)>,
    pub(super) networks: BTreeMap<u32, Network>,
    pub(super) uplinks: BTreeMap<u32, Uplink>,
    pub(super) publications: Vec<Publication>,
    /// Interfaces by number; only those that are still the ones that the records are about.
    pub(super) links: BTreeMap<u32, Link>,
    /// Ids of docker's containers, by the paths of their namespaces; read where docker has endpoints.
    sandboxes: BTreeMap<String, String>,
    /// Flows, as far as they were counted.
    pub occupancy: Occupancy,
    limit: u32,
}

impl State {
    /// Reads what is up, and nothing of its flows; none if nothing is.
    ///
    /// # Errors
    /// The maps or the kernel cannot be read.
    pub fn read(at: &HostNetns) -> Result<Option<Self>> {
        let Some(mut state) = Self::records(at)? else { return Ok(None) };
        state.networks = state.plane.networks()?.into_iter().collect();
        state.uplinks = state.plane.uplinks()?.into_iter().collect();
        state.publications = state.plane.publications()?;
        let devices = state.plane.devices()?;
        let links = Netlink::here()?.links()?.into_iter().filter(|link| devices.contains(&link.index));
        state.links = links.map(|link| (link.index, link)).collect();
        Ok(Some(state))
    }

    /// Reads who is up, and nothing of what they are connected to.
    ///
    /// # Errors
    /// The maps or the kernel cannot be read.
    pub fn records(at: &HostNetns) -> Result<Option<Self>> {
        let Some(plane) = at.dataplane()? else { return Ok(None) };
        let mut endpoints = plane.described_endpoints()?;
        let order = |(_, it): &(u32, Described)| (it.metadata.network.clone(), it.record.v4, it.record.v6);
        endpoints.sort_by_cached_key(order);
        let is_pooled = |(_, it): &(u32, Described)| it.record.flags & endpoint_flags::POOLED != 0;
        let (pool, endpoints): (Vec<_>, Vec<_>) = endpoints.into_iter().partition(is_pooled);
        let limit = plane.config()?.max_flows_per_endpoint;
        let is_of_docker = |(_, it): &(u32, Described)| it.metadata.id.owner == EndpointOwner::Docker;
        let of_docker = endpoints.iter().any(is_of_docker);
        let sandboxes = if of_docker { docker_sandboxes("/".as_ref()) } else { BTreeMap::new() };
        let (networks, uplinks, publications, links) = Default::default();
        let occupancy = Occupancy::default();
        Ok(Some(Self { plane, endpoints, pool, networks, uplinks, publications, links, sandboxes, occupancy, limit }))
    }

    /// Reads of `plane` what belongs to one endpoint, with the ifindex of its host-side veth, and nothing of the others. The calling thread is
    /// in the host's namespace.
    ///
    /// # Errors
    /// The maps or the kernel cannot be read.
    pub fn of_one(plane: Dataplane, (ifindex, endpoint): (u32, Described)) -> Result<Self> {
        let bridge = endpoint.record.network;
        let networks = plane.network(bridge)?.map(|network| (bridge, network));
        let uplinks: BTreeMap<u32, Uplink> = plane.uplinks()?.into_iter().collect();
        let ways: Vec<u32> = uplinks.keys().copied().collect();
        let netlink = Netlink::here()?;
        let mut links = BTreeMap::new();
        for index in BTreeSet::from([ifindex, endpoint.record.uplink]).into_iter().chain(ways) {
            if plane.is_same_device(index)? {
                links.extend(netlink.link_by_index(index)?.map(|link| (index, link)));
            }
        }
        let endpoints = vec![(ifindex, endpoint)];
        let (occupancy, limit) = (plane.usage(&records(&endpoints))?, plane.config()?.max_flows_per_endpoint);
        let networks = networks.into_iter().collect();
        let (publications, sandboxes, pool) = (plane.publications()?, BTreeMap::new(), Vec::new());
        Ok(Self { plane, endpoints, pool, networks, uplinks, publications, links, sandboxes, occupancy, limit })
    }

    /// Counts the flows of these endpoints.
    ///
    /// # Errors
    /// The maps or the kernel cannot be read.
    pub fn count_flows(&mut self, endpoints: &[(u32, Described)]) -> Result<()> {
        self.occupancy = self.plane.usage(&records(endpoints))?;
        Ok(())
    }

    /// The host-side veth of an endpoint, whatever it is called by now, unless it is gone.
    #[must_use]
    pub fn host_veth(&self, ifindex: u32) -> Option<&Link> {
        self.links.get(&ifindex)
    }

    /// The interface that a record is about, likewise.
    pub(super) fn link(&self, ifindex: u32) -> Option<&Link> {
        self.links.get(&ifindex)
    }

    /// The uplink of an endpoint, likewise.
    #[must_use]
    pub fn uplink(&self, endpoint: &Described) -> Option<&Link> {
        self.links.get(&endpoint.record.uplink)
    }

    /// How XDP is attached, with that data path.
    fn xdp(&self, ifindex: u32, endpoint: &Described) -> Option<XdpView> {
        let mode = |index: u32| self.links.get(&index)?.xdp.map(|xdp| xdp.mode.name().into());
        let view = XdpView { host_if: mode(ifindex), uplink: mode(endpoint.record.uplink) };
        Datapath::of_flags(endpoint.record.flags).has_xdp().then_some(view)
    }

    /// The address of IPv4 of an endpoint's uplink, if anything of the endpoint appears behind it.
    #[must_use]
    pub fn uplink_address(&self, endpoint: &Described) -> Option<Ipv4Addr> {
        let uplink = self.uplinks.get(&endpoint.record.uplink).filter(|_| endpoint.record.v4 != [0; 4])?;
        Some(Ipv4Addr::from(uplink.v4)).filter(|address| !address.is_unspecified())
    }

    /// All endpoints as views.
    ///
    /// # Errors
    /// The maps or the kernel cannot be read.
    pub fn views(&self) -> Result<Vec<EndpointView>> {
        self.endpoints.iter().map(|(ifindex, endpoint)| self.view(*ifindex, endpoint)).collect()
    }

    /// One endpoint as a view.
    ///
    /// # Errors
    /// The maps or the kernel cannot be read.
    pub fn view(&self, ifindex: u32, endpoint: &Described) -> Result<EndpointView> {
        let Described { record, metadata, unreadable: _ } = endpoint;
        let Metadata { id, network: network_name, owner_network: _, netns, host_if, addresses, routes, aliases: _ } =
            metadata.clone();
        let NetnsMetadata { name, pid, path, container, inode } = netns;
        // docker calls an endpoint by an id of its own, and notes its container a moment after that has begun to run.
        let of_docker = path.and_then(|path| self.sandboxes.get(&path).cloned());
        let network = self.networks.get(&record.network);
        let kernel = record.flags & endpoint_flags::KERNEL_DATAPATH != 0;
        let host_veth = self.host_veth(ifindex);
        let present = host_veth.map_or("", |link| &link.name);
        let traffic = if kernel { interface_traffic(present)? } else { self.plane.endpoint_traffic(record)? };
        let uplink = self.uplinks.get(&record.uplink);
        let usage = self.occupancy.endpoints.get(&ifindex).copied().unwrap_or_default();
        let treatment = Treatment::of_flags(record.flags);
        Ok(EndpointView {
            network: network_name.into(),
            owner: id.owner.name().into(),
            ns: name.map(Into::into),
            netns_inode: inode,
            pid,
            container: if id.owner.is_runtime() {
                Some(of_docker.unwrap_or(id.id).into())
            } else {
                container.map(Into::into)
            },
            ns_created: record.flags & endpoint_flags::NS_CREATED != 0,
            gone: host_veth.is_none(),
            host_if: host_if.into(),
            ns_if: id.ifname.into(),
            addresses,
            gateways: gateways(&routes, network),
            uplink: uplink.map(|uplink| name_of(&uplink.ifname)).unwrap_or_default().into(),
            uplink_now: self.uplink(endpoint).map(|link| link.name.clone().into()),
            uplink_state: uplink_state(self.uplink(endpoint), treatment.internal || record.uplink == 0).into(),
            bound: treatment.bound,
            leaves_by: self.ways(record),
            datapath: Datapath::of_flags(record.flags).name().into(),
            attach: (!kernel).then(|| execute::attach(record.flags).name().into()),
            xdp: self.xdp(ifindex, endpoint),
            nat: (!kernel).then(|| treatment.nat.name().into()),
            policy: self.policy(record, &routes)?,
            names: self.names_of(endpoint),
            published: self.published(ifindex, record.netns_cookie),
            bridge: network.map(|network| name_of(&network.bridge)).unwrap_or_default().into(),
            mtu: record.mtu,
            tx_packets: traffic.tx_packets,
            tx_bytes: traffic.tx_bytes,
            rx_packets: traffic.rx_packets,
            rx_bytes: traffic.rx_bytes,
            flows: (!kernel).then(|| flow_counts(usage, self.limit)),
        })
    }

    fn policy(&self, record: &Endpoint, routes: &[RouteMetadata]) -> Result<PolicyView> {
        let (default, others): (Vec<_>, Vec<_>) = routes.iter().partition(|route| route.to.prefix_len() == 0);
        let is_set = |flag| record.flags & flag != 0;
        let treatment = Treatment::of_flags(record.flags);
        let Treatment {
            nat: _,
            clamp_mss,
            ignore_xfrm,
            internal,
            no_icc,
            flows,
            bridging,
            bound: _,
            dns: _,
            multicast,
            routed6: _,
        } = treatment;
        let Limits { outbound, inbound } = execute::limits(&self.plane.limits(record)?);
        let (rules, refusals) = self.rules(record)?;
        let source = execute::source(record);
        let limit = |RateLimit { rate, burst }: RateLimit| (rate != 0).then_some(RateView { rate, burst });
        Ok(PolicyView {
            ipv4: Ipv4::of(record.v4 != [0; 4]).name().into(),
            ipv6: treatment.ipv6(record.v6 != [0; 16]).name().into(),
            clamp_mss,
            ignore_xfrm,
            internal,
            no_icc,
            east_west: flows == Flows::EastWest,
            multicast,
            bridgeless: bridging == Bridging::None,
            default_route: !is_set(endpoint_flags::NO_DEFAULT_ROUTE),
            metric: default.first().and_then(|route| route.metric),
            routes: others.iter().map(|route| format!("{} via {}", route.to, route.via)).collect(),
            announced: is_set(endpoint_flags::ANNOUNCED),
            announced6: is_set(endpoint_flags::ANNOUNCED_V6),
            allow_spoof: is_set(endpoint_flags::ALLOW_SPOOF),
            source: source.v4.map(|source| source.to_string()),
            source6: source.v6.map(|source| source.to_string()),
            rate_out: limit(outbound),
            rate_in: limit(inbound),
            rules: rules.into_iter().map(|it| RuleView { rule: it.rule.to_string(), refused: it.refused }).collect(),
            others_out_refused: refusals.outbound,
            others_in_refused: refusals.inbound,
        })
    }

    /// The ports of the host that lead to an endpoint.
    fn published(&self, ifindex: u32, cookie: u64) -> Vec<String> {
        let is_its = |it: &&Publication| it.endpoint == ifindex && it.cookie == cookie;
        self.publications.iter().filter(is_its).map(|it| it.ports.to_string()).collect()
    }

    /// The endpoints of the namespace that the user named: by the namespace itself, or by a recorded name whose namespace is gone.
    ///
    /// # Errors
    /// It is not up, or cannot be opened.
    pub fn of(&self, target: &TargetRef) -> Result<Vec<(u32, Described)>> {
        let cookie = match execute::open_target(target).and_then(|ns| ns.cookie()) {
            Ok(cookie) => Some(cookie),
            // Not there, or not yet.
            Err(error) if matches!(error.kind, Kind::NotFound | Kind::Conflict) => None,
            Err(error) => return Err(error),
        };
        let is_meant = |Described { record, metadata, unreadable: _ }: &Described| match (cookie, target) {
            (Some(cookie), _) => record.netns_cookie == cookie,
            (None, TargetRef::Named(name)) => metadata.netns.name.as_deref() == Some(name.as_str()),
            (None, TargetRef::Pid(pid)) => metadata.netns.pid == Some(*pid),
            (None, TargetRef::Container(_)) => target.id(&metadata.id.ifname) == metadata.id,
            (None, TargetRef::Path(_) | TargetRef::Awaited(_)) => false,
        };
        let all = self.endpoints.iter().chain(&self.pool);
        let found: Vec<_> = all.filter(|(_, endpoint)| is_meant(endpoint)).cloned().collect();
        if found.is_empty() { Err(not_up(target, Some(self))) } else { Ok(found) }
    }

    /// How many endpoints of the network with this bridge are nobody's yet.
    pub(super) fn pooled(&self, bridge: u32) -> usize {
        self.pool.iter().filter(|(_, endpoint)| endpoint.record.network == bridge).count()
    }

    /// What to say of endpoints of which only their records are known.
    #[must_use]
    pub fn unreadable(&self) -> Vec<String> {
        let said = |(ifindex, endpoint): &(u32, Described)| {
            let why = endpoint.unreadable.as_ref()?;
            let addresses: Vec<String> = endpoint.metadata.addresses.iter().map(|it| it.addr().to_string()).collect();
            let (host_if, address) = (self.host_veth(*ifindex), addresses.join(" and "));
            let host_if = host_if.map_or_else(|| format!("interface {ifindex}"), |link| link.name.clone());
            Some(format!(
                "what is noted of the endpoint at {host_if}, {address}, cannot be read ({why}): it is shown as far as its record tells, and \
                 goes with `fwd down --all`, or with `fwd down` for its namespace"
            ))
        };
        self.endpoints.iter().filter_map(said).collect()
    }

    /// Names of the namespaces that are up.
    fn names(&self) -> Vec<Name> {
        let names = self.endpoints.iter().filter_map(|(_, endpoint)| endpoint.metadata.netns.name.as_deref());
        names.filter_map(|name| Name::try_from(name).ok()).collect()
    }
}

/// The routers of default routes, or the address of the bridge where there is no such route.
fn gateways(routes: &[RouteMetadata], network: Option<&Network>) -> Vec<IpAddr> {
    let default = routes.iter().filter(|route| route.to.prefix_len() == 0);
    let routers: Vec<IpAddr> = default.map(|route| route.via).collect();
    if !routers.is_empty() {
        return routers;
    }
    network.map(execute::gateways).into_iter().flatten().map(|gateway| gateway.addr()).take(1).collect()
}

/// How an uplink is now, of which there is this link; or that there `is_none` by rights.
pub(super) const fn uplink_state(link: Option<&Link>, is_none: bool) -> &'static str {
    let [up, down, gone, none] = UPLINK_STATES;
    match link {
        None if is_none => none,
        None => gone,
        Some(link) if link.up => up,
        Some(_) => down,
    }
}

/// What programs read of these endpoints.
fn records(endpoints: &[(u32, Described)]) -> Vec<(u32, Endpoint)> {
    endpoints.iter().map(|(ifindex, endpoint)| (*ifindex, endpoint.record)).collect()
}

/// Flows by state beside what is allowed.
#[must_use]
pub(super) fn flow_counts(usage: Usage, limit: u32) -> FlowCounts {
    let Usage { half_open, established, closing } = usage;
    FlowCounts { half_open, established, closing, limit }
}

/// The error that nothing is up for a namespace.
#[must_use]
pub fn not_up(target: &TargetRef, state: Option<&State>) -> Error {
    let error = Error::new(Kind::NotFound, "find", format!("endpoint {}", target.label()), "it is not up");
    let names = state.map(State::names).unwrap_or_default();
    error.remedy(match target.name().and_then(|name| netns::nearest(name.as_str(), &names)) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => "`fwd ls` shows what is up".into(),
    })
}

/// What to say of interfaces that are there without records, where nothing seems to be up: the pins were removed, or the bpffs was
/// unmounted. A copy of the mount in another namespace may keep their programs.
///
/// # Errors
/// The maps or the kernel cannot be read.
pub fn lost(at: &HostNetns) -> Result<Vec<String>> {
    if at.dataplane()?.is_some() {
        return Ok(Vec::new());
    }
    let owner = Owner(at.run_dir.owner()?);
    let ours = |link: &Link| owner.has_bridge(link) || owner.has_veth(link);
    let names: Vec<_> = Netlink::here()?.links()?.into_iter().filter(ours).map(|link| link.name).collect();
    let what = format!("the records of {} are lost, as when the bpffs was unmounted", names.join(", "));
    let remedy = "`fwd up` for a namespace makes its records anew, `fwd down --all` takes everything down";
    Ok(if names.is_empty() { Vec::new() } else { vec![format!("{what}: {remedy}")] })
}
