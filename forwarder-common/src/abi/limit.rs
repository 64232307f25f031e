//! Limits of endpoints: what each may send and get in a second.

use crate::abi::record;

record! {
    /// The limit of one direction, and how much of it is used up: a token bucket as [`crate::decide::rate`] counts it.
    #[derive(Default)]
    pub struct Limit {
        /// Bits of IP packets a second; 0 for no limit.
        pub rate: u64,
        /// Bytes that may come at once.
        pub burst: u64,
        /// What a byte takes at this rate: see [`crate::decide::rate::cost`].
        pub cost: u64,
        /// Of what leaves: when all that was let through would have been sent at this rate, ticks.
        pub busy_until: u64,
    }
}

record! {
    /// Element of the map `LIMITS`, by the endpoint's block of `COUNTERS`.
    #[derive(Default)]
    pub struct Limits {
        /// What leaves the namespace.
        pub outbound: Limit,
        /// What is delivered into it: a queueing discipline at the host-side veth keeps to it, and the programs lead packets there.
        pub inbound: Limit,
    }
}
