//! A session of its own, and no privilege.

use fwd_base::{Context as _, Result};
use nix::{
    sys::{
        prctl::set_no_new_privs,
        resource::{Resource, setrlimit},
    },
    unistd::{Gid, Uid, chdir, setgroups, setresgid, setresuid, setsid},
};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

/// Who owns nothing (`nobody`): the number for what has none in a user namespace, too (`/proc/sys/kernel/overflowuid`).
const NOBODY: u32 = 65_534;
/// Descriptors at most: connections and queries under way (`limits`), and the sockets of many networks.
const FILES: u64 = 4_096;

/// Leaves the terminal and the directory of whoever started it.
pub(super) fn session() -> Result<()> {
    setsid().doing("begin", "a session")?;
    chdir("/").doing("leave", "the working directory")
}

/// Gives up everything that root may.
pub(super) fn drop_all() -> Result<()> {
    let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    let drop = || {
        setrlimit(Resource::RLIMIT_NOFILE, FILES, FILES)?;
        setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
        setgroups(&[])?;
        setresgid(group, group, group)?;
        setresuid(user, user, user)?;
        set_no_new_privs()
    };
    drop().doing("become", format!("nobody ({NOBODY})"))?;
    // From root alone the kernel takes all capabilities with the user (capabilities(7)). Ambient ones go with those that are permitted.
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    set_capabilities(None, sets).map_err(std::io::Error::from).doing("give up", "all capabilities")
}
