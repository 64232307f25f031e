//! The bridge of a network.

use super::{Execute, Runner};
use fwd_base::Result;
use fwd_kernel::netlink::BridgeSpec;
use fwd_plan::object::{GatewayAddress, LinkUp};

impl Execute for BridgeSpec {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.netlink.create_bridge(self).map(drop)
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.netlink.delete_link(runner.number(&self.name)?)
    }
}

impl Execute for GatewayAddress {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.netlink.add_address(runner.number(&self.bridge)?, self.address)
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.netlink.del_address(runner.number(&self.bridge)?, self.address)
    }
}

impl Execute for LinkUp {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.netlink.set_up(runner.number(&self.name)?)
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.netlink.set_down(runner.number(&self.name)?)
    }
}
