//! The flow table: [`store`] finds, [`claim`] makes, for a port that [`search`] finds, [`mapping`] keeps the port of a socket,
//! [`life`] moves flows on and ends them, [`evict`] makes room when no slot is free.

pub(crate) mod claim;
pub(crate) mod evict;
mod host;
pub(crate) mod life;
pub(crate) mod mapping;
mod search;
pub(crate) mod store;

pub(crate) use host::host_uses;

use aya_ebpf::helpers::bpf_jiffies64;

/// The clock of the flow table, jiffies (wrapping). The verifier turns the helper into one load.
#[inline(always)]
pub(crate) fn now() -> u32 {
    // SAFETY: a helper without arguments.
    (unsafe { bpf_jiffies64() }) as u32
}

/// A step whose failure leaves nothing else to do: a tuple that was not in the index, or a queue as long as there are slots.
#[inline(always)]
fn best_effort(_result: Result<(), i32>) {}
