//! Records of the programs that measure forwarding latency. They live as long as `fwd latency` runs, so they have no part in
//! [`ABI_VERSION`](super::ABI_VERSION).

use crate::{abi::record, latency::BUCKETS};

/// [`LatencySettings::other`]: packets of unknown addresses are not measured.
pub const NO_PATH: u32 = u32::MAX;

record! {
    /// Element 0 of the map `SETTINGS`.
    #[derive(Default)]
    pub struct LatencySettings {
        /// A packet is measured if the high half of its key is no more than this.
        pub threshold: u32,
        /// How many packets each one that is measured stands for.
        pub weight: u32,
        /// Path of packets whose address inside is in no record of `PATHS`, or [`NO_PATH`].
        pub other: u32,
        /// Not 0: round trips of TCP are measured, too.
        pub round_trips: u32,
    }
}

record! {
    /// Value of the map `PATHS`, by the address inside: words of memory, network byte order, of IPv4 in its mapped form
    /// ([`mapped_words`](super::mapped_words)).
    #[derive(Default)]
    pub struct LatencyPath {
        /// Number of the path.
        pub index: u32,
        /// Its own network, whose members it reaches without the uplink, as the key.
        pub network: [u32; 4],
        /// The mask of that network, as the key.
        pub mask: [u32; 4],
    }
}

record! {
    /// Element of the maps `STARTS_OUT` and `STARTS_IN`: when a packet that is under way began.
    #[derive(Default)]
    pub struct LatencyStart {
        /// The packet's key; 0 for none.
        pub key: u64,
        /// When it began, nanoseconds of the monotonic clock.
        pub at: u64,
        /// Number of its path; [`NO_PATH`] on the way in, where only the end knows.
        pub path: u32,
        /// How many packets it stands for.
        pub weight: u32,
        /// How many packets of this key are under way. Of more than one it cannot be told which is which.
        pub pending: u32,
        /// Explicit padding.
        pub _pad: u32,
    }
}

record! {
    /// Value of the map `TALLIES`: one direction of one path. Element 2 × path is the way out, the next one the way in.
    pub struct LatencyTally {
        /// Packets chosen to be measured, where the path is known at the start: on the way out.
        pub started: u64,
        /// Packets measured.
        pub measured: u64,
        /// Packets left out because another one looked the same.
        pub ambiguous: u64,
        /// Packets that the measured ones stand for.
        pub packets: u64,
        /// Sum of the latencies of these, nanoseconds.
        pub sum_ns: u64,
        /// The longest latency, nanoseconds, at most 4.29 s.
        pub max_ns: u32,
        /// Explicit padding.
        pub _pad: u32,
        /// Packets by latency; see [`crate::latency::bucket`].
        pub buckets: [u64; BUCKETS],
    }
}

impl LatencyTally {
    /// Nothing measured yet.
    pub const EMPTY: Self = Self {
        started: 0,
        measured: 0,
        ambiguous: 0,
        packets: 0,
        sum_ns: 0,
        max_ns: 0,
        _pad: 0,
        buckets: [0; BUCKETS],
    };
}

record! {
    /// Key of the map `ROUND_TRIPS`: a TCP conversation, as the namespace sees it.
    pub struct LatencyConversation {
        /// Address inside: words of memory, network byte order, of IPv4 in its mapped form.
        pub inside: [u32; 4],
        /// The other end's.
        pub outside: [u32; 4],
        /// Port inside and the other end's, network byte order, in this order in memory.
        pub ports: u32,
        /// Number of the path.
        pub path: u32,
    }
}

record! {
    /// Value of the map `ROUND_TRIPS`.
    #[derive(Default)]
    pub struct LatencyRoundTrips {
        /// Round trips measured.
        pub count: u64,
        /// Their sum, nanoseconds.
        pub sum_ns: u64,
        /// The shortest, nanoseconds, at most 4.29 s, as all of these.
        pub min_ns: u32,
        /// The longest.
        pub max_ns: u32,
        /// The last one.
        pub last_ns: u32,
        /// Explicit padding.
        pub _pad: u32,
    }
}
