//! `fwd inspect --if`: what an interface is, and what is at its other end.

use std::{cell::OnceCell, collections::BTreeMap};

use super::{HostNetns, State, namespace};
use crate::execute::open_target;
use fwd_base::{Error, Kind, Result, text::mac};
use fwd_dataplane::Described;
use fwd_kernel::{
    netlink::{Link, Netlink},
    netns::{self, Listed, Name, Netns},
};
use fwd_plan::TargetRef;
use fwd_render::{InterfaceView, PeerView, PortView};

/// The interface `ifname` of the host, or of the namespace given.
///
/// # Errors
/// There is no such interface, or the kernel refuses.
pub fn view(at: &HostNetns, state: Option<&State>, ifname: &str, target: Option<&TargetRef>) -> Result<InterfaceView> {
    let opened = target.map(open_target).transpose()?;
    let ns = opened.as_ref().unwrap_or(&at.host);
    let finder = Finder::new(at, ns)?;
    let links = finder.netlink.links()?;
    let link = links.iter().find(|link| link.name == ifname).ok_or_else(|| absent(ifname, target, &links))?;
    let inode = ns.inode()?;
    let ports = match link.kind.as_deref() {
        Some("bridge") => finder.netlink.bridge_ports(link.index)?,
        _ => Vec::new(),
    };
    let (cookie, in_host) = (ns.cookie()?, ns.is_same(&at.host)?);
    let owner = |link: &Link| state.and_then(|state| owner(state, link, cookie, in_host));
    let port = |port: &Link| {
        let addresses = match (state, owner(port)) {
            (Some(_), Some((_, endpoint))) => endpoint.metadata.addresses,
            _ => Vec::new(),
        };
        Ok(PortView { ifname: port.name.clone().into(), ifindex: port.index, peer: finder.peer(port)?, addresses })
    };
    let endpoint = match (state, owner(link)) {
        (Some(state), Some((ifindex, endpoint))) => Some(state.view(ifindex, &endpoint)?),
        _ => None,
    };
    Ok(InterfaceView {
        ifname: link.name.clone().into(),
        ifindex: link.index,
        kind: link.kind.clone(),
        ns: finder.name_of(inode).map(Into::into),
        netns_inode: inode,
        host: in_host,
        mac: link.mac.map(mac),
        mtu: link.mtu,
        up: link.up,
        alias: link.alias.clone().map(Into::into),
        addresses: finder.netlink.addresses(Some(link.index))?.into_iter().map(|(_, address)| address).collect(),
        controller: link
            .controller
            .and_then(|index| links.iter().find(|link| link.index == index))
            .map(|link| link.name.clone().into()),
        peer: finder.peer(link)?,
        ports: ports.iter().map(port).collect::<Result<_>>()?,
        endpoint,
    })
}

/// The endpoint that a link belongs to: as its host-side veth, or as its interface inside.
fn owner(state: &State, link: &Link, cookie: u64, in_host: bool) -> Option<(u32, Described)> {
    let is_part = |(ifindex, endpoint): &&(u32, Described)| {
        // Numbers of namespaces and of interfaces are given anew; the cookie is not, and the kernel tells whether the host-side veth is
        // still the one that was recorded.
        let Some(host_veth) = state.host_veth(*ifindex) else { return false };
        let inside =
            endpoint.record.netns_cookie == cookie && link.peer == Some(*ifindex) && host_veth.peer == Some(link.index);
        inside || (in_host && *ifindex == link.index)
    };
    state.endpoints.iter().find(is_part).cloned()
}

fn absent(ifname: &str, target: Option<&TargetRef>, links: &[Link]) -> Error {
    let place = target.map_or_else(|| "the host".into(), |target| format!("namespace {}", target.label()));
    let names: Vec<_> = links.iter().map(|link| link.name.as_str()).collect();
    Error::new(Kind::NotFound, "inspect", format!("interface {ifname}"), format!("there is none in {place}"))
        .remedy(format!("ip -br link  (interfaces there: {})", names.join(", ")))
}

/// Finds other ends of veth pairs, as seen from one namespace.
pub struct Finder {
    /// The links of that namespace.
    pub netlink: Netlink,
    inode: u64,
    /// Every namespace that was found. None is held open: there may be more of them than a process may have files.
    candidates: Vec<Listed>,
    /// Candidates by the ids that the namespace has for them.
    ids: OnceCell<BTreeMap<i32, usize>>,
}

impl Finder {
    /// A finder that sees what `ns` sees.
    ///
    /// # Errors
    /// The namespaces of the machine cannot be listed.
    pub fn new(at: &HostNetns, ns: &Netns) -> Result<Self> {
        let candidates = netns::list_all(&at.host, &at.caller)?;
        Ok(Self { netlink: Netlink::open(ns)?, inode: ns.inode()?, candidates, ids: OnceCell::new() })
    }

    /// The name of a namespace.
    fn name_of(&self, inode: u64) -> Option<String> {
        name(self.candidates.iter().find(|listed| listed.inode == inode)?)
    }

    /// The namespace and the link at the other end of `link`, if it is of a pair whose other end can be found.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn other_end(&self, link: &Link) -> Result<Option<(Netns, &Listed, Link)>> {
        let Some(index) = link.peer.filter(|_| link.is_of_pair()) else { return Ok(None) };
        let found = match link.peer_netnsid {
            None => self.candidates.iter().position(|listed| listed.inode == self.inode),
            Some(id) => self.ids()?.get(&id).copied(),
        };
        let Some(listed) = found.and_then(|position| self.candidates.get(position)) else { return Ok(None) };
        // It may have gone meanwhile.
        let Some(ns) = open(listed) else { return Ok(None) };
        Ok(Netlink::open(&ns)?.link_by_index(index)?.map(|other| (ns, listed, other)))
    }

    /// The ids that the namespace has for the candidates: each is opened once to ask.
    fn ids(&self) -> Result<&BTreeMap<i32, usize>> {
        if let Some(ids) = self.ids.get() {
            return Ok(ids);
        }
        let mut ids = BTreeMap::new();
        for (position, listed) in self.candidates.iter().enumerate() {
            // One that goes away meanwhile, or may not be opened, is no candidate.
            let Some(ns) = open(listed) else { continue };
            if let Some(id) = self.netlink.id_of(&ns)? {
                ids.insert(id, position);
            }
        }
        Ok(self.ids.get_or_init(|| ids))
    }

    /// The other end of `link`, as it is shown.
    fn peer(&self, link: &Link) -> Result<Option<PeerView>> {
        let Some((_, listed, other)) = self.other_end(link)? else { return Ok(None) };
        Ok(Some(PeerView {
            ifname: other.name.into(),
            ifindex: other.index,
            netns_inode: listed.inode,
            ns: name(listed).map(Into::into),
            example: listed.example.as_ref().map(namespace::process),
            host: listed.is_host,
        }))
    }
}

/// The first name of a namespace; what follows the names are paths.
#[must_use]
pub fn name(listed: &Listed) -> Option<String> {
    listed.is_named().then(|| listed.names.first().cloned()).flatten()
}

/// Opens a listed namespace by its names, its paths or its example process, if it is still the one listed.
fn open(listed: &Listed) -> Option<Netns> {
    let by_name = listed.names.iter().filter_map(|name| match Name::try_from(name.as_str()) {
        Ok(name) => Netns::open_named(&name).ok(),
        Err(_) => Netns::open_path(name.as_ref()).ok(),
    });
    let by_process = listed.example.iter().filter_map(|process| Netns::open_pid(process.pid).ok());
    by_name.chain(by_process).find(|ns| ns.inode().is_ok_and(|inode| inode == listed.inode))
}
