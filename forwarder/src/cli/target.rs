//! The namespace that a command is about.

use super::args::TargetArgs;
use crate::{Error, Kind, Result, netns::Name, reconcile::TargetRef};

/// What was given, if anything; clap has made sure that it is only one.
pub(super) fn given(args: &TargetArgs) -> Result<Option<TargetRef>> {
    let TargetArgs { name, ns, pid, netns } = args;
    Ok(match (name.as_ref().or(ns.as_ref()), pid, netns) {
        (Some(name), ..) => Some(TargetRef::Named(Name::try_from(name.as_str())?)),
        (None, Some(pid), _) => Some(TargetRef::Pid(*pid)),
        (None, None, Some(path)) => Some(TargetRef::Path(path.clone())),
        (None, None, None) => None,
    })
}

/// What was given to a command for which clap asks for one.
pub(super) fn required(args: &TargetArgs) -> Result<TargetRef> {
    let missing = || Error::new(Kind::Usage, "choose", "a namespace", "none is given").remedy("--ns NAME");
    given(args)?.ok_or_else(missing)
}
