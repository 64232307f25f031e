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
        runner.netlink.delete_link(runner.link(&self.name)?.index)
    }
}

impl Execute for GatewayAddress {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.netlink.add_address(runner.link(&self.bridge)?.index, self.address)
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.netlink.del_address(runner.link(&self.bridge)?.index, self.address)
    }
}

impl Execute for LinkUp {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.netlink.set_up(runner.link(&self.name)?.index)
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.netlink.set_down(runner.link(&self.name)?.index)
    }
}
