//! The veth pair of an endpoint.

use super::{Execute, Runner};
use fwd_base::Result;
use fwd_plan::object::Veth;

impl Execute for Veth {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.netlink.create_veth(&self.spec, runner.namespace(&self.ns)?).map(drop)
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.netlink.delete_link(runner.link(&self.spec.host_if)?.index)
    }
}
