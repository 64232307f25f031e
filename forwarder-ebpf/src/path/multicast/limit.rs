//! How much passes in a second: from each namespace, and by each uplink inwards.

use forwarder_common::{
    decide::multicast::admitted,
    types::verdict::{Code, DropReason},
};

use crate::kernel::{
    clock::now,
    counters::{self, Amount},
    maps::{MULTICAST_SENT, config},
    shared::Shared,
};

global_fn! {
    /// See [`exceeds`].
    fn fwd_exceeds_multicast(block: u32, packets: u32) -> bool = exceeds;
}

/// Whether a packet of so much may pass that leaves by an uplink, or has come by it, and counts for whom this block of counters is: an endpoint, or what
/// comes by the uplink. Counts at the uplink that it does, or was too much.
///
/// # Errors
/// It was.
#[inline(always)]
pub(super) fn admit((uplink, leaves): (u32, bool), block: u32, amount: Amount) -> Result<(), Code> {
    let exceeds = fwd_exceeds_multicast(block, amount.packets);
    let code = if exceeds { DropReason::RateExceeded.into() } else { Code::FORWARDED };
    counters::fwd_count_at_uplink(uplink, leaves, code, amount.packets, amount.bytes);
    if exceeds { Err(code) } else { Ok(()) }
}

/// Whether too much has passed in this second. Two CPUs may count one packet for two.
#[inline(always)]
fn exceeds(block: u32, packets: u32) -> bool {
    let Some(config) = config() else { return true };
    let second = now().checked_div(config.hz).unwrap_or_default();
    let Some(noted) = Shared::element(&MULTICAST_SENT, block) else { return true };
    let Some(sent) = admitted(noted.read(), second, packets) else { return true };
    noted.write(sent);
    false
}
