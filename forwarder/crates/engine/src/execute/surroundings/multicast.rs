//! What uplinks of networks with multicast need: that the card takes what is for any group, because nobody on the host has joined those of namespaces; and the address of the link from
//! which copies leave.

use forwarder_common::abi::{Uplink, endpoint_flags, feature, uplink_flags};

use fwd_base::{Kind, Result};
use fwd_dataplane::Dataplane;
use fwd_kernel::netlink::{Link, Netlink};

/// Has an uplink take what is for any group as long as a network wants that, and finds its address of the link. Its record as it is to be then.
///
/// # Errors
/// The kernel refuses, or a map cannot be read or written.
pub(super) fn follow(plane: &Dataplane, netlink: &Netlink, link: &Link, record: &Uplink) -> Result<Uplink> {
    let ours = record.flags & uplink_flags::ALLMULTI != 0;
    let is_wanted = plane.config()?.features & feature::MULTICAST != 0
        && plane.networks()?.iter().any(|(_, it)| it.flags & endpoint_flags::MULTICAST != 0 && it.uplink == link.index);
    let without = Uplink { flags: record.flags & !uplink_flags::ALLMULTI, link_local: [0; 16], ..*record };
    if !is_wanted {
        release(netlink, link.index, record)?;
        return Ok(without);
    }
    let flag = if ours || !link.allmulti { uplink_flags::ALLMULTI } else { 0 };
    let link_local = netlink.link_local(link.index)?.map(|address| address.octets()).unwrap_or_default();
    let now = Uplink { flags: without.flags | flag, link_local, ..without };
    if flag != 0 && !link.allmulti {
        // First noted: what a killed command has changed, a later one puts back.
        plane.put_uplink(link.index, &now)?;
        netlink.set_allmulti(link.index, true)?;
    }
    Ok(now)
}

/// Has an uplink take what it took before, if it was changed. One that is gone needs nothing.
///
/// # Errors
/// The kernel refuses.
pub(in crate::execute) fn release(netlink: &Netlink, index: u32, record: &Uplink) -> Result<()> {
    if record.flags & uplink_flags::ALLMULTI == 0 {
        return Ok(());
    }
    match netlink.set_allmulti(index, false) {
        Err(error) if error.kind != Kind::NotFound => Err(error),
        _ => Ok(()),
    }
}
