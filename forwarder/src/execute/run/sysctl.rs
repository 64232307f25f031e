//! A changed sysctl.

use super::{Execute, Runner};
use crate::{Result, reconcile::SysctlRecord, sysctl};

impl Execute for SysctlRecord {
    fn make(&self, _: &mut Runner<'_>) -> Result<()> {
        sysctl::write(&self.path, &self.ours)
    }

    fn remove(&self, _: &mut Runner<'_>) -> Result<()> {
        sysctl::write(&self.path, &self.original)
    }
}
