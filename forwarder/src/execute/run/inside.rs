//! Namespaces and what is in them.

use std::{collections::btree_map::Entry, net::Ipv4Addr};

use ipnet::Ipv4Net;

use super::{Runner, not_opened};
use crate::{
    Error, Kind, Result,
    netlink::{self, Netlink},
    netns::{Name, Netns, resolv},
    reconcile::{Object, TargetRef, Undo},
};

/// What the kernel puts on every `lo` that comes up (`inetdev_event` in net/ipv4/devinet.c).
const LOOPBACK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::LOCALHOST, 8);

impl Runner<'_> {
    /// Makes a namespace without a name, and notes it in the undo log under the one that it will have. Its cookie is nobody else's for
    /// as long as the machine runs: what is noted tells it from whatever may stand under that name later.
    pub(super) fn draft_namespace(&mut self, name: &Name) -> Result<()> {
        let ns = Netns::create(name)?;
        let entry = Undo::Netns { name: name.clone(), cookie: Some(ns.cookie()?) };
        self.log.put(&entry)?;
        self.draft = Some((ns, entry));
        Ok(())
    }

    /// Lets a namespace go that was noted and has no name.
    pub(super) fn discard_draft(&mut self) -> Result<()> {
        self.draft.take().map_or(Ok(()), |(_, entry)| self.log.remove(&entry))
    }

    /// Gives the namespace that was noted its name.
    pub(super) fn name_namespace(&mut self, name: &Name) -> Result<()> {
        let reference = TargetRef::Named(name.clone());
        let (ns, _) = self.draft.as_ref().ok_or_else(|| not_opened(&reference))?;
        ns.publish(name)?;
        self.namespaces.insert(reference, ns.try_clone()?);
        Ok(())
    }

    pub(super) fn make_inside(&mut self, object: &Object) -> Result<()> {
        match object {
            Object::Loopback { ns } => self.within(ns, "lo", |netlink, lo| netlink.set_up(lo)),
            Object::NsAddress { ns, ns_if, address } => {
                self.within(ns, ns_if, |netlink, link| netlink.add_address(link, (*address).into()))
            }
            Object::NsLinkUp { ns, ns_if } => self.within(ns, ns_if, |netlink, link| netlink.set_up(link)),
            Object::NsOffloads { ns, ns_if } => netlink::prepare_for_xdp(self.namespace(ns)?, ns_if),
            Object::NsDefaultRoute { ns, ns_if, gateway } => {
                self.within(ns, ns_if, |netlink, link| netlink.add_default_route(link, *gateway))
            }
            Object::NsNeighbour { ns, ns_if, gateway, mac } => {
                self.within(ns, ns_if, |netlink, link| netlink.replace_neighbour(link, (*gateway).into(), *mac))
            }
            Object::ResolvConf { ns, contents } => {
                self.write_resolver(ns, contents);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// What cannot be written is no reason to leave the namespace unconnected: only names are not resolved inside.
    fn write_resolver(&mut self, ns: &Name, contents: &str) {
        if let Err(error) = resolv::write(&resolv::Roots::default(), ns, contents) {
            let servers =
                contents.lines().filter(|line| line.starts_with("nameserver ")).collect::<Vec<_>>().join(", ");
            self.warnings.push(format!(
                "{error}: the host's resolver cannot be reached from inside, and nothing tells programs there to ask another ({servers})"
            ));
        }
    }

    pub(super) fn remove_inside(&mut self, object: &Object) -> Result<()> {
        match object {
            Object::Loopback { ns } => self.within(ns, "lo", |netlink, lo| {
                netlink.set_down(lo)?;
                // The kernel gave it this address when it came up, and leaves it there.
                match netlink.del_address(lo, LOOPBACK.into()) {
                    Err(error) if error.kind == Kind::NotFound => Ok(()),
                    result => result,
                }
            }),
            Object::NsAddress { ns, ns_if, address } => {
                self.within(ns, ns_if, |netlink, link| netlink.del_address(link, (*address).into()))
            }
            Object::NsLinkUp { ns, ns_if } => self.within(ns, ns_if, |netlink, link| netlink.set_down(link)),
            Object::NsDefaultRoute { ns, ns_if, gateway } => self
                .within(ns, ns_if, |netlink, link| netlink.del_route(ipnet::Ipv4Net::default(), link, Some(*gateway))),
            Object::NsNeighbour { ns, ns_if, gateway, .. } => {
                self.within(ns, ns_if, |netlink, link| netlink.del_neighbour(link, (*gateway).into()))
            }
            Object::ResolvConf { ns, .. } => resolv::remove(&resolv::Roots::default(), ns).map(drop),
            _ => Ok(()),
        }
    }

    /// Works on an interface inside a namespace.
    fn within(&mut self, ns: &TargetRef, ifname: &str, work: impl FnOnce(&Netlink, u32) -> Result<()>) -> Result<()> {
        let netlink = self.netlink_in(ns)?;
        work(netlink, index_of(netlink, ifname)?)
    }

    /// A connection into a namespace.
    pub(super) fn netlink_in(&mut self, ns: &TargetRef) -> Result<&Netlink> {
        Ok(match self.inside.entry(ns.clone()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => match self.namespaces.get(ns) {
                Some(namespace) => entry.insert(Netlink::open(namespace)?),
                None => return Err(not_opened(ns)),
            },
        })
    }
}

/// The number of an interface inside.
pub(super) fn index_of(netlink: &Netlink, name: &str) -> Result<u32> {
    let link = netlink.link(name)?.ok_or_else(|| {
        Error::new(Kind::NotFound, "find", format!("interface {name} in the namespace"), "there is no such interface")
    })?;
    Ok(link.index)
}
