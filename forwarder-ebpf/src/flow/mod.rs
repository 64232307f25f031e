//! The flow table: [`store`] finds, [`claim`] makes, in a slot that [`take`] takes, with a [`port`] that [`search`] finds, [`mapping`] keeps the port of a socket,
//! [`life`] moves flows on, [`slot`] ends them, [`evict`] makes room when no slot is free.

pub(crate) mod claim;
pub(crate) mod evict;
mod host;
pub(crate) mod life;
pub(crate) mod mapping;
mod port;
pub(crate) mod search;
pub(crate) mod slot;
pub(crate) mod store;
mod take;

pub(crate) use host::host_uses;
pub(crate) use take::stored_mtu;

use aya_ebpf::helpers::bpf_jiffies64;

/// The clock of the flow table, jiffies (wrapping). The verifier turns the helper into one load.
#[inline(always)]
pub(crate) fn now() -> u32 {
    // SAFETY: a helper without arguments.
    (unsafe { bpf_jiffies64() }) as u32
}
