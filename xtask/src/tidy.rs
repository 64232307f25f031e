//! `./x tidy`
use crate::workspace::Workspace;
use anyhow::Result;
pub(crate) fn run(_workspace: &Workspace, _arguments: &[String]) -> Result<()> {
    Ok(())
}
