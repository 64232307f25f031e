//! Whether the kernel has netkit devices.

use rtnetlink::{
    LinkNetkit,
    packet_core::{NLM_F_CREATE, NLM_F_EXCL},
    packet_route::{RouteNetlinkMessage, link::NetkitMode},
};

use crate::netlink::Netlink;
use fwd_base::Result;

/// Names of a pair that is there for a moment.
const PROBE: [&str; 2] = ["fwdprobe0", "fwdprobe1"];

impl Netlink {
    /// Makes a pair of netkit devices and deletes it again.
    ///
    /// # Errors
    /// [`Unsupported`](fwd_base::Kind::Unsupported) if the kernel does not have them.
    pub fn probe_netkit(&self) -> Result<()> {
        let [name, peer] = PROBE;
        let message = RouteNetlinkMessage::NewLink(LinkNetkit::new(name, peer, NetkitMode::L2).build());
        self.change(message, NLM_F_CREATE | NLM_F_EXCL).map_err(|failure| failure.doing("make", "a netkit device"))?;
        self.delete_link(self.created(name)?)
    }
}
