//! Times the handshakes of TCP.

use forwarder_common::{abi::FlowVersion, flow::Handshake, types::direction::Direction};

use crate::{
    kernel::{clock::nanoseconds, slots},
    table::lookup::Hit,
};

/// Notes a segment with SYN at its flow.
#[inline(always)]
pub(crate) fn note(direction: Direction, hit: &Hit, flags: u8) {
    fwd_handshake(hit.index, hit.version, direction, flags.into());
}

global_fn! {
    /// See [`handshake`]. Called for SYN alone.
    fn fwd_handshake(index: u32, version: FlowVersion, direction: Direction, flags: u32) -> () = handshake;
}

/// Notes a segment with these flags at the flow in slot `index`, whose version was `version`.
#[inline(always)]
fn handshake(index: u32, version: FlowVersion, direction: Direction, flags: u32) {
    let Some(slot) = slots::slot(index) else { return };
    if !version.is_same_flow(slot.version().read_in_order()) {
        return;
    }
    let now = nanoseconds() / 1000;
    let before = Handshake { syn_at: slot.syn_at().read(), rtt: slot.handshake_rtt().read() };
    let after = before.after(flags as u8, direction, version.state(), now as u32);
    // If the slot is given to another flow at this moment, that one's time is off: it decides nothing.
    if after != before {
        slot.syn_at().write(after.syn_at);
        slot.handshake_rtt().write(after.rtt);
    }
}
