//! Programs in the places of those that a pinned link has attached. Where they were may have gone meanwhile.

use std::io;

use aya::programs::{
    ProgramError,
    links::{LinkError, PinnedLink},
};

use crate::load::errno::errno;
use fwd_base::{Context as _, Result};

/// A pinned link; none if it has gone meanwhile.
///
/// # Errors
/// The pin cannot be opened.
pub(crate) fn opened(link: Result<PinnedLink, LinkError>, object: impl Fn() -> String) -> Result<Option<PinnedLink>> {
    match link {
        Ok(link) => Ok(Some(link)),
        Err(LinkError::SyscallError(error)) if error.io_error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).doing("replace", object()),
    }
}

/// A link whose interface or cgroup has gone has nothing to be replaced (`ENOLINK` of `link_update`, kernel/bpf/cgroup.c and tcx.c).
///
/// # Errors
/// The kernel refuses.
pub(crate) fn updated<T>(result: Result<T, ProgramError>, object: impl Fn() -> String) -> Result<()> {
    match result {
        Err(error) if errno(&error) == Some(libc::ENOLINK) => Ok(()),
        result => result.map(drop).doing("replace", object()),
    }
}
