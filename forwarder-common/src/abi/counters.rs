//! Packet and byte counters: of the two common verdicts per CPU, of all others shared.

use super::record;
pub use crate::types::verdict::CODES;

/// Classes of the histogram of retries in the search for a port, the map `PORT_RETRIES`: none, 1, 2–3, 4–7, … 64–127, and in the last
/// one the failures. See [`crate::decide::ports::retry_class`].
pub const RETRY_CLASSES: usize = 9;

/// Blocks of counters: elements of the maps `COUNTERS`, `TRAFFIC` and `ENDPOINT_FLOWS`.
pub const COUNTER_BLOCKS: u32 = 4096;

record! {
    /// Packets as on the wire after segmentation, and IP bytes.
    #[derive(Default)]
    pub struct Counter {
        /// Packets, counting each segment of a GSO packet.
        pub packets: u64,
        /// Bytes from the IP header on, counting the headers that segmentation repeats.
        pub bytes: u64,
    }
}

/// Codes of the verdicts that nearly all packets have, forwarded and delivered: those below this.
pub const COMMON_CODES: usize = 2;

record! {
    /// One element of the per-CPU map `TRAFFIC`: the counters of [`COMMON_CODES`] of one hook of one interface. No CPU waits for another.
    #[derive(Default)]
    pub struct TrafficBlock {
        /// Indexed by [`crate::types::verdict::Verdict::code`].
        pub by_code: [Counter; COMMON_CODES],
    }
}

record! {
    /// One element of the map `COUNTERS`, which all CPUs share: the counters of one hook of one interface, but for those of
    /// [`TrafficBlock`].
    pub struct CounterBlock {
        /// Indexed by [`crate::types::verdict::Verdict::code`].
        pub by_code: [Counter; CODES],
    }
}

impl Default for CounterBlock {
    fn default() -> Self {
        Self { by_code: [Counter::default(); CODES] }
    }
}
