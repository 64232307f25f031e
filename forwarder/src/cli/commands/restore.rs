//! `fwd restore`: what a machine does when it starts (contrib/fwd-restore.service).

use std::path::PathBuf;

use clap::Args;

use super::apply;
use crate::{
    Kind, Result,
    cli::{caller, session::Session},
    config::{self, DIRECTORY},
    execute::{self, Observer},
    reconcile::{Endpoint, TargetRef},
    render::AppliedView,
};

/// Examples below the help.
pub(super) const HELP: &str = "\
The same as `fwd apply -f /etc/fwd`, but for what is given by a process: that has another
number after a start, and the number perhaps another process. Without files there is
nothing to do: what is up stays.

Examples:
  fwd export > /etc/fwd/network.toml
  systemctl enable fwd-restore         runs `fwd restore` whenever the machine starts";

/// `fwd restore`.
#[derive(Args, Debug)]
pub(crate) struct RestoreArgs {
    /// Directory of files that end in .toml [default: /etc/fwd]
    #[arg(value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
}

/// Makes what the files of the directory say.
pub(super) fn run(session: &mut Session<'_, '_>, args: &RestoreArgs, observer: &mut dyn Observer) -> Result<()> {
    let RestoreArgs { directory } = args;
    if directory.is_some() {
        caller::check_file("DIR")?;
    }
    let usual = directory.is_none();
    let directory = directory.clone().unwrap_or_else(|| DIRECTORY.into());
    let sources = match config::read(std::slice::from_ref(&directory)) {
        Err(error) if error.kind == Kind::NotFound && (usual || directory.is_dir()) => {
            session.warn(&[format!("no file in {} ends in .toml: all stays as it is", directory.display())])?;
            return session.emit(&AppliedView { changed: false, changes: Vec::new() });
        }
        sources => sources?,
    };
    let mut desired = config::desired(&sources)?;
    let up = execute::export(&session.context())?;
    let is_up = |endpoint: &Endpoint| up.endpoints.iter().any(|it| it.id == endpoint.id);
    let (kept, passed_over): (Vec<_>, Vec<_>) = desired
        .endpoints
        .into_iter()
        .partition(|endpoint| is_up(endpoint) || !endpoint.netns.as_ref().is_some_and(TargetRef::is_of_process));
    desired.endpoints = kept;
    for endpoint in passed_over {
        session.warn(&[format!("{} is left out: after a start, its process has another number", endpoint.id)])?;
    }
    apply::apply(session, &desired, false, observer)
}

#[cfg(test)]
mod tests {
    use crate::Kind;

    /// systemd ends all that a failed unit has started, the name servers of networks included.
    #[test]
    fn unit_stays_active_where_a_part_cannot_be() {
        let unit = include_str!("../../../../contrib/fwd-restore.service");
        let code = format!("SuccessExitStatus={}", Kind::Partly.exit_code());
        assert!(unit.lines().any(|line| line == code), "{code}");
    }
}
