//! What a process that strangers talk to gives up.

use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};

use fwd_base::{Context as _, Result};

/// `nobody`: what the kernel shows where there is no other user (/proc/sys/kernel/overflowuid).
const NOBODY: u32 = 65_534;

/// Gives up whatever the calling process may do more than others: root becomes `nobody` and leaves its groups, no capability is
/// left, and none comes back by a set-user-ID program. Returns as whom it goes on.
///
/// Only for a process of one thread: capabilities belong to threads.
///
/// # Errors
/// Something could not be given up. The process should end then.
pub fn give_up_privileges() -> Result<String> {
    set_no_new_privs(true).doing("give up", "what set-user-ID programs may do")?;
    if Uid::effective().is_root() {
        become_nobody().doing("become", "user nobody")?;
    }
    let none = CapabilitySet::empty();
    let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
    set_capabilities(None, none).doing("give up", "all capabilities")?;
    Ok(match Uid::current().as_raw() {
        NOBODY => "nobody".to_owned(),
        0 => "root without capabilities".to_owned(),
        uid => format!("user {uid}"),
    })
}

fn become_nobody() -> nix::Result<()> {
    let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    // Root of a user namespace that has no second user, or of a container whose root may not become one, stays what it is: it is
    // an ordinary user outside, and its capabilities go all the same.
    let where_possible = |result: nix::Result<()>| match result {
        Err(nix::Error::EINVAL | nix::Error::EPERM) => Ok(()),
        result => result,
    };
    where_possible(setgroups(&[]))?;
    where_possible(setresgid(gid, gid, gid))?;
    where_possible(setresuid(uid, uid, uid))
}
