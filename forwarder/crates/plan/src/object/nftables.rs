//! The rules of a network that the kernel forwards.

mod pair;
mod policy;
mod rate;
mod source;

use std::fmt;

use ipnet::Ipv4Net;

pub use fwd_kernel::netlink::nft::Rules6;

pub use self::{
    pair::{NetworkPair, PairedNetwork},
    policy::{Counted, KernelPolicy, kernel_counts},
    rate::KernelRate,
    source::SourceNat,
};
use super::{super::shell, Acts, Handling, Managed};
use crate::{Actual, NetworkRecord, Treatment};
use fwd_kernel::netlink::nft::{self, INWARD_CHAINS, Leaving, Separation, TABLE};

/// A rule of nftables that keeps out what is not for the network, where no program does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Isolation {
    /// Name of the network.
    pub network: String,
    /// Its bridge.
    pub bridge: String,
    /// What is kept out.
    pub separation: Separation,
}

impl Treatment {
    /// What the kernel must not forward of a network that is treated so.
    #[must_use]
    pub fn separation(self) -> Separation {
        Separation { internal: self.internal, no_icc: self.no_icc }
    }
}

impl Managed for Isolation {
    fn handling(&self) -> Handling {
        Handling::new("add", "remove", Acts::OnHost)
    }

    fn is_there(&self, actual: &Actual) -> bool {
        actual.host.isolated.contains(&self.network)
    }

    fn equivalent(&self, make: bool, _: &str) -> Vec<String> {
        if !make {
            return vec![removal("forward")];
        }
        let mut lines = vec![
            format!("nft add table ip {TABLE}"),
            format!("nft 'add chain ip {TABLE} forward {{ type filter hook forward priority filter; }}'"),
        ];
        lines.extend(INWARD_CHAINS.map(|chain| shell::nft(&format!("add chain ip {TABLE} {chain}"))));
        let rules = self.separation.rules(&self.bridge).into_iter().map(|rule| format!("forward {rule}"));
        let rules = rules.chain([nft::inward_rule(&self.bridge)]);
        lines.extend(rules.map(|rule| shell::nft(&format!("add rule ip {TABLE} {rule}"))));
        lines
    }
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "isolation of network {}", self.network)
    }
}

/// Masquerade in nftables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Masquerade {
    /// Name of the network.
    pub network: String,
    /// Its bridge.
    pub bridge: String,
    /// Its addresses.
    pub subnet: Ipv4Net,
    /// By which interfaces they leave.
    pub leaving: Leaving,
}

impl Managed for Masquerade {
    fn handling(&self) -> Handling {
        Handling::new("add", "remove", Acts::OnHost).notable()
    }

    fn is_there(&self, actual: &Actual) -> bool {
        actual.host.masquerades.contains(&self.network)
    }

    fn equivalent(&self, make: bool, _: &str) -> Vec<String> {
        if !make {
            return vec![removal("postrouting")];
        }
        let Self { subnet, leaving, .. } = self;
        let leaving = leaving.condition();
        vec![
            format!("nft add table ip {TABLE}"),
            format!("nft 'add chain ip {TABLE} postrouting {{ type nat hook postrouting priority srcnat; }}'"),
            shell::nft(&format!("add rule ip {TABLE} postrouting ip saddr {subnet} {leaving} masquerade")),
        ]
    }
}

impl fmt::Display for Masquerade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "masquerade of network {}", self.network)
    }
}

impl NetworkRecord {
    /// Masquerade of a network that the kernel forwards, which leaves by `uplink`, or by whatever the host's routes lead by; none where
    /// nothing leaves.
    #[must_use]
    pub fn masquerade(&self, uplink: &str) -> Option<Masquerade> {
        let subnet = self.subnet().filter(|_| !self.treatment.internal && !self.datapath.is_ebpf())?;
        let (network, bridge) = (self.name.clone(), self.bridge.clone());
        Some(Masquerade { network, bridge, subnet, leaving: self.leaving(uplink) })
    }

    /// The rules for IPv6 of a network that leaves by `uplink`, or by whatever the host's routes lead by; none where it has no IPv6.
    #[must_use]
    pub fn rules6(&self, uplink: &str) -> Option<Rules6> {
        let subnet = self.gateway6?.trunc();
        Some(Rules6 {
            network: self.name.clone(),
            bridge: self.bridge.clone(),
            subnet,
            uplink: self.treatment.bound.then(|| uplink.to_owned()),
            masquerade: !self.treatment.routed6,
            separation: self.treatment.separation(),
            unguarded: !self.datapath.is_ebpf(),
        })
    }
}

/// The rules of IPv6 about what leaves, each behind the name of its chain.
fn leaving(rules: &Rules6) -> Vec<String> {
    let Rules6 { network: _, bridge, subnet, uplink, masquerade, separation, unguarded: _ } = rules;
    if separation.internal {
        return Vec::new();
    }
    let leaving = format!("iifname \"{bridge}\" oifname != \"{bridge}\"");
    let by = uplink.clone().map_or_else(|| Leaving::NotBy(bridge.clone()), Leaving::By).condition();
    let translated = format!("postrouting ip6 saddr {subnet} {by} masquerade");
    let elsewhere = uplink.as_ref().map(|uplink| format!("forward {leaving} oifname != \"{uplink}\" drop"));
    let guard = [
        format!("forward {leaving} ip6 saddr != {subnet} drop"),
        format!("forward {leaving} ct state != {{ new, established, related }} drop"),
    ];
    masquerade.then_some(translated).into_iter().chain(elsewhere).chain(guard).collect()
}

impl Managed for Rules6 {
    fn handling(&self) -> Handling {
        Handling::new("add", "remove", Acts::OnHost).notable()
    }

    fn is_there(&self, actual: &Actual) -> bool {
        actual.host.ruled6.contains(&self.network)
    }

    fn equivalent(&self, make: bool, _: &str) -> Vec<String> {
        if !make {
            let list = |chain| format!("nft -a list chain ip6 {TABLE} {chain}");
            return vec![format!("# {}; {}; nft delete rule ip6 …", list("postrouting"), list("forward"))];
        }
        let rules = leaving(self).into_iter();
        let mut lines = vec![
            format!("nft add table ip6 {TABLE}"),
            format!("nft 'add chain ip6 {TABLE} postrouting {{ type nat hook postrouting priority srcnat; }}'"),
            format!("nft 'add chain ip6 {TABLE} forward {{ type filter hook forward priority filter; }}'"),
        ];
        let inward = self.unguarded.then(|| nft::inward_rule(&self.bridge));
        if inward.is_some() {
            lines.extend(INWARD_CHAINS.map(|chain| shell::nft(&format!("add chain ip6 {TABLE} {chain}"))));
        }
        let separation = self.separation.rules(&self.bridge).into_iter().map(|rule| format!("forward {rule}"));
        let rules = rules.chain(self.guard()).chain(separation).chain(inward);
        lines.extend(rules.map(|rule| shell::nft(&format!("add rule ip6 {TABLE} {rule}"))));
        lines
    }
}

/// A rule is deleted by its handle; the table goes with the last one.
fn removal(chain: &str) -> String {
    format!("# nft -a list chain ip {TABLE} {chain}; nft delete rule ip {TABLE} {chain} handle …")
}
