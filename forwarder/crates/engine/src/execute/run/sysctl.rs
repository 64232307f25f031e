//! A changed sysctl.

use super::{Execute, Runner};
use fwd_base::Result;
use fwd_kernel::sysctl;
use fwd_plan::SysctlRecord;

impl Execute for SysctlRecord {
    fn make(&self, _: &mut Runner<'_>) -> Result<()> {
        sysctl::write(&self.path, &self.ours)
    }

    fn remove(&self, _: &mut Runner<'_>) -> Result<()> {
        sysctl::write(&self.path, &self.original)
    }
}
