//! Published ports.

mod host_access;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
};

use ipnet::{IpNet, Ipv4Net};

pub use self::host_access::HostAccess;
use super::{super::shell, Acts, Handling, Managed};
use crate::{Actual, EndpointRecord};
use fwd_dataplane::{Publication, PublishedPorts};
use fwd_kernel::netlink::nft::{PortRules, TABLE};

/// Ports of the host that lead to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Name of the endpoint's host-side veth.
    pub host_if: String,
    /// Its ifindex and the cookie of the namespace, where the endpoint has or had a record; others are looked up by the name.
    pub recorded: Option<(u32, u64)>,
    /// Which ports.
    pub ports: PublishedPorts,
    /// Where the kernel's own NAT leads to the endpoint.
    pub kernel: Option<KernelPorts>,
}

/// An endpoint of a network that the kernel forwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelPorts {
    /// Name of the network.
    pub network: String,
    /// Its bridge.
    pub bridge: String,
    /// Its addresses.
    pub subnet: Ipv4Net,
    /// The endpoint's address.
    pub address: Ipv4Addr,
}

impl KernelPorts {
    /// The rules of nftables for these ports, of IPv4 alone; `network` is what the network is called there.
    #[must_use]
    pub fn rules(&self, network: String, ports: &PublishedPorts) -> PortRules {
        let Self { network: _, bridge, subnet, address } = self.clone();
        let PublishedPorts { host, first, last, inside, transport, senders } = *ports;
        let host = host.and_then(|host| match host {
            IpAddr::V4(host) => Some(host).filter(|host| !host.is_unspecified()),
            IpAddr::V6(_) => None,
        });
        let of_ipv4 = senders.prefixes().iter().filter_map(|sender| match sender {
            IpNet::V4(sender) => Some(*sender),
            IpNet::V6(_) => None,
        });
        let (proto, senders) = ((transport.number(), transport.name()), of_ipv4.collect());
        PortRules { network, bridge, subnet, address, host, proto, first, last, inside, senders }
    }

    /// By what the rules are known, among those of this run directory.
    #[must_use]
    pub fn comment(&self, ports: &PublishedPorts) -> String {
        self.rules(self.network.clone(), ports).comment()
    }
}

impl Published {
    /// What is published, to be taken back.
    pub(crate) fn of(publication: &Publication, host_if: &str, actual: &Actual) -> Self {
        let Publication { endpoint, cookie, ports, whole: _ } = *publication;
        let record = actual.records.endpoints.iter().find(|it| it.index == endpoint && it.cookie == cookie);
        let kernel = record.and_then(|record| actual.kernel_ports(record));
        Self { host_if: host_if.into(), recorded: Some((endpoint, cookie)), ports, kernel }
    }

    /// The endpoint, if it has a record.
    pub(crate) fn endpoint(&self, actual: &Actual) -> Option<(u32, u64)> {
        self.recorded.or_else(|| {
            let index = actual.host.net.link(&self.host_if)?.index;
            let endpoint = actual.records.endpoints.iter().find(|endpoint| endpoint.index == index)?;
            Some((index, endpoint.cookie))
        })
    }
}

impl Actual {
    /// The endpoint, where the kernel's own NAT would lead to it.
    pub(crate) fn kernel_ports(&self, endpoint: &EndpointRecord) -> Option<KernelPorts> {
        let network = self.network_of(endpoint).filter(|network| !network.datapath.is_ebpf())?;
        let (name, bridge) = (network.name.clone(), network.bridge.clone());
        Some(KernelPorts { network: name, bridge, subnet: network.subnet()?, address: endpoint.address? })
    }
}

impl Managed for Published {
    fn handling(&self) -> Handling {
        let acts = if self.kernel.is_some() { Acts::OnHost } else { Acts::OnPins };
        Handling::new("publish", "withdraw", acts).in_steps()
    }

    fn is_there(&self, actual: &Actual) -> bool {
        let endpoint = self.endpoint(actual);
        let is_it = |it: &&Publication| Some((it.endpoint, it.cookie)) == endpoint && it.ports == self.ports;
        let has_rules = |kernel: &KernelPorts| actual.host.port_rules.contains(&kernel.comment(&self.ports));
        actual.records.publications.iter().find(is_it).is_some_and(|it| it.whole)
            && self.kernel.as_ref().is_none_or(has_rules)
    }

    fn equivalent(&self, make: bool, pins: &str) -> Vec<String> {
        let Some(kernel) = &self.kernel else {
            return vec![shell::record("PUBLISHED", &self.ports.to_string(), make, pins)];
        };
        if !make {
            return vec![format!("# nft -a list table ip {TABLE}; nft delete rule ip {TABLE} … handle …")];
        }
        let chain = |(name, hook)| {
            shell::nft(&format!("add chain ip {TABLE} {name} {{ type nat hook {hook} priority dstnat; }}"))
        };
        let mut lines = vec![format!("nft add table ip {TABLE}")];
        lines.extend([("prerouting", "prerouting"), ("output", "output")].map(chain));
        let rules = kernel.rules(kernel.network.clone(), &self.ports).rules();
        lines.extend(rules.iter().map(|(chain, rule)| shell::nft(&format!("insert rule ip {TABLE} {chain} {rule}"))));
        lines
    }
}

impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.ports, self.host_if)
    }
}
