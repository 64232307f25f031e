//! Records, programs and the flow table.

use super::{super::names, Execute, Runner};
use fwd_base::Result;
use fwd_dataplane::{Dataplane, Sizes};
use fwd_plan::object::{OtherVersion, RecordMaps};

impl Execute for RecordMaps {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.plane = Some(Dataplane::create_records(&runner.context.run_dir, runner.cookie)?);
        Ok(())
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.plane = None;
        names::forget(runner.context, runner.cookie)?;
        Dataplane::destroy(&runner.context.run_dir, runner.cookie)
    }
}

impl Execute for Sizes {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.plane()?.load(self)
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.plane()?.unload()
    }
}

impl Execute for OtherVersion {
    fn make(&self, _: &mut Runner<'_>) -> Result<()> {
        // No plan makes it: only what is there is removed, and that is not undone.
        Ok(())
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        Dataplane::remove_version(&runner.context.run_dir, runner.cookie, &self.name)
    }
}
