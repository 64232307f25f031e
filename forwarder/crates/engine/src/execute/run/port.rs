//! A host-side veth as a port of the bridge, and the endpoint as a neighbour there, and on the link of the uplink.

use super::{Execute, Runner};
use fwd_base::{Kind, Result};
use fwd_kernel::sysctl;
use fwd_plan::{
    disable_ipv6,
    object::{Fdb, Neighbour, Port, ProxyNeighbour},
};

impl Execute for Port {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        let (port, bridge) = (runner.number(&self.host_if)?, runner.number(&self.bridge)?);
        // Before anything comes by it. A kernel without IPv6, or a link too small for it, has no such setting.
        match sysctl::write(&disable_ipv6(&self.host_if), "1") {
            Err(error) if error.kind != Kind::NotFound => return Err(error),
            _ => {}
        }
        runner.netlink.set_controller(port, Some(bridge))?;
        if self.isolated {
            runner.netlink.isolate_port(port)?;
        }
        if self.learns { Ok(()) } else { runner.netlink.fix_port(port) }
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.netlink.set_controller(runner.number(&self.host_if)?, None)
    }
}

impl Execute for Fdb {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.netlink.add_fdb(runner.number(&self.host_if)?, self.mac)
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.netlink.del_fdb(runner.number(&self.host_if)?, self.mac)
    }
}

impl Execute for Neighbour {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.netlink.replace_neighbour(runner.number(&self.bridge)?, self.address, self.mac)
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.netlink.del_neighbour(runner.number(&self.bridge)?, self.address)
    }
}

impl Execute for ProxyNeighbour {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        let index = runner.number(&self.uplink)?;
        runner.netlink.add_proxy(index, self.address)?;
        runner.tell(index, [self.address.into()]);
        Ok(())
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.netlink.del_proxy(runner.number(&self.uplink)?, self.address)
    }
}
