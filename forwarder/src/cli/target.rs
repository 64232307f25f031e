//! The namespace that a command is about.

use std::path::PathBuf;

use super::args::TargetArgs;
use crate::{
    Result,
    netns::{Name, Netns},
};

/// How the user named a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// By its name.
    Name(Name),
    /// By one of its processes.
    Pid(u32),
    /// By its file.
    Path(PathBuf),
}

impl Target {
    /// What was given, if anything; clap has made sure that it is only one.
    pub(super) fn given(args: &TargetArgs) -> Result<Option<Self>> {
        let TargetArgs { name, ns, pid, netns } = args;
        Ok(match (name.as_ref().or(ns.as_ref()), pid, netns) {
            (Some(name), ..) => Some(Self::Name(Name::try_from(name.as_str())?)),
            (None, Some(pid), _) => Some(Self::Pid(*pid)),
            (None, None, Some(path)) => Some(Self::Path(path.clone())),
            (None, None, None) => None,
        })
    }

    /// Opens it.
    pub(super) fn open(&self) -> Result<Netns> {
        match self {
            Self::Name(name) => Netns::open_named(name),
            Self::Pid(pid) => Netns::open_pid(*pid),
            Self::Path(path) => Netns::open_path(path),
        }
    }

    /// Its name, where it was given by name.
    pub(super) fn name(&self) -> Option<&Name> {
        match self {
            Self::Name(name) => Some(name),
            Self::Pid(_) | Self::Path(_) => None,
        }
    }

    /// What people call it.
    pub(super) fn label(&self) -> String {
        match self {
            Self::Name(name) => name.to_string(),
            Self::Pid(pid) => format!("pid {pid}"),
            Self::Path(path) => path.display().to_string(),
        }
    }
}
