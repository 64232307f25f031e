//! Programs of a data path that nobody knows any more: their pins are in a bpffs that only another mount namespace still has.

use aya::programs::{SchedClassifier, tc::TcAttachType};

use crate::Hook;
use fwd_base::Result;
use fwd_kernel::netlink::Link;

/// A program that is attached by TCX.
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
    Ok(orphans)
}
