//! The address behind which an endpoint appears, where the kernel translates.

use std::{fmt, net::IpAddr};

use super::{Acts, Handling, Managed, removal, shell};
use crate::{Actual, EndpointRecord, NetworkRecord};
use fwd_kernel::netlink::nft::{Leaving, SourceRules, TABLE};

/// Rules of nftables by which an endpoint appears behind an address of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceNat {
    /// Name of the network.
    pub network: String,
    /// By which interfaces its packets leave.
    pub leaving: Leaving,
    /// The endpoint's address.
    pub address: IpAddr,
    /// The address of the host.
    pub source: IpAddr,
}

impl SourceNat {
    /// Those of an endpoint that has a record.
    pub(crate) fn of(endpoint: &EndpointRecord, network: &NetworkRecord, uplink: &str) -> Option<Self> {
        let source = endpoint.source.filter(|_| !network.datapath.is_ebpf())?;
        let leaving = network.leaving(uplink);
        Some(Self {
            network: endpoint.network.clone(),
            leaving,
            address: endpoint.address?.into(),
            source: source.into(),
        })
    }

    /// By what the rules are known, among those of this run directory.
    pub(crate) fn comment(&self) -> String {
        SourceRules::comment(&self.network, self.address)
    }

    /// The rules; `network` is what the network is called there.
    #[must_use]
    pub fn rules(&self, network: String) -> SourceRules {
        let Self { network: _, leaving, address, source } = self.clone();
        SourceRules { network, leaving, address, source: (source, source) }
    }
}

impl NetworkRecord {
    /// By which interfaces its packets leave, of which `uplink` is its own.
    pub(crate) fn leaving(&self, uplink: &str) -> Leaving {
        if self.treatment.bound { Leaving::By(uplink.into()) } else { Leaving::NotBy(self.bridge.clone()) }
    }
}

impl Managed for SourceNat {
    fn handling(&self) -> Handling {
        Handling::new("add", "remove", Acts::OnHost)
    }

    fn is_there(&self, actual: &Actual) -> bool {
        actual.host.source_rules.contains(&self.comment())
    }

    fn equivalent(&self, make: bool, _: &str) -> Vec<String> {
        if !make {
            return ["postrouting", "source"].map(removal).into();
        }
        let mut lines = vec![
            format!("nft add table ip {TABLE}"),
            format!("nft 'add chain ip {TABLE} postrouting {{ type nat hook postrouting priority srcnat; }}'"),
            shell::nft(&format!("add chain ip {TABLE} {}", SourceRules::CHAIN)),
        ];
        let rules = self.rules(self.network.clone()).rules();
        lines.extend(rules.iter().map(|(chain, rule)| shell::nft(&format!("insert rule ip {TABLE} {chain} {rule}"))));
        lines
    }
}

impl fmt::Display for SourceNat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "source {} of {}", self.source, self.address)
    }
}
