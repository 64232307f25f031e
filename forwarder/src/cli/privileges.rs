//! Who may run what changes something: root, or whoever has the capabilities for it (docs/privileges.md).

use std::ffi::OsString;

use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

use super::invocation;
use crate::{Context as _, Error, Kind, Result};

/// A capability that commands need which change something.
pub(crate) struct Needed {
    set: CapabilitySet,
    /// `CAP_NET_ADMIN`.
    pub(crate) name: &'static str,
    /// What it is needed for.
    pub(crate) why: &'static str,
}

/// All of them.
pub(crate) const NEEDED: [Needed; 5] = [
    Needed {
        set: CapabilitySet::CHOWN,
        name: "CAP_CHOWN",
        why: "gives the run directory to root, whoever makes it, so that nobody else has a say in it",
    },
    Needed {
        set: CapabilitySet::DAC_OVERRIDE,
        name: "CAP_DAC_OVERRIDE",
        why: "writes where root does: the run directory, /run/netns, /etc/netns, sysctls; reads what runtimes note of containers",
    },
    Needed {
        set: CapabilitySet::NET_ADMIN,
        name: "CAP_NET_ADMIN",
        why: "makes interfaces, addresses, routes and rules, and attaches programs to interfaces",
    },
    Needed {
        set: CapabilitySet::SYS_ADMIN,
        name: "CAP_SYS_ADMIN",
        why: "enters network namespaces, makes and mounts them, mounts the bpffs, and loads programs and maps (CAP_BPF and CAP_PERFMON are in it)",
    },
    Needed {
        set: CapabilitySet::SYS_PTRACE,
        name: "CAP_SYS_PTRACE",
        why: "finds the namespaces of processes of other users: `--pid`, `--container`, `fwd ns ls --all`, owners of ports",
    },
];

/// Refuses whoever may not, before anything is looked at.
///
/// # Errors
/// [`Kind::Unsupported`], with what is missing.
pub(super) fn check(args: &[OsString]) -> Result<()> {
    let refused = |why: String| Error::new(Kind::Unsupported, "run", "fwd", why);
    let ids = (nix::unistd::getuid(), nix::unistd::getgid());
    if ids != (nix::unistd::geteuid(), nix::unistd::getegid()) {
        // What such a program does as root, whoever calls it, is beyond what it was written for: others' files, others' programs.
        let why = "it is installed set-user-ID or set-group-ID, which would let everybody act as its owner";
        return Err(
            refused(why.into()).remedy("take that from it: `chmod ug-s`; docs/privileges.md says what works instead")
        );
    }
    if ids.0.is_root() {
        return Ok(());
    }
    let sets = capabilities(None).doing("read", "the capabilities of fwd")?;
    let missing: Vec<&str> =
        NEEDED.iter().filter(|needed| !sets.effective.contains(needed.set)).map(|needed| needed.name).collect();
    match missing.len() {
        0 => Ok(()),
        all if all == NEEDED.len() => {
            let why = "only root may change namespaces and load programs, or whoever has the capabilities for it";
            Err(refused(why.into()).remedy(format!("sudo {}", invocation::line(args))))
        }
        _ => Err(refused(format!("it has some of the capabilities that it needs, but not {}", missing.join(", ")))
            .remedy("add them, or run it as root; docs/privileges.md says what each is for")),
    }
}

/// Gives up all capabilities, for what everybody may do: such as to write manual pages, into files of the caller's alone.
///
/// # Errors
/// The kernel refuses.
pub(super) fn give_up() -> Result<()> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let none = CapabilitySet::empty();
    let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
    set_capabilities(None, none).doing("give up", "all capabilities")
}

#[cfg(test)]
mod tests {
    use super::NEEDED;
    use crate::doctor::CAPABILITIES_NEEDED;

    #[test]
    fn doctor_looks_for_the_same_capabilities() {
        for (needed, (number, name)) in NEEDED.iter().zip(CAPABILITIES_NEEDED) {
            assert_eq!((needed.name, needed.set.bits()), (name, 1 << number));
        }
        assert_eq!(NEEDED.len(), CAPABILITIES_NEEDED.len());
    }
}
