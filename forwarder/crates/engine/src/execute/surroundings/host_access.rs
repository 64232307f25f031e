//! Which cgroup's processes reach published ports by the host's own addresses, and what addresses those are.

use std::{collections::BTreeMap, net::IpAddr};

use forwarder_common::decide::unsolicited::publish::{is_host_address, is_host_address_v6};

use crate::execute::{HostContext, gathered::Gathered};
use fwd_base::Result;
use fwd_dataplane::{Dataplane, Publication, SOCKET_ADDRESSES, Support};
use fwd_kernel::{cgroup, netlink::Netlink};
use fwd_plan::{Cgroup, Records};

impl Gathered {
    /// Looks for the cgroup, where ports are to be published (`wanted`) or it is named, and for what keeps its processes from them.
    ///
    /// # Errors
    /// The one that is named is none.
    pub(in crate::execute) fn host_access(&mut self, context: &HostContext, wanted: bool) -> Result<()> {
        let actual = &mut self.actual;
        if let Some(path) = &context.cgroup {
            actual.host.cgroup = Some(Cgroup { path: path.clone(), id: cgroup::id(path)?, asked: true });
        } else if wanted || actual.records.host_attached {
            let root = cgroup::root()?;
            let root = root.map(|path| Ok(Cgroup { id: cgroup::id(&path)?, path, asked: false })).transpose()?;
            actual.host.cgroup = root;
        }
        if !wanted || actual.records.host_cgroup.is_some() {
            return Ok(());
        }
        actual.no_host_access = match (SOCKET_ADDRESSES.support(), &actual.host.cgroup) {
            (Support::Supported, Some(_)) => None,
            (Support::Supported, None) => {
                Some("no root of cgroup2 is mounted here (--cgroup names another cgroup)".into())
            }
            (Support::Unsupported, _) => Some(SOCKET_ADDRESSES.absence()),
            (Support::Unknown(answer), _) => {
                Some(format!("the kernel was asked for {}: {answer}", SOCKET_ADDRESSES.name))
            }
        };
        Ok(())
    }
}

/// Addresses of the host that others may send to, and the interface of each.
///
/// # Errors
/// The kernel refuses.
fn addresses(netlink: &Netlink) -> Result<BTreeMap<IpAddr, u32>> {
    let found = netlink.addresses(None)?.into_iter().map(|(ifindex, address)| (address.addr(), ifindex));
    let is_one = |address: &IpAddr| match address {
        IpAddr::V4(address) => is_host_address(address.octets()),
        IpAddr::V6(address) => is_host_address_v6(address.octets()),
    };
    Ok(found.filter(|(address, _)| is_one(address)).collect())
}

/// Tells the programs what addresses the host has, as it is now, where they ask for that.
///
/// # Errors
/// They cannot be read, or the map cannot be written.
pub(in crate::execute) fn follow_addresses(plane: Option<&Dataplane>, netlink: &Netlink) -> Result<()> {
    match plane {
        Some(plane) if plane.asks_for_host_addresses()? => plane.set_host_addresses(&addresses(netlink)?),
        _ => Ok(()),
    }
}

/// By what programs of the host do not reach published ports, although they are to.
///
/// # Errors
/// The map or the addresses cannot be read.
pub(super) fn problem(plane: &Dataplane, records: &Records) -> Result<Option<String>> {
    let by_kernel = |it: &Publication| {
        let endpoint = records.endpoints.iter().find(|endpoint| endpoint.index == it.endpoint);
        let network = endpoint.and_then(|it| records.networks.iter().find(|network| network.name == it.network));
        network.is_some_and(|network| !network.datapath.is_ebpf())
    };
    if records.publications.iter().all(by_kernel) {
        return Ok(None);
    }
    if records.host_cgroup.is_none() {
        let why = if records.host_attached {
            "the cgroup was removed that programs for that were attached to, or a command was interrupted; `fwd port add` and `fwd up -p` attach \
                them again, to the root of cgroup2 or what --cgroup names"
        } else {
            "no programs for that are attached to a cgroup, which `fwd port add` and `fwd up -p` do where the kernel has them and cgroup2 is \
                mounted"
        };
        return Ok(Some(format!(
            "programs of the host reach published ports by the namespace's own address alone: {why}"
        )));
    }
    let known = plane.host_addresses()?;
    let new = addresses(&Netlink::here()?)?.into_keys().filter(|address| !known.contains_key(address));
    let new: Vec<String> = new.map(|address| address.to_string()).collect();
    Ok((!new.is_empty()).then(|| {
        let new = new.join(", ");
        format!(
            "the host has got addresses by which its own programs do not reach published ports yet ({new}): any `fwd up` reads them again"
        )
    }))
}
