//! Ports that are published for an endpoint that is up, and ports that are withdrawn.

use super::{
    Plan,
    mend::{self, Mended},
};
use ipnet::IpNet;

use fwd_base::text::word;

use crate::{
    Action, Actual, EndpointRecord, Object, Op, PortRequest,
    desired::Asked,
    families::main_of,
    object, orphans,
    published::{self, Publisher},
    refuse::refuse_others,
    settled::Settled,
};
use fwd_base::{Error, Kind, Result};
use fwd_dataplane::PublishedPorts;
use fwd_kernel::netlink::Interface;

/// Decides what has to be done about the ports of one endpoint. What is published already is not published again.
///
/// # Errors
/// It is not up; a port is somebody else's; one that is to be withdrawn is not published for it.
pub fn plan_ports(request: &PortRequest, actual: &Actual) -> Result<Plan> {
    let PortRequest { target, ifname, add, remove } = request;
    refuse_others(&actual.records.others, "publish ports of")?;
    let interface = ifname.as_ref().map(|ifname| format!("{ifname} of ")).unwrap_or_default();
    let option = ifname.as_ref().map(|ifname| format!(" --ifname {}", word(ifname))).unwrap_or_default();
    let not_up =
        || Error::new(Kind::NotFound, "find", format!("endpoint {interface}{}", target.label()), "it is not up");
    let endpoint = actual
        .attached()
        .ok_or_else(|| not_up().remedy(format!("bring it up first: `fwd up {}{option}`", target.option())))?;
    let network = actual.network_of(endpoint).ok_or_else(not_up)?;
    let Mended { mut ops, actual, .. } = mend::ways(actual);
    let (mends, actual) = (ops.len(), &*actual);
    for ports in remove {
        let found =
            actual.published_by(endpoint).find(|it| it.ports.for_all() == ports.for_all()).ok_or_else(|| {
                let why = format!("it does not lead to {}", endpoint.label());
                Error::new(Kind::NotFound, "withdraw", format!("port {ports}"), why)
                    .remedy(format!("`fwd port ls {}` lists those that do", target.option()))
            })?;
        ops.push(Op::remove(Object::Published(object::Published::of(found, &endpoint.host_if, actual))));
    }
    let rest = actual.after(ops.get(mends..).unwrap_or_default()).into_owned();
    let publisher = Publisher {
        index: Some(endpoint.index),
        network: &network.name,
        datapath: network.datapath,
        internal: network.treatment.internal,
        ipv4: endpoint.address.is_some(),
        ipv6: endpoint.address6.is_some(),
        announced: endpoint.announced(),
    };
    published::check(add, &publisher, &rest)?;
    ops.extend(in_the_way(&rest, add).map(Op::remove));
    let by_programs = !add.is_empty() && network.datapath.is_ebpf();
    let access = if by_programs { published::host_access(&rest)? } else { None };
    ops.extend(access.filter(|object| !rest.has(object)).map(Op::make));
    let host_if = actual.host.net.name_of(endpoint.index);
    let recorded = Some((endpoint.index, endpoint.cookie));
    let kernel = actual.kernel_ports(endpoint);
    let publish = |ports: &PublishedPorts| {
        let (host_if, kernel) = (host_if.clone(), kernel.clone());
        object::Published { host_if, recorded, ports: *ports, kernel }
    };
    let objects = add.iter().map(publish);
    ops.extend(objects.map(Object::Published).filter(|object| !rest.has(object)).map(Op::make));
    ops.extend(unused_access(&actual.after(ops.get(mends..).unwrap_or_default())).map(Op::remove));
    let uplink = actual.host.net.by_index(endpoint.uplink);
    let uplink = uplink.filter(|_| !add.is_empty()).map(|link| Interface { name: &link.name, index: link.index });
    let mut warnings: Vec<String> =
        uplink.and_then(|uplink| actual.host.surroundings.passed_by_ports(uplink)).into_iter().collect();
    warnings.extend(published::without_access(actual).filter(|_| by_programs));
    let apart = published::apart_from_neighbours(actual, network.datapath, network.treatment);
    warnings.extend(apart.filter(|_| !add.is_empty()));
    warnings.extend(published::not_by_tunnels(actual, network.datapath, network.by_ipv6(), add));
    let at = (endpoint.id.ifname.as_str(), endpoint.main_address());
    let gateway = main_of(network.gateways().map(|gateway| gateway.addr()));
    warnings.extend(published::answered_elsewhere(add, endpoint.no_default_route, at, gateway));
    Ok(Plan { ops, mends, warnings, ..Plan::default() })
}

/// The programs of the host's own access, where nothing is published any more.
pub(crate) fn unused_access(actual: &Actual) -> Option<Object> {
    let records = &actual.records;
    let unused = records.host_attached && !records.publications.iter().any(|it| actual.is_by_programs(it));
    unused.then(|| attached_access(actual))
}

/// The programs of the host's own access where nobody publishes any more after `ops`. Only who withdraws ports has to look at what there is
/// then: it would be copied for each of a thousand endpoints.
pub(crate) fn access_without_use(actual: &Actual, ops: &[Op], publishes: bool) -> Option<Object> {
    let withdraws = |op: &Op| op.action == Action::Remove && matches!(op.object, Object::Published(_));
    match () {
        () if publishes || !actual.records.host_attached => None,
        () if ops.iter().any(withdraws) => unused_access(&actual.after(ops)),
        () => unused_access(actual),
    }
}

/// Those programs, to be detached.
pub(crate) fn attached_access(actual: &Actual) -> Object {
    let id = actual.records.host_cgroup.unwrap_or_default();
    let path = actual.host.cgroup.as_ref().filter(|cgroup| cgroup.id == id).map(|cgroup| cgroup.path.clone());
    Object::HostAccess(object::HostAccess { path: path.unwrap_or_default(), id })
}

/// What endpoints that are gone have left of these ports.
pub(crate) fn in_the_way<'a>(
    actual: &'a Actual,
    ports: &'a [PublishedPorts],
) -> impl Iterator<Item = Object> + use<'a> {
    let wanted = |it: &&fwd_dataplane::Publication| ports.iter().any(|ports| ports.overlap(&it.ports));
    let left = actual.records.publications.iter().filter(wanted).filter(|it| actual.publisher(it).is_none());
    left.map(|it| Object::Published(object::Published::of(it, &orphans::former_name(actual, it.endpoint), actual)))
}

/// The ports that a former endpoint of the target has published in the same network, and which nobody else has by now.
pub(crate) fn kept(actual: &Actual, former: &[EndpointRecord], settled: &Settled) -> Vec<PublishedPorts> {
    let cookie = actual.target_netns().map(|inside| inside.cookie);
    let same = former.iter().filter(|it| Some(it.cookie) == cookie && it.network == settled.network.name);
    let kept = same.flat_map(|endpoint| actual.published_by(endpoint)).map(|it| it.ports);
    let of_others = actual.records.publications.iter().filter(|it| actual.publisher(it).is_some());
    let taken: Vec<_> = settled.publish.iter().copied().chain(of_others.map(|it| it.ports)).collect();
    kept.filter(|ports| !taken.iter().any(|other| other.overlap(ports))).collect()
}

/// Ports that are published for the target and are not to be, where its ports are asked for to the last.
pub(crate) fn withdrawn(asked: &Asked, actual: &Actual) -> Vec<Object> {
    let endpoint = actual.attached().filter(|_| asked.no_others);
    endpoint.map(|endpoint| unwanted(asked, endpoint, actual)).unwrap_or_default()
}

/// Ports that are published for an endpoint, and are not asked for.
pub(crate) fn unwanted(asked: &Asked, endpoint: &EndpointRecord, actual: &Actual) -> Vec<Object> {
    let wanted = &asked.options.publish;
    let is_unwanted = |object: &Object| !matches!(object, Object::Published(it) if wanted.contains(&it.ports));
    orphans::published(actual, endpoint).filter(is_unwanted).collect()
}

/// The ports that lead to the endpoint: last, when it can answer.
pub(crate) fn published(settled: &Settled) -> impl Iterator<Item = Object> {
    let Settled { network, endpoint, publish, .. } = settled;
    let kernel = (!network.datapath.is_ebpf()).then(|| object::KernelPorts {
        network: network.name.clone(),
        bridge: network.bridge.clone(),
        addresses: settled.address().map(IpNet::from).into_iter().chain(settled.address6().map(IpNet::from)).collect(),
        uplink: network.uplink.as_ref().filter(|_| network.treatment.bound).map(|uplink| uplink.name.clone()),
    });
    publish.iter().map(move |ports| {
        let (host_if, kernel) = (endpoint.host_if.clone(), kernel.clone());
        Object::Published(object::Published { host_if, recorded: None, ports: *ports, kernel })
    })
}

impl Actual {
    /// Whether programs lead to whom has published these ports, and not the kernel's own NAT.
    #[must_use]
    pub fn is_by_programs(&self, publication: &fwd_dataplane::Publication) -> bool {
        let mut endpoints = self.records.endpoints.iter();
        let endpoint = endpoints.find(|it| it.index == publication.endpoint && it.cookie == publication.cookie);
        endpoint.is_none_or(|endpoint| self.kernel_ports(endpoint).is_none())
    }
}
