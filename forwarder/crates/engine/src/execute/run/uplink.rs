//! The record of an uplink, and the programs at it.

use std::net::Ipv4Addr;

use forwarder_common::abi::{self, uplink_flags};

use super::{
    super::{
        record,
        surroundings::{Transit, multicast},
    },
    Execute, Runner, unrecorded,
};
use fwd_base::{Kind, Result};
use fwd_dataplane::{TcxOrder, XdpHook, name};
use fwd_kernel::netlink::LinkLayer;
use fwd_plan::object::{Uplink, UplinkAddress, UplinkAsked, UplinkHooks, UplinkName, UplinkOrder, UplinkXdp};

impl Execute for Uplink {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        let [inward, outward] = runner.take_counters()?;
        let plane = runner.plane()?;
        plane.note_device(self.index)?;
        let transit = Transit::read(&runner.log)?.is_allowed(self.index);
        plane.put_uplink(self.index, &record::of_uplink(&self.name, self.address, transit, inward, outward)?)
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        let plane = runner.plane()?;
        if let Some((index, record)) = plane.uplinks()?.into_iter().find(|(index, _)| *index == self.index) {
            multicast::release(&runner.netlink, index, &record)?;
        }
        plane.remove_uplink(self.index)
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

impl Execute for UplinkAsked {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.set_flag(self.index, uplink_flags::ASKED, true)
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.set_flag(self.index, uplink_flags::ASKED, false)
    }
}

impl Execute for UplinkOrder {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.order_uplink(self.index, self.to)
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.order_uplink(self.index, self.from)
    }
}

impl Execute for UplinkHooks {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        let plane = runner.plane()?;
        let record = plane.uplinks()?.into_iter().find(|(index, _)| *index == self.index);
        let order = record.map_or(TcxOrder::First, |(_, record)| record::order_of(&record));
        plane.attach_uplink(self.index, self.layer != LinkLayer::None, order)?;
        runner.set_flag(self.index, uplink_flags::GUARDED, true)
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        // Before the guard goes. Of what an interrupted command left there may be no record.
        match runner.set_flag(self.index, uplink_flags::GUARDED, false) {
            Err(error) if error.kind != Kind::NotFound => Err(error),
            _ => runner.plane()?.detach_uplink(self.index),
        }
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
        self.change_uplink(index, |uplink| {
            uplink.v4 = address.octets();
            Ok(())
        })
    }

    /// Puts the programs at an uplink elsewhere among those of others. The record last: by it the next command sees whether there is something to do.
    fn order_uplink(&self, index: u32, order: TcxOrder) -> Result<()> {
        self.plane()?.order_uplink(index, order)?;
        self.set_flag(index, uplink_flags::BEHIND_OTHERS, order == TcxOrder::Last)
    }

    /// Sets or clears a flag of an uplink.
    fn set_flag(&self, index: u32, flag: u32, set: bool) -> Result<()> {
        self.change_uplink(index, |uplink| {
            uplink.flags = if set { uplink.flags | flag } else { uplink.flags & !flag };
            Ok(())
        })
    }

    /// Changes the record of an uplink.
    fn change_uplink(&self, index: u32, change: impl FnOnce(&mut abi::Uplink) -> Result<()>) -> Result<()> {
        let plane = self.plane()?;
        let uplink = plane.uplinks()?.into_iter().find(|(key, _)| *key == index);
        let (_, mut uplink) = uplink.ok_or_else(|| unrecorded(format!("uplink with index {index}")))?;
        change(&mut uplink)?;
        plane.put_uplink(index, &uplink)
    }

    /// Gives an uplink another name.
    fn rename_uplink(&self, index: u32, to: &str) -> Result<()> {
        self.change_uplink(index, |uplink| {
            uplink.ifname = name(to)?;
            Ok(())
        })
    }
}
