//! What forwards the packets of a network.

/// What forwards the packets of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datapath {
    /// eBPF programs at the traffic control hooks.
    Tc,
    /// The same, and XDP before them for established flows.
    Xdp,
    /// The kernel's bridge, with masquerade by nftables.
    Kernel,
}

impl Datapath {
    /// Every data path.
    pub const ALL: [Self; 3] = [Self::Tc, Self::Xdp, Self::Kernel];
    /// What `auto` takes where the kernel has it.
    pub const BEST: Self = Self::Tc;

    /// `tc`, `xdp` or `kernel`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tc => "tc",
            Self::Xdp => "xdp",
            Self::Kernel => "kernel",
        }
    }

    /// Whether our programs forward: they, the flow table and the hooks of the uplink are needed.
    #[must_use]
    pub const fn is_ebpf(self) -> bool {
        match self {
            Self::Tc | Self::Xdp => true,
            Self::Kernel => false,
        }
    }
}
