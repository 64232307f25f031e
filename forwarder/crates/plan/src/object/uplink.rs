//! The record of an uplink, and the programs at it.

use std::{fmt, net::Ipv4Addr};

use super::{super::shell, Acts, Handling, Managed};
use crate::{Actual, UplinkRecord};
use fwd_dataplane::TcxOrder;
use fwd_kernel::netlink::LinkLayer;

/// An uplink's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplink {
    /// Its name.
    pub name: String,
    /// Its ifindex.
    pub index: u32,
    /// Address behind which endpoints appear.
    pub address: Ipv4Addr,
}

impl Managed for Uplink {
    fn handling(&self) -> Handling {
        Handling::new("record", "forget", Acts::OnPins)
    }

    fn is_there(&self, actual: &Actual) -> bool {
        record(actual, self.index, |_| true)
    }

    fn equivalent(&self, make: bool, pins: &str) -> Vec<String> {
        vec![shell::record("UPLINKS", &self.name, make, pins)]
    }
}

impl fmt::Display for Uplink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uplink {}", self.name)
    }
}

/// Another address of an uplink that has a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UplinkAddress {
    /// The uplink's name.
    pub name: String,
    /// Its ifindex.
    pub index: u32,
    /// What the record says.
    pub from: Ipv4Addr,
    /// What it should say.
    pub to: Ipv4Addr,
}

impl Managed for UplinkAddress {
    fn handling(&self) -> Handling {
        Handling::new("correct", "revert", Acts::OnPins)
    }

    fn is_there(&self, actual: &Actual) -> bool {
        record(actual, self.index, |uplink| uplink.address == self.to)
    }

    fn equivalent(&self, make: bool, pins: &str) -> Vec<String> {
        vec![shell::record("UPLINKS", &self.name, make, pins)]
    }
}

impl fmt::Display for UplinkAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "address {} of uplink {}", self.to, self.name)
    }
}

/// The name of an uplink that has a record: it was renamed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UplinkName {
    /// Its ifindex.
    pub index: u32,
    /// What the record says.
    pub from: String,
    /// What it should say.
    pub to: String,
}

impl Managed for UplinkName {
    fn handling(&self) -> Handling {
        Handling::new("correct", "revert", Acts::OnPins)
    }

    fn is_there(&self, actual: &Actual) -> bool {
        record(actual, self.index, |uplink| uplink.name == self.to)
    }

    fn equivalent(&self, make: bool, pins: &str) -> Vec<String> {
        vec![shell::record("UPLINKS", &self.to, make, pins)]
    }
}

impl fmt::Display for UplinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "name of uplink {} to {}", self.from, self.to)
    }
}

/// That an uplink with a record stays one, because a command has asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UplinkAsked {
    /// The uplink's name.
    pub name: String,
    /// Its ifindex.
    pub index: u32,
}

impl Managed for UplinkAsked {
    fn handling(&self) -> Handling {
        Handling::new("keep", "no more keep", Acts::OnPins)
    }

    fn is_there(&self, actual: &Actual) -> bool {
        record(actual, self.index, |uplink| uplink.asked)
    }

    fn equivalent(&self, make: bool, pins: &str) -> Vec<String> {
        vec![shell::record("UPLINKS", &self.name, make, pins)]
    }
}

impl fmt::Display for UplinkAsked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uplink {}, asked for by a command", self.name)
    }
}

/// Where the programs at an uplink that has a record stand among those of others, at TCX.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UplinkOrder {
    /// The uplink's name.
    pub name: String,
    /// Its ifindex.
    pub index: u32,
    /// Where they stand.
    pub from: TcxOrder,
    /// Where they should.
    pub to: TcxOrder,
}

impl Managed for UplinkOrder {
    fn handling(&self) -> Handling {
        Handling::new("put", "put back", Acts::OnPins).in_steps()
    }

    fn is_there(&self, actual: &Actual) -> bool {
        !actual.records.misplaced.contains(&self.index) && record(actual, self.index, |uplink| uplink.order == self.to)
    }

    fn equivalent(&self, make: bool, pins: &str) -> Vec<String> {
        vec![shell::record("UPLINKS", &self.name, make, pins)]
    }
}

impl fmt::Display for UplinkOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "programs at {} {} among others", self.name, self.to.name())
    }
}

/// The programs at an uplink: `to_uplink` is attached first and detached last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UplinkHooks {
    /// The uplink's name.
    pub name: String,
    /// Its ifindex.
    pub index: u32,
    /// The header of its packets, for which there are different programs.
    pub layer: LinkLayer,
}

impl Managed for UplinkHooks {
    fn handling(&self) -> Handling {
        Handling::new("attach", "detach", Acts::OnPins).in_steps().notable()
    }

    fn is_there(&self, actual: &Actual) -> bool {
        actual.records.uplink_hooks.contains(&self.index)
    }

    fn equivalent(&self, make: bool, pins: &str) -> Vec<String> {
        let [to, from] = match self.layer {
            LinkLayer::None => ["to_uplink_l3", "from_uplink_l3"],
            LinkLayer::Ethernet | LinkLayer::Other(_) => ["to_uplink", "from_uplink"],
        };
        let mut hooks = vec![
            shell::hook(to, "egress", &self.name, make, pins),
            shell::hook(from, "ingress", &self.name, make, pins),
        ];
        if !make {
            hooks.reverse();
        }
        hooks
    }
}

impl fmt::Display for UplinkHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "programs to_uplink and from_uplink at {}", self.name)
    }
}

/// The XDP program at an uplink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UplinkXdp {
    /// The uplink's name.
    pub name: String,
    /// Its ifindex.
    pub index: u32,
}

impl Managed for UplinkXdp {
    fn handling(&self) -> Handling {
        Handling::new("attach", "detach", Acts::OnPins).in_steps()
    }

    fn is_there(&self, actual: &Actual) -> bool {
        actual.records.uplink_xdp.contains(&self.index)
    }

    fn equivalent(&self, make: bool, pins: &str) -> Vec<String> {
        shell::xdp("xdp_from_uplink", &self.name, make, pins)
    }
}

impl fmt::Display for UplinkXdp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "XDP program xdp_from_uplink at {}", self.name)
    }
}

/// Whether the record of an uplink is there, and as it should be.
fn record(actual: &Actual, index: u32, is_right: impl Fn(&UplinkRecord) -> bool) -> bool {
    actual.records.uplinks.iter().any(|uplink| uplink.index == index && is_right(uplink))
}
