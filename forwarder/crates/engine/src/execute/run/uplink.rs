//! The record of an uplink, and the programs at it.

use std::net::Ipv4Addr;

use super::{super::record, Execute, Runner, no_counters, unrecorded};
use fwd_base::Result;
use fwd_dataplane::{XdpHook, name};
use fwd_kernel::netlink::LinkLayer;
use fwd_plan::object::{Uplink, UplinkAddress, UplinkHooks, UplinkName, UplinkXdp};

impl Execute for Uplink {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        let plane = runner.plane()?;
        let counters = plane.free_counters(2)?;
        let [inward, outward] = counters[..] else { return Err(no_counters()) };
        plane.note_device(self.index)?;
        plane.put_uplink(self.index, &record::of_uplink(&self.name, self.address, inward, outward)?)
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.plane()?.remove_uplink(self.index)
    }
}

impl Execute for UplinkAddress {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.change_address(self.index, self.to)
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.change_address(self.index, self.from)
    }
}

impl Execute for UplinkName {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.rename_uplink(self.index, &self.to)
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.rename_uplink(self.index, &self.from)
    }
}

impl Execute for UplinkHooks {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.plane()?.attach_uplink(self.index, self.layer != LinkLayer::None)
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.plane()?.detach_uplink(self.index)
    }
}

impl Execute for UplinkXdp {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.plane()?.attach_xdp(XdpHook::FromUplink, self.index, None).map(drop)
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.plane()?.detach_xdp(XdpHook::FromUplink, self.index)
    }
}

impl Runner<'_> {
    /// Gives an uplink another address.
    fn change_address(&self, index: u32, address: Ipv4Addr) -> Result<()> {
        let plane = self.plane()?;
        let uplink = plane.uplinks()?.into_iter().find(|(key, _)| *key == index);
        let (_, mut uplink) = uplink.ok_or_else(|| unrecorded(format!("uplink with index {index}")))?;
        uplink.v4 = address.octets();
        plane.put_uplink(index, &uplink)
    }

    /// Gives an uplink another name.
    fn rename_uplink(&self, index: u32, to: &str) -> Result<()> {
        let plane = self.plane()?;
        let uplink = plane.uplinks()?.into_iter().find(|(key, _)| *key == index);
        let (_, mut uplink) = uplink.ok_or_else(|| unrecorded(format!("uplink with index {index}")))?;
        uplink.ifname = name(to)?;
        plane.put_uplink(index, &uplink)
    }
}
