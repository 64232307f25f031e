//! The addresses behind which an endpoint appears, where the kernel translates.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use forwarder_common::decide::source::Pool;

use super::{Acts, Handling, Managed, shell};
use crate::{Actual, Datapath, EndpointRecord, NetworkRecord, Sources};
use fwd_kernel::netlink::nft::{Leaving, SourceRules, TABLE};

/// Rules of nftables by which an endpoint appears behind addresses of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceNat {
    /// Name of the network.
    pub network: String,
    /// By which interfaces its packets leave.
    pub leaving: Leaving,
    /// The endpoint's address.
    pub address: IpAddr,
    /// First and last of the addresses of the host, of the same family.
    pub source: (IpAddr, IpAddr),
}

impl SourceNat {
    /// Those of an endpoint with these addresses in a network with this name and data path. Of IPv6 also where programs forward, which leave to
    /// the kernel what has no ports: there it is the one address of the range that the programs take.
    pub(crate) fn of(
        (network, datapath): (&str, Datapath),
        (address, address6): (Option<Ipv4Addr>, Option<Ipv6Addr>),
        sources: Sources,
        leaving: &Leaving,
    ) -> impl Iterator<Item = Self> + use<> {
        let of_one = |address, source| Self { network: network.into(), leaving: leaving.clone(), address, source };
        let v4 = sources.v4.filter(|_| !datapath.is_ebpf()).zip(address);
        let v4 = v4.map(|(range, address)| of_one(address.into(), (range.first().into(), range.last().into())));
        let v6 = sources.v6.zip(address6).map(|(range, address)| {
            let (first, last) = if datapath.is_ebpf() {
                let taken = Pool::v6(range.first().octets(), range.count(), address.octets());
                let taken = Ipv6Addr::from(taken.address_v6(range.first().octets()));
                (taken, taken)
            } else {
                (range.first(), range.last())
            };
            of_one(address.into(), (first.into(), last.into()))
        });
        v4.into_iter().chain(v6)
    }

    /// The same of an endpoint with a record, whose network leaves by `uplink`.
    pub(crate) fn of_record(
        endpoint: &EndpointRecord,
        network: &NetworkRecord,
        uplink: &str,
    ) -> impl Iterator<Item = Self> + use<> {
        let addresses = (endpoint.address, endpoint.address6);
        let leaving = network.leaving(uplink);
        Self::of((&endpoint.network, network.datapath), addresses, endpoint.source, &leaving)
    }

    /// By what the rules are known, among those of this run directory.
    pub(crate) fn comment(&self) -> String {
        SourceRules::comment(&self.network, self.address)
    }

    /// The rules; `network` is what the network is called there.
    #[must_use]
    pub fn rules(&self, network: String) -> SourceRules {
        let Self { network: _, leaving, address, source } = self.clone();
        SourceRules { network, leaving, address, source }
    }

    fn table(&self) -> String {
        format!("{} {TABLE}", if self.address.is_ipv4() { "ip" } else { "ip6" })
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
        let table = self.table();
        if !make {
            let removal =
                |chain| format!("# nft -a list chain {table} {chain}; nft delete rule {table} {chain} handle …");
            return ["postrouting", "source"].map(removal).into();
        }
        let mut lines = vec![
            format!("nft add table {table}"),
            format!("nft 'add chain {table} postrouting {{ type nat hook postrouting priority srcnat; }}'"),
            shell::nft(&format!("add chain {table} {}", SourceRules::CHAIN)),
        ];
        let rules = self.rules(self.network.clone()).rules();
        lines.extend(rules.iter().map(|(chain, rule)| shell::nft(&format!("insert rule {table} {chain} {rule}"))));
        lines
    }
}

impl fmt::Display for SourceNat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = self.source;
        if first == last {
            write!(f, "source {first} of {}", self.address)
        } else {
            write!(f, "source {first}-{last} of {}", self.address)
        }
    }
}
