//! Which programs are at an interface, whoever attached them, in the order in which packets meet them.

use std::{collections::BTreeMap, fmt};

use aya::programs::{SchedClassifier, loaded_programs, tc::TcAttachType};

use crate::{Hook, XdpHook, attach::netkit, object::programs::FROM_NETKIT};
use fwd_base::Result;
use fwd_kernel::netlink::{Link, Netlink, TcDirection, XdpMode};

/// Where a program is attached to an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachPoint {
    /// In front of everything that comes in.
    Xdp,
    /// Links of traffic control, for what comes in (`true`) or goes out.
    Tcx(bool),
    /// Filters of clsact, behind them.
    Clsact(bool),
    /// Links of a netkit pair by its end on the host, before all of these: for what comes from inside (`true`) or goes there.
    Netkit(bool),
}

impl AttachPoint {
    /// Whether packets that come in meet it.
    #[must_use]
    pub const fn is_inbound(self) -> bool {
        matches!(self, Self::Xdp | Self::Tcx(true) | Self::Clsact(true) | Self::Netkit(true))
    }
}

impl fmt::Display for AttachPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Xdp => "xdp",
            Self::Tcx(true) => "tcx ingress",
            Self::Tcx(false) => "tcx egress",
            Self::Clsact(true) => "clsact ingress",
            Self::Clsact(false) => "clsact egress",
            Self::Netkit(true) => "netkit peer",
            Self::Netkit(false) => "netkit primary",
        })
    }
}

/// A program at an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachedProgram {
    /// Where.
    pub point: AttachPoint,
    /// Its name, up to 15 bytes; empty if it has none.
    pub name: String,
    /// Its id.
    pub id: u32,
    /// It is called as one of ours.
    pub ours: bool,
}

impl fmt::Display for AttachedProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.name.is_empty() { "a program without a name" } else { &self.name };
        write!(f, "{name} ({}, id {})", self.point, self.id)
    }
}

/// Longest name that the kernel keeps of a program, bytes (`BPF_OBJ_NAME_LEN` less its end).
const NAME_MAX: usize = 15;

/// Whether a program is called as one of ours.
pub(crate) fn is_ours(name: &str) -> bool {
    let xdp =
        XdpHook::ALL.into_iter().flat_map(|hook| [XdpMode::Native, XdpMode::Generic].map(|it| hook.program_for(it)));
    let mut all = Hook::ALL.into_iter().map(Hook::program).chain([FROM_NETKIT]).chain(xdp);
    all.any(|program| name == program.get(..NAME_MAX).unwrap_or(program))
}

/// What the programs of the machine are called, by their ids. Read once: there may be thousands of interfaces, and of programs.
#[derive(Debug)]
pub struct ProgramNames(BTreeMap<u32, String>);

impl ProgramNames {
    /// Reads them. A program that goes meanwhile has no name.
    #[must_use]
    pub fn read() -> Self {
        let loaded = loaded_programs().filter_map(Result::ok);
        Self(loaded.map(|it| (it.id(), it.name_as_str().unwrap_or_default().to_owned())).collect())
    }

    /// The name of one, up to 15 bytes; empty if it has none.
    pub(crate) fn of(&self, id: u32) -> &str {
        self.0.get(&id).map_or("", String::as_str)
    }
}

/// The programs at an interface of the calling thread's namespace: what comes in first, each direction in its order.
///
/// # Errors
/// The kernel does not list them.
pub fn programs_at(netlink: &Netlink, link: &Link, names: &ProgramNames) -> Result<Vec<AttachedProgram>> {
    let mut ids: Vec<(AttachPoint, u32)> = link.xdp.map(|xdp| (AttachPoint::Xdp, xdp.id)).into_iter().collect();
    for (inbound, attach_type, direction) in
        [(true, TcAttachType::Ingress, TcDirection::Ingress), (false, TcAttachType::Egress, TcDirection::Egress)]
    {
        if link.is_netkit() {
            ids.extend(netkit::at(link.index, inbound).into_iter().map(|id| (AttachPoint::Netkit(inbound), id)));
        }
        // A kernel without TCX has none of them.
        if let Ok((_, programs)) = SchedClassifier::query_tcx(link.index, attach_type) {
            ids.extend(programs.iter().map(|program| (AttachPoint::Tcx(inbound), program.id())));
        }
        let mut filters = netlink.filters(link.index, direction)?;
        filters.sort_by_key(|filter| (filter.priority, filter.handle));
        ids.extend(filters.iter().filter_map(|filter| Some((AttachPoint::Clsact(inbound), filter.program?))));
    }
    let attached = |(point, id): (AttachPoint, u32)| {
        let name = names.of(id);
        AttachedProgram { point, ours: is_ours(name), name: name.to_owned(), id }
    };
    Ok(ids.into_iter().map(attached).collect())
}
