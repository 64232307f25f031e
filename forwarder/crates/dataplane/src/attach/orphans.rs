//! Programs of a data path that nobody knows any more: their pins are in a bpffs that only another mount namespace still has.

use aya::programs::{SchedClassifier, tc::TcAttachType};

use crate::{
    Hook,
    attach::{attached::ProgramNames, netkit},
    object::programs::FROM_NETKIT,
};
use fwd_base::Result;
use fwd_kernel::netlink::Link;

/// A program that is attached by TCX, or to a netkit pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrphanedProgram {
    /// The interface.
    pub ifname: String,
    /// The name of the program.
    pub program: String,
    /// Its id.
    pub id: u32,
}

/// Programs with the names of ours at these interfaces of the calling thread's namespace; none where the kernel has no TCX, whose
/// filters are taken off by their interface.
///
/// # Errors
/// A program cannot be examined.
pub fn orphans(links: &[Link]) -> Result<Vec<OrphanedProgram>> {
    let mut orphans = Vec::new();
    for (link, attach_type) in
        links.iter().flat_map(|link| [(link, TcAttachType::Ingress), (link, TcAttachType::Egress)])
    {
        let Ok((_, programs)) = SchedClassifier::query_tcx(link.index, attach_type) else { continue };
        for program in programs {
            let name = program.name_as_str().unwrap_or_default();
            if Hook::ALL.iter().any(|hook| hook.program() == name) {
                orphans.push(OrphanedProgram { ifname: link.name.clone(), program: name.into(), id: program.id() });
            }
        }
    }
    let pairs = links.iter().filter(|link| link.is_netkit());
    let found: Vec<_> =
        pairs.flat_map(|link| netkit::at(link.index, true).into_iter().map(move |id| (link, id))).collect();
    if !found.is_empty() {
        let names = ProgramNames::read();
        let ours = found.into_iter().filter(|(_, id)| names.of(*id) == FROM_NETKIT);
        let orphan =
            |(link, id): (&Link, u32)| OrphanedProgram { ifname: link.name.clone(), program: FROM_NETKIT.into(), id };
        orphans.extend(ours.map(orphan));
    }
    Ok(orphans)
}
