//! Published ports.

mod host_access;

use std::fmt;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

pub use self::host_access::HostAccess;
use super::{super::shell, Acts, Handling, Managed};
use crate::{Actual, EndpointRecord};
use fwd_dataplane::{Publication, PublishedPorts};
use fwd_kernel::netlink::nft::{INWARD_CHAINS, PortRules};

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
    /// The endpoint's address of each family that it has, with the length of the network's prefix.
    pub addresses: Vec<IpNet>,
    /// Name of the uplink that the network is bound to: by others nobody comes from outside.
    pub uplink: Option<String>,
}

impl KernelPorts {
    /// The rules of nftables for these ports, those of one family after those of the other; `network` is what the network is called there.
    #[must_use]
    pub fn rules(&self, network: &str, ports: &PublishedPorts) -> Vec<PortRules> {
        let Self { network: _, bridge, addresses, uplink } = self;
        let PublishedPorts { host, first, last, inside, transport, senders } = *ports;
        let senders = senders.prefixes();
        let of_family = |address: &IpNet| {
            let is_same =
                |other: &IpNet| matches!((address, other), (IpNet::V4(_), IpNet::V4(_)) | (IpNet::V6(_), IpNet::V6(_)));
            let of_same: Vec<IpNet> = senders.iter().copied().filter(is_same).collect();
            // Nobody of this family may come.
            if !ports.are_of(address.addr().is_ipv4()) || (of_same.is_empty() && !senders.is_empty()) {
                return None;
            }
            Some(PortRules {
                network: network.into(),
                bridge: bridge.clone(),
                subnet: address.trunc(),
                address: address.addr(),
                host: host.filter(|host| !host.is_unspecified()),
                proto: (transport.number(), transport.name()),
                first,
                last,
                inside,
                senders: of_same,
                uplink: uplink.clone(),
            })
        };
        addresses.iter().filter_map(of_family).collect()
    }

    /// By what the rules are known, among those of this run directory.
    pub(crate) fn comments(&self, ports: &PublishedPorts) -> impl Iterator<Item = String> {
        self.rules(&self.network, ports).into_iter().map(|rules| rules.comment())
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
        let v4 = endpoint.address.zip(network.gateway);
        let v4 = v4.map(|(address, gateway)| Ipv4Net::new_assert(address, gateway.prefix_len()));
        let v6 = endpoint.address6.zip(network.gateway6);
        let v6 = v6.map(|(address, gateway)| Ipv6Net::new_assert(address, gateway.prefix_len()));
        let addresses = v4.map(IpNet::from).into_iter().chain(v6.map(IpNet::from)).collect();
        let uplink = network.treatment.bound.then(|| self.host.net.name_of(network.uplink));
        Some(KernelPorts { network: network.name.clone(), bridge: network.bridge.clone(), addresses, uplink })
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
        let known = &actual.host.port_rules;
        let has_rules = |kernel: &KernelPorts| kernel.comments(&self.ports).all(|comment| known.contains(&comment));
        actual.records.publications.iter().find(is_it).is_some_and(|it| it.whole)
            && self.kernel.as_ref().is_none_or(has_rules)
    }

    fn equivalent(&self, make: bool, pins: &str) -> Vec<String> {
        let Some(kernel) = &self.kernel else {
            return vec![shell::record("PUBLISHED", &self.ports.to_string(), make, pins)];
        };
        let rules = kernel.rules(&kernel.network, &self.ports);
        if !make {
            let removal = |rules: &PortRules| {
                let table = rules.table();
                format!("# nft -a list table {table}; nft delete rule {table} … handle …")
            };
            return rules.iter().map(removal).collect();
        }
        let lines = |rules: &PortRules| {
            let table = rules.table();
            let mut lines = vec![format!("nft add table {table}")];
            lines.extend(INWARD_CHAINS.map(|chain| shell::nft(&format!("add chain {table} {chain}"))));
            // At the output nft(8) takes its name for no priority.
            let output = "output { type nat hook output priority -100; }";
            lines.push(shell::nft(&format!("add chain {table} {output}")));
            let insert = |(chain, rule): &(&str, String)| shell::nft(&format!("insert rule {table} {chain} {rule}"));
            lines.extend(rules.rules().iter().map(insert));
            lines
        };
        rules.iter().flat_map(lines).collect()
    }
}

impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.ports, self.host_if)
    }
}
