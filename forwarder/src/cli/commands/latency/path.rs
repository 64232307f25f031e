//! Where a path begins and ends.

use ipnet::IpNet;

use super::{args::LatencyArgs, names};
use crate::{
    Error, Kind, Result,
    cli::{session::Session, target},
    execute::open_target,
    netlink::{Link, Netlink},
    netns::{self, Netns},
    query::{
        State,
        interface::{Finder, name},
        not_up,
    },
    reconcile::TargetRef,
    render::{EndpointView, LatencyPathView},
};

/// A path that can be measured.
pub(super) struct MeasuredPath {
    /// The namespace, if its interface is reached inside; none where it is the host-side veth.
    pub(super) inside: Option<Netns>,
    /// That interface.
    pub(super) ifindex: u32,
    /// Its name.
    pub(super) ifname: String,
    /// The uplink.
    pub(super) uplink: u32,
    /// Its name.
    pub(super) uplink_name: String,
    /// Addresses inside, with their networks.
    pub(super) addresses: Vec<IpNet>,
    /// Name of the namespace.
    ns: Option<String>,
    /// Network and data path, of an endpoint.
    endpoint: Option<(String, String)>,
}

impl MeasuredPath {
    /// It as it is shown, without figures.
    pub(super) fn view(&self) -> LatencyPathView {
        let (network, datapath) = self.endpoint.clone().unzip();
        LatencyPathView {
            network: network.map(Into::into),
            ns: self.ns.clone().map(Into::into),
            interface: self.ifname.clone().into(),
            inside: self.inside.is_some(),
            uplink: self.uplink_name.clone().into(),
            datapath,
            out: crate::render::LatencyWay::new(&crate::latency::Distribution::default(), true),
            back: crate::render::LatencyWay::new(&crate::latency::Distribution::default(), false),
        }
    }
}

/// The paths that the user asks for, and what to know about them.
pub(super) fn find(session: &Session<'_, '_>, args: &LatencyArgs) -> Result<(Vec<MeasuredPath>, Vec<String>)> {
    let target = target::given(&args.target)?;
    match (&args.uplink, &args.host_if, target) {
        (Some(uplink), Some(host_if), _) => Ok((vec![by_host_veth(session, host_if, uplink)?], Vec::new())),
        (Some(uplink), None, Some(target)) => Ok((vec![by_namespace(session, &target, uplink)?], Vec::new())),
        (_, _, target) => endpoints(session, target.as_ref()),
    }
}

/// The endpoints of fwd: those of one namespace, or all.
fn endpoints(session: &Session<'_, '_>, target: Option<&TargetRef>) -> Result<(Vec<MeasuredPath>, Vec<String>)> {
    let state = State::read(&session.at)?;
    let found = match (&state, target) {
        (Some(state), Some(target)) => state.of(target).map_err(by_hand)?,
        (Some(state), None) => state.endpoints.clone(),
        (None, Some(target)) => return Err(by_hand(not_up(target, None))),
        (None, None) => Vec::new(),
    };
    let Some(state) = state.filter(|_| !found.is_empty()) else {
        let error = Error::new(Kind::NotFound, "find", "a path to measure", "nothing is up");
        let remedy = "`fwd up --ns NAME` makes one; for one that fwd did not make: --host-if IFNAME --uplink IFNAME";
        return Err(error.remedy(remedy));
    };
    let finder = Finder::new(&session.at, &session.at.host)?;
    // The namespace of each path is held open.
    netns::allow_many_files();
    let (mut paths, mut warnings) = (Vec::new(), Vec::new());
    for (ifindex, endpoint) in found {
        let view = state.view(ifindex, &endpoint)?;
        let label = match &view.ns {
            Some(_) => view.place(),
            None => format!("the endpoint at {}", view.host_if),
        };
        let other = match state.host_veth(ifindex) {
            Some(link) => finder.other_end(link)?,
            None => None,
        };
        if view.datapath == "xdp" {
            warnings.push(format!(
                "{label}: what XDP redirects passes no place where it could be timed; only packets that take the slower way count"
            ));
        }
        if let Some(why) = left_out(&view, state.uplink(&endpoint).is_some()) {
            warnings.push(format!("{label} is left out: {why}"));
            continue;
        }
        let Some((ns, _, inner)) = other else {
            warnings.push(format!("{label} is left out: its namespace cannot be opened from here"));
            continue;
        };
        paths.push(MeasuredPath {
            inside: Some(ns),
            ifindex: inner.index,
            ifname: inner.name,
            uplink: endpoint.record.uplink,
            uplink_name: view.uplink.exact().to_owned(),
            addresses: view.addresses.clone(),
            ns: view.ns.map(|ns| ns.exact().to_owned()),
            endpoint: Some((view.network.exact().to_owned(), view.datapath)),
        });
    }
    if paths.is_empty() {
        let why = "no namespace can be opened from here, or they have no uplink";
        let error = Error::new(Kind::Failed, "measure", "the endpoints of this host", why);
        return Err(error.remedy("`fwd ls` shows them"));
    }
    Ok((paths, warnings))
}

/// Why an endpoint cannot be measured, if so; `leaves` says whether its uplink is there.
fn left_out(view: &EndpointView, leaves: bool) -> Option<String> {
    if view.policy.internal {
        return Some("its network is internal".into());
    }
    (!leaves).then(|| format!("its uplink {} has gone", view.uplink))
}

/// Adds how to measure a path of another maker.
fn by_hand(error: Error) -> Error {
    let remedy = error.remedy.clone().unwrap_or_default();
    error.remedy(format!("{remedy}; for a path that fwd did not make, name its uplink: --uplink IFNAME"))
}

/// A path by the host-side veth of its veth pair.
fn by_host_veth(session: &Session<'_, '_>, host_if: &str, uplink: &str) -> Result<MeasuredPath> {
    let finder = Finder::new(&session.at, &session.at.host)?;
    let uplink = link_of_host(&finder.netlink, uplink)?;
    let link = link_of_host(&finder.netlink, host_if)?;
    Ok(match finder.other_end(&link)? {
        Some((ns, listed, inner)) => inner_path(&ns, inner, uplink, name(listed))?,
        None => MeasuredPath {
            inside: None,
            ifindex: link.index,
            ifname: link.name,
            uplink: uplink.index,
            uplink_name: uplink.name,
            addresses: Vec::new(),
            ns: None,
            endpoint: None,
        },
    })
}

/// A path by its namespace: from the interface whose other end is on the host.
fn by_namespace(session: &Session<'_, '_>, target: &TargetRef, uplink: &str) -> Result<MeasuredPath> {
    let ns = open_target(target)?;
    let uplink = link_of_host(&Netlink::here()?, uplink)?;
    let host = session.at.host.inode()?;
    let finder = Finder::new(&session.at, &ns)?;
    let links = finder.netlink.links()?;
    let mut found = Vec::new();
    for link in &links {
        if finder.other_end(link)?.is_some_and(|(_, listed, _)| listed.inode == host) {
            found.push(link.clone());
        }
    }
    let label = target.label();
    let error = |why: String, remedy: String| {
        Err(Error::new(Kind::NotFound, "measure", format!("namespace {label}"), why).remedy(remedy))
    };
    match found.as_slice() {
        [link] => inner_path(&ns, link.clone(), uplink, target.name().map(ToString::to_string)),
        [] => error(
            "none of its interfaces is a veth whose other end is on this host".into(),
            format!("interfaces there: {}; name the host-side veth: --host-if IFNAME", names(&finder.netlink)?),
        ),
        several => {
            let list = several.iter().map(|link| link.name.as_str()).collect::<Vec<_>>().join(", ");
            error(
                format!("it is connected to this host by {list}"),
                "name the host-side veth of one: --host-if IFNAME".into(),
            )
        }
    }
}

/// A path from an interface inside.
fn inner_path(ns: &Netns, inner: Link, uplink: Link, name: Option<String>) -> Result<MeasuredPath> {
    let addresses = Netlink::open(ns)?.addresses(Some(inner.index))?;
    Ok(MeasuredPath {
        inside: Some(ns.try_clone()?),
        ifindex: inner.index,
        ifname: inner.name,
        uplink: uplink.index,
        uplink_name: uplink.name,
        addresses: addresses.into_iter().map(|(_, address)| address).collect(),
        ns: name,
        endpoint: None,
    })
}

fn link_of_host(netlink: &Netlink, ifname: &str) -> Result<Link> {
    if let Some(link) = netlink.link(ifname)? {
        return Ok(link);
    }
    let error = Error::new(Kind::NotFound, "measure at", format!("interface {ifname}"), "there is none on this host");
    Err(error.remedy(format!("ip -br link  (interfaces here: {})", names(netlink)?)))
}
