//! The namespace that a command is about.

use std::path::Path;

use super::args::TargetArgs;
use crate::{Error, Kind, Result, container, netns::Name, reconcile::TargetRef};

/// What was given, if anything; clap has made sure that it is only one.
pub(super) fn given(args: &TargetArgs) -> Result<Option<TargetRef>> {
    let TargetArgs { name, ns, pid, netns, container } = args;
    let by_name = name.as_ref().or(ns.as_ref()).map(|name| Name::try_from(name.as_str())).transpose()?;
    let by_container = container.as_ref().map(|asked| container::find(Path::new("/"), asked)).transpose()?;
    let given = [
        by_name.map(TargetRef::Named),
        pid.map(TargetRef::Pid),
        netns.clone().map(TargetRef::Path),
        by_container.map(|found| TargetRef::Container(Box::new(found))),
    ];
    Ok(given.into_iter().flatten().next())
}

/// What was given to a command for which clap asks for one.
pub(super) fn required(args: &TargetArgs) -> Result<TargetRef> {
    let missing = || Error::new(Kind::Usage, "choose", "a namespace", "none is given").remedy("--ns NAME");
    given(args)?.ok_or_else(missing)
}
