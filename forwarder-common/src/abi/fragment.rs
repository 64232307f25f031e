//! What is known of packets that come in fragments; what is made of it, [`crate::decide::fragment`] says.

use crate::abi::{Tuple, record};

/// Parts of a packet that may be apart from each other at once.
pub const RANGES: usize = 8;
/// Records that share a bucket.
pub const WAYS: usize = 4;
/// Buckets: a power of two. 4,096 packets at once, 266 KB.
pub const BUCKETS: usize = 1024;

record! {
    /// A part of a packet's payload, in units of 8 bytes; empty if `end` is 0.
    #[derive(Default)]
    pub struct Range {
        /// First unit.
        pub start: u16,
        /// One behind the last unit.
        pub end: u16,
    }
}

record! {
    /// What is known of a packet that comes in fragments. One cache line.
    #[derive(Default)]
    pub struct Record {
        /// Whose it is: [`crate::decide::fragment::key`].
        pub(crate) key: Tuple,
        /// Source and destination port (or identifier) of the first fragment.
        pub(crate) ports: [[u8; 2]; 2],
        /// When the record was made, jiffies (wrapping).
        pub(crate) began: u32,
        /// Where the packet ends, in units of 8 bytes; 0 while that is not known. Of a packet that was left to the kernel, the code of the
        /// reason.
        pub(crate) end: u16,
        /// How far it is.
        pub(crate) state: u8,
        /// How many hops the first fragment had to live; the greatest number where that does not matter.
        pub(crate) hops: u8,
        /// What was let through: disjoint, not adjacent, in no order.
        pub(crate) ranges: [Range; RANGES],
    }
}
const _: () = assert!(size_of::<Record>() == 64);

record! {
    /// Element of the map `FRAGMENTS`.
    #[derive(Default)]
    pub struct Bucket {
        /// 1 while a CPU works on the bucket.
        pub lock: u32,
        /// The records.
        pub records: [Record; WAYS],
    }
}
