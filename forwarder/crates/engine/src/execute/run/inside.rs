//! What is inside the namespace of an endpoint.

use std::{collections::btree_map::Entry, net::Ipv4Addr};

use ipnet::Ipv4Net;

use super::{Execute, Runner, not_opened};
use fwd_base::{Error, Kind, Result};
use fwd_kernel::{
    netlink::{self, Netlink},
    sysctl,
};
use fwd_plan::{
    TargetRef,
    object::{Loopback, NsAddress, NsDefaultRoute, NsIpv6, NsLinkUp, NsNeighbour, NsOffloads, NsRoute},
};

/// What the kernel puts on every `lo` that comes up (`inetdev_event` in net/ipv4/devinet.c).
const LOOPBACK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::LOCALHOST, 8);

impl Execute for Loopback {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.within(&self.ns, "lo", |netlink, lo| netlink.set_up(lo))
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.within(&self.ns, "lo", |netlink, lo| {
            netlink.set_down(lo)?;
            // The kernel gave it this address when it came up, and leaves it there.
            match netlink.del_address(lo, LOOPBACK.into()) {
                Err(error) if error.kind == Kind::NotFound => Ok(()),
                result => result,
            }
        })
    }
}

impl Execute for NsIpv6 {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        let set = || Self::settings(&self.ns_if).iter().try_for_each(|(path, value)| sysctl::write(path, value));
        runner.namespace(&self.ns)?.run(set)
    }

    fn remove(&self, _: &mut Runner<'_>) -> Result<()> {
        // They go with the interface.
        Ok(())
    }
}

impl Execute for NsAddress {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.within(&self.ns, &self.ns_if, |netlink, link| netlink.add_address(link, self.address))
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.within(&self.ns, &self.ns_if, |netlink, link| netlink.del_address(link, self.address))
    }
}

impl Execute for NsLinkUp {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.within(&self.ns, &self.ns_if, |netlink, link| netlink.set_up(link))?;
        runner.connected.insert(self.host_if.clone());
        Ok(())
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.within(&self.ns, &self.ns_if, |netlink, link| netlink.set_down(link))
    }
}

impl Execute for NsOffloads {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        netlink::prepare_for_xdp(runner.namespace(&self.ns)?, &self.ns_if)
    }

    fn remove(&self, _: &mut Runner<'_>) -> Result<()> {
        // They go with the interface.
        Ok(())
    }
}

impl Execute for NsDefaultRoute {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.within(&self.ns, &self.ns_if, |netlink, link| {
            netlink.add_route_by(self.destination(), link, self.gateway, self.metric)
        })
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.within(&self.ns, &self.ns_if, |netlink, link| {
            netlink.del_route_by(self.destination(), link, self.gateway, self.metric)
        })
    }
}

impl Execute for NsRoute {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.within(&self.ns, &self.ns_if, |netlink, link| netlink.add_route_by(self.to, link, self.via, None))
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.within(&self.ns, &self.ns_if, |netlink, link| netlink.del_route_by(self.to, link, self.via, None))
    }
}

impl Execute for NsNeighbour {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        let (gateway, mac) = (self.gateway, self.mac);
        runner.within(&self.ns, &self.ns_if, |netlink, link| netlink.replace_neighbour(link, gateway, mac))
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.within(&self.ns, &self.ns_if, |netlink, link| netlink.del_neighbour(link, self.gateway))
    }
}

impl Runner<'_> {
    /// Works on an interface inside a namespace.
    pub(super) fn within(
        &mut self,
        ns: &TargetRef,
        ifname: &str,
        work: impl FnOnce(&Netlink, u32) -> Result<()>,
    ) -> Result<()> {
        self.connect(ns)?;
        let netlink = self.inside.get(ns).ok_or_else(|| not_opened(ns))?;
        let numbers = self.numbers_inside.entry(ns.clone()).or_default();
        work(netlink, numbers.of(ifname, || index_of(netlink, ifname))?)
    }

    /// Sees to it that there is a connection into a namespace.
    fn connect(&mut self, ns: &TargetRef) -> Result<()> {
        if let Entry::Vacant(entry) = self.inside.entry(ns.clone()) {
            let namespace = self.namespaces.get(ns).ok_or_else(|| not_opened(ns))?;
            entry.insert(Netlink::open(namespace)?);
        }
        Ok(())
    }
}

/// The number of an interface inside.
fn index_of(netlink: &Netlink, name: &str) -> Result<u32> {
    let link = netlink.link(name)?.ok_or_else(|| {
        Error::new(Kind::NotFound, "find", format!("interface {name} in the namespace"), "there is no such interface")
    })?;
    Ok(link.index)
}
