//! Where programs are attached, and how.

use aya::programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType};

use crate::object::programs;
use fwd_base::{Context as _, Result};
use fwd_kernel::netlink::XdpMode;

/// Where a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Ingress of a host-side veth.
    FromNs,
    /// Ingress of an uplink.
    FromUplink,
    /// Egress of an uplink.
    ToUplink,
    /// Ingress of an uplink without link-layer header.
    FromUplinkL3,
    /// Egress of an uplink without link-layer header.
    ToUplinkL3,
    /// Egress of a network's bridge.
    ToNetwork,
}

/// The hooks of an uplink, egress first: what leaves is guarded before anything comes in.
pub(crate) const UPLINK: [Hook; 2] = [Hook::ToUplink, Hook::FromUplink];
/// The same of an uplink without link-layer header.
pub(crate) const UPLINK_L3: [Hook; 2] = [Hook::ToUplinkL3, Hook::FromUplinkL3];

impl Hook {
    /// All of them.
    pub(crate) const ALL: [Self; 6] =
        [Self::FromNs, Self::FromUplink, Self::ToUplink, Self::FromUplinkL3, Self::ToUplinkL3, Self::ToNetwork];

    /// The program of this hook.
    #[must_use]
    pub const fn program(self) -> &'static str {
        match self {
            Self::FromNs => programs::FROM_NS,
            Self::FromUplink => programs::FROM_UPLINK,
            Self::ToUplink => programs::TO_UPLINK,
            Self::FromUplinkL3 => programs::FROM_UPLINK_L3,
            Self::ToUplinkL3 => programs::TO_UPLINK_L3,
            Self::ToNetwork => programs::TO_NETWORK,
        }
    }

    pub(crate) const fn attach_type(self) -> TcAttachType {
        match self {
            Self::FromNs | Self::FromUplink | Self::FromUplinkL3 => TcAttachType::Ingress,
            Self::ToUplink | Self::ToUplinkL3 | Self::ToNetwork => TcAttachType::Egress,
        }
    }
}

/// How programs are attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// TCX links (Linux 6.6), first in order. Attaching and detaching wait for an RCU grace period of the kernel, which takes some
    /// clock ticks.
    #[default]
    Tcx,
    /// Filters of a clsact qdisc. They wait for nothing, and cost each packet some tens of nanoseconds more.
    Clsact,
    /// Links of a netkit pair (Linux 6.7), first in order: not a matter of choice, but of the data path.
    Netkit,
}

impl Backend {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tcx, Self::Clsact, Self::Netkit];
    /// Those among which one may choose.
    pub const CHOICES: [Self; 2] = [Self::Tcx, Self::Clsact];

    /// `tcx`, `clsact` or `netkit`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
            Self::Netkit => "netkit",
        }
    }

    /// Which one this kernel has: asked by trying, not by version. All have clsact.
    ///
    /// # Errors
    /// Reading the kernel's answer failed.
    pub fn of_kernel() -> Result<Self> {
        // Interface 1 is `lo`, in every namespace.
        match SchedClassifier::query_tcx(1, TcAttachType::Ingress) {
            Ok(_) => Ok(Self::Tcx),
            Err(ProgramError::SyscallError(error)) if error.io_error.raw_os_error() == Some(nix::libc::EINVAL) => {
                Ok(Self::Clsact)
            }
            Err(error) => Err(error).doing("ask for", "TCX on lo"),
        }
    }
}

/// Where programs stand among those of others that are there when they are attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TcxOrder {
    /// Before them: what is redirected nobody else sees.
    #[default]
    First,
    /// Behind them: they see all that comes in and goes out before, and may keep it.
    Last,
}

impl TcxOrder {
    /// Both.
    pub const ALL: [Self; 2] = [Self::First, Self::Last];

    /// `first` or `last`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Last => "last",
        }
    }

    pub(crate) fn link_order(self) -> LinkOrder {
        match self {
            Self::First => LinkOrder::first(),
            Self::Last => LinkOrder::last(),
        }
    }
}

/// Where an XDP program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpHook {
    /// A host-side veth: what leaves a namespace.
    FromNs,
    /// An uplink: what arrives.
    FromUplink,
}

impl XdpHook {
    /// Both.
    pub const ALL: [Self; 2] = [Self::FromNs, Self::FromUplink];

    /// The program of this hook that a driver runs, by which its links are called.
    #[must_use]
    pub const fn program(self) -> &'static str {
        self.program_for(XdpMode::Native)
    }

    /// The program of this hook.
    #[must_use]
    pub const fn program_for(self, mode: XdpMode) -> &'static str {
        match (self, mode) {
            (Self::FromNs, XdpMode::Native) => programs::XDP_FROM_NS,
            (Self::FromUplink, XdpMode::Native) => programs::XDP_FROM_UPLINK,
            (Self::FromNs, XdpMode::Generic) => programs::XDP_FROM_NS_SKB,
            (Self::FromUplink, XdpMode::Generic) => programs::XDP_FROM_UPLINK_SKB,
        }
    }
}
