//! Under which name we are called, and for whom that is CNI.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::Path,
};

use crate::environment::COMMAND;

/// A plugin that `fwd` is, by the name of the program: so that a configuration for others goes on working.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plugin {
    /// `fwd`, and any name that is none of the others.
    Fwd,
    /// `bridge` of the CNI project.
    Bridge,
    /// `ptp` of the CNI project.
    Ptp,
    /// `portmap` of the CNI project, behind one of the others.
    Portmap,
    /// `loopback` of the CNI project.
    Loopback,
}

impl Plugin {
    /// The plugin that is called by the words `args`, of which the first is the program; none where somebody calls the command line: who does
    /// gives words, and a runtime gives none, but sets `CNI_COMMAND`.
    #[must_use]
    pub fn called(args: &[OsString]) -> Option<Self> {
        if args.len() > 1 || env::var_os(COMMAND).is_none() {
            return None;
        }
        Some(Self::named(args.first().map_or(OsStr::new(""), OsString::as_os_str)))
    }

    fn named(program: &OsStr) -> Self {
        match Path::new(program).file_name().and_then(OsStr::to_str) {
            Some("bridge") => Self::Bridge,
            Some("ptp") => Self::Ptp,
            Some("portmap") => Self::Portmap,
            Some("loopback") => Self::Loopback,
            _ => Self::Fwd,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_program_tell_the_plugin() {
        for (program, plugin) in [
            ("/opt/cni/bin/fwd", Plugin::Fwd),
            ("fwd-2", Plugin::Fwd),
            ("/opt/cni/bin/bridge", Plugin::Bridge),
            ("ptp", Plugin::Ptp),
            ("./portmap", Plugin::Portmap),
            ("/usr/lib/cni/loopback", Plugin::Loopback),
            ("", Plugin::Fwd),
        ] {
            assert_eq!(Plugin::named(OsStr::new(program)), plugin, "{program}");
        }
        assert_eq!(Plugin::called(&["fwd".into(), "ls".into()]), None);
    }
}
