//! What forwards the packets of a network: declared once. The command line, its help, the README and records take it from here.

use forwarder_common::abi::endpoint_flags;
use fwd_kernel::netlink::PairKind;
use serde::{Deserialize, Serialize};

/// What forwards the packets of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Datapath {
    /// eBPF programs at the traffic control hooks.
    Tc,
    /// The same, and XDP before them for established flows.
    Xdp,
    /// The same, at netkit pairs instead of veth pairs.
    Netkit,
    /// The kernel's bridge, with masquerade by nftables.
    Kernel,
}

/// What is declared of a data path.
struct Row {
    /// What is typed, and shown in JSON.
    name: &'static str,
    /// What it is, and when one takes it.
    what: &'static str,
    when: &'static str,
    /// The flag by which records of networks and endpoints say so; one has none.
    flag: u32,
    /// Whether programs forward, and whether XDP programs are attached besides.
    ebpf: bool,
    xdp: bool,
    /// What connects namespaces.
    pair: PairKind,
    /// Why its networks have to have a bridge; none where they need not (`--bridge none`).
    needs_bridge: Option<&'static str>,
}

impl Datapath {
    /// Every data path.
    pub const ALL: [Self; 4] = [Self::Tc, Self::Xdp, Self::Netkit, Self::Kernel];
    /// What `auto` takes where the kernel has it.
    pub const BEST: Self = Self::Tc;

    const fn row(self) -> Row {
        match self {
            Self::Tc => Row {
                name: "tc",
                what: "eBPF at the traffic control hooks",
                when: "nearly always",
                flag: 0,
                ebpf: true,
                xdp: false,
                pair: PairKind::Veth,
                needs_bridge: None,
            },
            Self::Xdp => Row {
                name: "xdp",
                what: "the same, with XDP in front for established flows",
                when: "to compare: on a veth pair XDP loses checksum and segmentation offloads, and bulk TCP with them",
                flag: endpoint_flags::XDP_DATAPATH,
                ebpf: true,
                xdp: true,
                pair: PairKind::Veth,
                needs_bridge: None,
            },
            Self::Netkit => Row {
                name: "netkit",
                what: "the same programs at netkit pairs: a namespace's packets are forwarded while it sends them (Linux 6.7)",
                when: "to compare: one queue less on the way out; not measured yet",
                flag: endpoint_flags::NETKIT_DATAPATH,
                ebpf: true,
                xdp: false,
                pair: PairKind::Netkit,
                needs_bridge: Some("what a netkit pair leaves to the kernel arrives by a bridge"),
            },
            Self::Kernel => Row {
                name: "kernel",
                what: "the kernel's bridge, and masquerade by nftables",
                when: "to compare; kernels without what the programs need",
                flag: endpoint_flags::KERNEL_DATAPATH,
                ebpf: false,
                xdp: false,
                pair: PairKind::Veth,
                needs_bridge: Some("the bridge is what connects namespaces there"),
            },
        }
    }

    /// `tc`, `xdp`, `netkit` or `kernel`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// What it is, for the help and the README.
    #[must_use]
    pub const fn what(self) -> &'static str {
        self.row().what
    }

    /// When one takes it, for the README.
    #[must_use]
    pub const fn when(self) -> &'static str {
        self.row().when
    }

    /// The flag by which records of networks and endpoints say so; none is [`Datapath::Tc`].
    #[must_use]
    pub const fn flag(self) -> u32 {
        self.row().flag
    }

    /// What records with these flags say.
    #[must_use]
    pub fn of_flags(flags: u32) -> Self {
        Self::ALL.into_iter().find(|datapath| flags & datapath.flag() != 0).unwrap_or(Self::Tc)
    }

    /// Whether our programs forward: they, the flow table and the hooks of the uplink are needed.
    #[must_use]
    pub const fn is_ebpf(self) -> bool {
        self.row().ebpf
    }

    /// What connects namespaces.
    #[must_use]
    pub const fn pair(self) -> PairKind {
        self.row().pair
    }

    /// Why its networks have to have a bridge; none where they need not (`--bridge none`).
    #[must_use]
    pub const fn needs_bridge(self) -> Option<&'static str> {
        self.row().needs_bridge
    }

    /// Whether that are netkit pairs.
    #[must_use]
    pub const fn has_netkit(self) -> bool {
        matches!(self.pair(), PairKind::Netkit)
    }

    /// Whether one may choose how programs are attached to host-side veths (`--attach`).
    #[must_use]
    pub const fn takes_attach(self) -> bool {
        self.is_ebpf() && !self.has_netkit()
    }

    /// Whether XDP programs are attached besides.
    #[must_use]
    pub const fn has_xdp(self) -> bool {
        self.row().xdp
    }
}

#[cfg(test)]
mod tests {
    use super::Datapath;

    #[test]
    fn records_say_which_it_is() {
        for datapath in Datapath::ALL {
            assert_eq!(Datapath::of_flags(datapath.flag() | 1 << 4), datapath);
        }
    }
}
