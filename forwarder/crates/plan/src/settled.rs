//! What there is to be once nothing is left open.

use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};

use super::{Actual, Concerned, Datapath, EndpointRecord, Treatment, names, uplink::Uplink};
use fwd_dataplane::{Backend, Sizes};
use fwd_kernel::netlink::{Interface, Mac};

/// Ports of one bridge (`BR_MAX_PORTS`, without port 0).
pub(super) const MOST_PORTS: usize = 1_023;

/// An endpoint and its network.
#[derive(Clone, Debug)]
pub(super) struct Settled {
    pub(super) network: Network,
    pub(super) endpoint: Endpoint,
    /// The flow table, if it is still to be made.
    pub(super) table: Sizes,
}

/// The network.
#[derive(Clone, Debug)]
pub(super) struct Network {
    pub(super) name: String,
    pub(super) bridge: String,
    pub(super) gateway: Ipv4Net,
    pub(super) mac: Mac,
    pub(super) mtu: u32,
    pub(super) datapath: Datapath,
    pub(super) uplink: Uplink,
    pub(super) last: Ipv4Addr,
    pub(super) treatment: Treatment,
}

/// The endpoint.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) host_if: String,
    pub(super) address: Ipv4Addr,
    pub(super) mac: Mac,
    pub(super) allow_spoof: bool,
    pub(super) attach: Backend,
}

impl Network {
    /// Hardware address that namespaces see the gateway have.
    pub(super) fn seen_mac(&self) -> Mac {
        if self.datapath.is_ebpf() { names::virtual_gateway_mac(self.gateway.addr()) } else { self.mac }
    }

    /// What other parts of the host do is looked at for this.
    pub(super) fn concerned<'a>(&'a self, actual: &Actual) -> Concerned<'a> {
        let host = &actual.host.net;
        let addresses = host.addresses.iter().filter(|(owner, _)| *owner == self.uplink.index);
        let v4 = |(_, address): &(u32, IpNet)| match address {
            IpNet::V4(address) => Some(address.addr()),
            IpNet::V6(_) => None,
        };
        Concerned {
            name: &self.name,
            bridge: Interface { name: &self.bridge, index: host.link(&self.bridge).map_or(0, |link| link.index) },
            subnet: self.gateway.trunc(),
            uplink: Interface { name: &self.uplink.name, index: self.uplink.index },
            addresses: addresses.filter_map(v4).collect(),
            datapath: self.datapath,
            ignore_xfrm: self.treatment.ignore_xfrm,
        }
    }
}

impl Actual {
    /// The endpoint that the target has already.
    pub(super) fn attached(&self) -> Option<&EndpointRecord> {
        let cookie = self.target_netns()?.cookie;
        self.records.endpoints.iter().find(|endpoint| endpoint.cookie == cookie && self.is_live(endpoint))
    }
}
