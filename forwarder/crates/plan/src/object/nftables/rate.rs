//! What an endpoint may send in a second, where the kernel forwards.

use std::{fmt, net::IpAddr};

use super::{Acts, Handling, Managed, shell};
use crate::{Actual, EndpointRecord, NetworkRecord, RateLimit};
use fwd_kernel::netlink::nft::{ByteRate, PortRate, SourceRules, TABLE};

/// An endpoint sends no more than this past its port of the bridge, whatever is done to the queue inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelRate {
    /// Name of the network.
    pub network: String,
    /// Name of the host-side veth.
    pub host_if: String,
    /// The first of the endpoint's addresses.
    pub address: IpAddr,
    /// What it might send.
    pub from: RateLimit,
    /// What it may.
    pub to: RateLimit,
}

impl KernelRate {
    /// `to` for an endpoint with a record, in place of what it might send; none where programs forward.
    /// `host_if` is what its host-side veth is called now.
    pub(crate) fn of(
        endpoint: &EndpointRecord,
        host_if: String,
        network: &NetworkRecord,
        to: RateLimit,
    ) -> Option<Self> {
        let (address, from) = (endpoint.addresses().next()?, endpoint.limits.outbound);
        let rate = Self { network: endpoint.network.clone(), host_if, address, from, to };
        (!network.datapath.is_ebpf()).then_some(rate)
    }

    /// By what the rule is known, among those of this run directory.
    pub(crate) fn comment(&self) -> String {
        SourceRules::comment(&self.network, self.address)
    }

    /// The rule that keeps to `limit` at the port with the number `index`, in a `network` that is called so in nftables; none without a limit.
    #[must_use]
    pub fn rule(&self, network: String, index: u32, limit: RateLimit) -> Option<PortRate> {
        let (port, address) = (self.host_if.clone(), self.address);
        limit.by_bytes().map(|most| PortRate { network, port, index, address, most })
    }
}

impl RateLimit {
    /// As nftables counts.
    pub(crate) fn by_bytes(self) -> Option<ByteRate> {
        (self.rate != 0).then(|| ByteRate::new(self.rate / 8, self.burst))
    }
}

impl Managed for KernelRate {
    fn handling(&self) -> Handling {
        Handling::new("change", "revert", Acts::OnHost)
    }

    fn is_there(&self, actual: &Actual) -> bool {
        actual.host.rate_rules.get(&self.comment()).copied() == self.to.by_bytes()
    }

    fn equivalent(&self, make: bool, _: &str) -> Vec<String> {
        let limit = if make { self.to } else { self.from };
        let Some(rule) = self.rule(self.network.clone(), 0, limit) else {
            return vec![format!(
                "# nft -a list chain bridge {TABLE} rate; nft delete rule bridge {TABLE} rate handle …"
            )];
        };
        vec![
            format!("nft add table bridge {TABLE}"),
            shell::nft(&format!("add chain bridge {TABLE} {}", PortRate::chain())),
            shell::nft(&format!("add rule bridge {TABLE} {}", rule.rule())),
        ]
    }
}

impl fmt::Display for KernelRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nftables limit of {}: {} out", self.host_if, self.to.text())
    }
}
