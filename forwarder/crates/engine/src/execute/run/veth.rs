//! The pair of an endpoint: veth, or netkit.

use super::{Execute, Runner};
use fwd_base::Result;
use fwd_plan::object::Veth;

impl Execute for Veth {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        let index = runner.netlink.create_pair(&self.spec, runner.namespace(&self.ns)?)?;
        runner.numbers.note(&self.spec.host_if, index);
        Ok(())
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.netlink.delete_link(runner.number(&self.spec.host_if)?)
    }
}
