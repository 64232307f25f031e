//! A host-side veth as a port of the bridge, and the endpoint as a neighbour there, and on the link of the uplink.

use super::{Execute, Runner};
use fwd_base::{Kind, Result};
use fwd_kernel::sysctl;
use fwd_plan::{
    disable_ipv6,
    object::{Fdb, HostSide, Neighbour, Port, ProxyNeighbour},
    rp_filter,
};

impl Execute for Port {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        let (port, bridge) = (runner.number(&self.host_if)?, runner.number(&self.bridge)?);
        // Before anything comes by it.
        take_ipv6_from(&self.host_if)?;
        sysctl::write(&rp_filter(&self.host_if), "1")?;
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

/// A kernel without IPv6, or a link too small for it, has no such setting.
fn take_ipv6_from(host_if: &str) -> Result<()> {
    match sysctl::write(&disable_ipv6(host_if), "1") {
        Err(error) if error.kind != Kind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl Execute for HostSide {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        take_ipv6_from(&self.host_if)?;
        self.sysctls().iter().try_for_each(|(path, value)| sysctl::write(path, value))?;
        // It may have been a port of the network that was there under this name before.
        let link = runner.link(&self.host_if)?;
        if link.controller.is_some() { runner.netlink.set_controller(link.index, None) } else { Ok(()) }
    }

    /// It goes with the interface.
    fn remove(&self, _: &mut Runner<'_>) -> Result<()> {
        Ok(())
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
        runner.announce(index, [self.address.into()]);
        Ok(())
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.netlink.del_proxy(runner.number(&self.uplink)?, self.address)
    }
}
