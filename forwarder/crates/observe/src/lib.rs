//! What programs note of packets while somebody looks, made readable: `fwd latency` and `fwd trace`. Asks no kernel.

pub mod latency;
pub mod protocol;
pub mod trace;
