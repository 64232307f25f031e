//! Waiting for an interface to carry packets.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::netlink::Netlink;
use fwd_base::{Error, Kind, Result};

/// Pause between two looks.
const INTERVAL: Duration = Duration::from_millis(1);

impl Netlink {
    /// Waits until an interface carries packets; call it for the first end of a veth pair after the second was set up.
    ///
    /// The kernel acts on a new carrier later (net/core/link_watch.c): at once if both ends have different indexes, else up to a
    /// second. Until then the first end drops what it is to send, and a bridge does not forward to it. Asking for one interface
    /// makes the kernel act immediately from Linux 6.8 on (rtnl_getlink), so this usually returns with the first look.
    ///
    /// # Errors
    /// It does not carry packets within `limit`: an end is down, or absent.
    pub fn await_carrier(&self, index: u32, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        while !self.link_by_index(index)?.is_some_and(|link| link.running) {
            if Instant::now() >= deadline {
                let why = format!("it has no carrier after {limit:?}");
                return Err(Error::new(Kind::Failed, "use", self.label(index), why));
            }
            thread::sleep(INTERVAL);
        }
        Ok(())
    }
}
