//! What an endpoint that comes has to know of all the others. Of a thousand endpoints nearly all are as they should be: who is not is found
//! once, and not for each that comes.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    net::IpAddr,
};

use crate::{Actual, Bridging, EndpointRecord, object::HostSide};
use fwd_kernel::netlink::Mac;

/// The endpoints that may be gone, or lack something at the bridge of their network. While others come, nobody is added to them.
pub(super) struct Others {
    /// By the ifindexes of their host-side veths.
    suspects: BTreeSet<u32>,
}

impl Others {
    pub(super) fn of(actual: &Actual) -> Self {
        let is_whole = whole(actual);
        let endpoints = actual.records.endpoints.iter().filter(|it| !actual.is_out_of_scope(it));
        Self { suspects: endpoints.filter(|it| !is_whole(it)).map(|it| it.index).collect() }
    }

    /// Of the endpoints that there are now, those that may be gone or lack something: whether they do has to be looked at.
    pub(super) fn suspects<'a>(&'a self, actual: &'a Actual) -> impl Iterator<Item = &'a EndpointRecord> + Clone {
        let endpoints = if self.suspects.is_empty() { &[][..] } else { &actual.records.endpoints };
        endpoints.iter().filter(|endpoint| self.suspects.contains(&endpoint.index))
    }
}

/// Tells the endpoints that have their host-side veth, and all that makes it a port of their bridge, or else a neighbour there.
fn whole(actual: &Actual) -> impl Fn(&EndpointRecord) -> bool + use<'_> {
    let host = &actual.host;
    let networks = actual.records.networks.iter().filter_map(|network| {
        let bridge = actual.bridge_of(network).filter(|link| host.net.link(&network.bridge) == Some(link))?;
        Some((network.name.as_str(), (bridge.index, network.treatment.bridging)))
    });
    let bridges: BTreeMap<&str, (u32, Bridging)> = networks.collect();
    let fdb: HashSet<(u32, Mac)> =
        host.fdb.iter().filter(|entry| entry.fixed).map(|entry| (entry.port, entry.mac)).collect();
    let permanent = host.net.neighbours.iter().filter(|neighbour| neighbour.permanent);
    let neighbours: HashSet<(u32, IpAddr, Option<Mac>)> =
        permanent.map(|neighbour| (neighbour.ifindex, neighbour.address, neighbour.mac)).collect();
    move |endpoint| {
        let Some(&(bridge, bridging)) = bridges.get(endpoint.network.as_str()) else { return false };
        let is_port = match (host.net.by_index(endpoint.index), bridging) {
            (None, _) => false,
            (Some(link), Bridging::Ports) => {
                link.controller == Some(bridge) && fdb.contains(&(endpoint.index, endpoint.mac))
            }
            (Some(link), Bridging::None) => HostSide::is_closed(host, link),
        };
        is_port
            && actual.is_live(endpoint)
            && bridge == endpoint.network_index
            && endpoint.addresses().all(|address| neighbours.contains(&(bridge, address, Some(endpoint.mac))))
    }
}
