//! Macvlans that only send.

use std::os::fd::{AsFd, AsRawFd};

use rtnetlink::{
    LinkMacVlan,
    packet_core::{NLM_F_CREATE, NLM_F_EXCL},
    packet_route::{RouteNetlinkMessage, link::MacVlanMode},
};

use super::Netlink;
use crate::{Error, Result, error::Kind, netns::Netns};

/// A macvlan to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MacvlanSpec {
    /// Its name inside the target namespace, at most 15 bytes.
    pub name: String,
    /// Largest IP packet, bytes.
    pub mtu: u32,
}

impl Netlink {
    /// Creates a macvlan of the interface `lower` of this namespace, down, directly inside `target`.
    ///
    /// It only sends: in mode `source` without sources it gets neither what is sent to its hardware address nor broadcasts
    /// (`macvlan_handle_frame` and `macvlan_multicast_rx`, drivers/net/macvlan.c), so that those are not copied for each one.
    ///
    /// # Errors
    /// [`Kind::Conflict`] if the name is taken or `lower` gives its packets to something else already, [`Kind::Unsupported`] if
    /// the kernel has no macvlan.
    pub fn create_macvlan(&self, spec: &MacvlanSpec, lower: u32, target: &Netns) -> Result<()> {
        let message = LinkMacVlan::new(&spec.name, lower, MacVlanMode::Source)
            .mtu(spec.mtu)
            .setns_by_fd(target.as_fd().as_raw_fd())
            .build();
        let Err(failure) = self.change(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL) else {
            return Ok(());
        };
        let object = format!("macvlan {} of {}", spec.name, self.label(lower));
        let refused = |kind, why: &str| Error::new(kind, "create", object.clone(), why);
        Err(match failure.errno() {
            Some(libc::EEXIST) => {
                refused(Kind::Conflict, "an interface inside the target namespace has that name").caused_by(failure)
            }
            Some(libc::EBUSY) => refused(Kind::Conflict, "the uplink is a port of a bridge, a bond or the like")
                .remedy("use --datapath tc, or name the bridge or bond as --uplink")
                .caused_by(failure),
            Some(libc::EOPNOTSUPP) => {
                refused(Kind::Unsupported, "this kernel has no macvlan").remedy("use --datapath tc").caused_by(failure)
            }
            _ => failure.doing("create", object),
        })
    }
}
