//! Packet and byte counters, per CPU.

use super::record;

/// Counters in a block: one per [`crate::verdict`] code.
pub const CODES: usize = 64;

/// Packets as on the wire after segmentation, and IP bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Counter {
    /// Packets, counting each segment of a GSO packet.
    pub packets: u64,
    /// Bytes from the IP header on, counting the headers that segmentation repeats.
    pub bytes: u64,
}
record!(Counter, 16);

/// One element of the per-CPU map `COUNTERS`: all counters of one hook of one interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct CounterBlock {
    /// Indexed by [`crate::verdict::Verdict::code`].
    pub by_code: [Counter; CODES],
}
record!(CounterBlock, 16 * CODES);

impl Default for CounterBlock {
    fn default() -> Self {
        Self { by_code: [Counter::default(); CODES] }
    }
}
