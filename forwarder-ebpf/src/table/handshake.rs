//! Times the handshakes of TCP.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use forwarder_common::{abi::FlowVersion, flow::Handshake, types::direction::Direction};

use crate::{kernel::maps::FLOW_SLOTS, table::lookup::Hit};

/// Where the direction of a segment stands beside its flags.
const DIRECTION: u32 = 8;

/// Notes a segment with SYN at its flow.
#[inline(always)]
pub(crate) fn note(direction: Direction, hit: &Hit, flags: u8) {
    let flags = u32::from(flags) | (direction as u32) << DIRECTION;
    fwd_handshake(hit.index, hit.version.raw(), flags);
}

/// Notes a segment with these flags at the flow in slot `index`, whose version was `version`. Returns 0.
///
/// A global function, called for SYN alone.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_handshake(index: u32, version: u32, flags: u32) -> u32 {
    let Some(slot) = FLOW_SLOTS.get_ptr_mut(index) else { return 0 };
    // SAFETY: an element of the map; the helper reads a clock. If the slot has been given to another flow meanwhile, that one's
    // time is off: it decides nothing.
    unsafe {
        let now = bpf_ktime_get_ns() / 1000;
        let (syn_at, rtt) = (&raw mut (*slot).shared.syn_at, &raw mut (*slot).shared.handshake_rtt);
        let before = Handshake { syn_at: syn_at.read_volatile(), rtt: rtt.read_volatile() };
        let after = before.after(
            flags as u8,
            Direction::of(flags >> DIRECTION),
            FlowVersion::from_raw(version).state(),
            now as u32,
        );
        if after != before {
            syn_at.write_volatile(after.syn_at);
            rtt.write_volatile(after.rtt);
        }
    }
    0
}
