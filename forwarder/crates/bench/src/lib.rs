//! `fwd bench`: data paths side by side, each in a sandbox of its own, under the same load in the same round.
//!
//! [`path`] sets a path up, [`load`] is what runs over it, [`run()`](run()) measures all in rounds, [`report`] is what is known
//! afterwards. Rounds go over all paths in turn, so that each has its share of what else the machine does; paths are compared
//! within a round. Each round has sandboxes of its own, so that what differs from one to the next is in the intervals, too.
//! [`check`] compares our own load with that of other programs, [`against`] two builds of `fwd`; [`measuring`] is what the programs share that measure the project itself.

pub mod against;
pub mod check;
mod comparison;
pub mod control;
pub mod environment;
mod host_load;
pub mod live;
pub mod load;
pub mod measuring;
mod metric;
mod options;
pub mod path;
mod plan;
mod record;
pub mod render;
pub mod report;
mod run;
pub mod statistics;
mod summary;
mod warnings;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::{
    comparison::{Comparison, Family},
    metric::Metric,
    options::Options,
    plan::Variant,
    run::{Measuring, Progress, run},
};

/// What figures are told to grow with.
pub const GROWS_WITH: [&str; 2] = ["namespaces", "flows"];

/// A data path between a client in a namespace and a server beyond the uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Path {
    /// The client is on the host itself, no netfilter rule loaded: the limit.
    Host,
    /// A veth whose programs redirect, with the next hop given, and do nothing else.
    VethFloor,
    /// `fwd up --datapath tc`.
    FwdTc,
    /// `fwd up --datapath xdp`.
    FwdXdp,
    /// `fwd up --datapath netkit`.
    FwdNetkit,
    /// A veth and the kernel's routing, no address translation: the server knows the way back.
    Routed,
    /// The same with a masquerade rule of nftables.
    NftMasquerade,
    /// The same with established flows in a flow table of nftables.
    NftFlowtable,
    /// Bridge and a MASQUERADE rule of iptables: what docker does.
    BridgeMasquerade,
    /// Bridge and a DNAT rule of nftables. To a published port alone.
    NftDnat,
    /// Bridge and `docker-proxy`, which copies from socket to socket. To a published port alone.
    DockerProxy,
    /// No sandbox: from a namespace of this machine to `fwd bench --serve` elsewhere, whatever is between them. Measured alone.
    Live,
}

impl Path {
    /// All by which packets leave, in the order in which they are shown.
    pub const ALL: [Self; 9] = [
        Self::Host,
        Self::VethFloor,
        Self::FwdTc,
        Self::FwdXdp,
        Self::FwdNetkit,
        Self::Routed,
        Self::NftMasquerade,
        Self::NftFlowtable,
        Self::BridgeMasquerade,
    ];

    /// All that lead to a published port.
    pub const PUBLISHED: [Self; 4] = [Self::Host, Self::FwdTc, Self::NftDnat, Self::DockerProxy];

    /// All that have a sandbox, each once.
    pub fn every() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().chain(Self::PUBLISHED.into_iter().filter(|path| !Self::ALL.contains(path)))
    }

    /// As typed after `--paths` and as in JSON: `fwd-tc`.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::VethFloor => "veth-floor",
            Self::FwdTc => "fwd-tc",
            Self::FwdXdp => "fwd-xdp",
            Self::FwdNetkit => "fwd-netkit",
            Self::Routed => "routed",
            Self::NftMasquerade => "nft-masquerade",
            Self::NftFlowtable => "nft-flowtable",
            Self::BridgeMasquerade => "bridge-masquerade",
            Self::NftDnat => "nft-dnat",
            Self::DockerProxy => "docker-proxy",
            Self::Live => "live",
        }
    }

    /// For the reader of a table: `bridge + iptables MASQUERADE`.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::VethFloor => "veth floor",
            Self::FwdTc => "fwd tc",
            Self::FwdXdp => "fwd xdp",
            Self::FwdNetkit => "fwd netkit",
            Self::Routed => "veth routed, no NAT",
            Self::NftMasquerade => "routed + nft masquerade",
            Self::NftFlowtable => "nft flowtable",
            Self::BridgeMasquerade => "bridge + iptables MASQUERADE",
            Self::NftDnat => "bridge + nft DNAT",
            Self::DockerProxy => "bridge + docker-proxy",
            Self::Live => "live",
        }
    }
}

/// What a path needs of the machine besides network namespaces and veth pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Features by their names (`dataplane::FEATURES`).
    pub features: &'static [&'static str],
    /// What else, in words.
    pub besides: &'static str,
    /// How it is found out.
    pub probe: &'static str,
}

impl Path {
    /// What it is, for the help and the README.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::Host => "the host itself, without a namespace: the limit",
            Self::VethFloor => "a veth pair whose programs only redirect: the redirect baseline",
            Self::FwdTc => "`fwd up --datapath tc`",
            Self::FwdXdp => "`fwd up --datapath xdp`",
            Self::FwdNetkit => "`fwd up --datapath netkit`",
            Self::Routed => "a veth pair and the kernel's routing, without NAT",
            Self::NftMasquerade => "the same, with masquerade by nftables",
            Self::NftFlowtable => "the same, with a flow table of nftables",
            Self::BridgeMasquerade => "bridge, and masquerade by iptables: what docker does",
            Self::NftDnat => "with --published: bridge, and DNAT by nftables",
            Self::DockerProxy => "with --published: bridge, and docker's copying between sockets",
            Self::Live => "from a namespace to `fwd bench --serve` elsewhere",
        }
    }

    /// What it needs of the machine.
    #[must_use]
    pub const fn needs(self) -> Needs {
        let by_rule = "the rule is made";
        match self {
            Self::Host | Self::Routed => Needs { features: &[], besides: "", probe: "" },
            Self::VethFloor => Needs {
                features: &["TCX", "bpf_redirect_neigh", "bpf_redirect_peer"],
                besides: "",
                probe: "its programs are loaded and attached",
            },
            Self::FwdTc => Needs { features: &[], besides: "what `--datapath tc` needs", probe: "`fwd up`" },
            Self::FwdXdp => Needs { features: &[], besides: "what `--datapath xdp` needs", probe: "`fwd up`" },
            Self::FwdNetkit => Needs { features: &[], besides: "what `--datapath netkit` needs", probe: "`fwd up`" },
            Self::NftMasquerade => Needs { features: &["nft_masq"], besides: "", probe: by_rule },
            Self::NftFlowtable => Needs {
                features: &["nft_masq"],
                besides: "`nf_flow_table_inet`, `nft_flow_offload`",
                probe: "the flow table is made",
            },
            Self::BridgeMasquerade => Needs {
                features: &["bridge"],
                besides: "the program `iptables` with what it needs for MASQUERADE",
                probe: by_rule,
            },
            Self::NftDnat => Needs { features: &["bridge"], besides: "DNAT and fib of nftables", probe: by_rule },
            Self::DockerProxy => Needs {
                features: &["bridge"],
                besides: "the program `docker-proxy`",
                probe: "it is looked for in `PATH`, and started",
            },
            Self::Live => {
                Needs { features: &[], besides: "`fwd bench --serve` on another machine", probe: "it is asked" }
            }
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::Path;

    #[test]
    fn names_are_those_of_the_json() {
        for path in Path::every() {
            assert_eq!(serde_json::to_value(path).expect("a name"), path.id());
        }
    }
}
