//! Clocks.

use aya_ebpf::helpers::{bpf_jiffies64, bpf_ktime_get_ns};

/// The clock of the flow table, jiffies (wrapping). The verifier turns the helper into one load.
#[inline(always)]
pub(crate) fn now() -> u32 {
    // SAFETY: a helper without arguments.
    (unsafe { bpf_jiffies64() }) as u32
}

/// Nanoseconds since the machine was started.
#[inline(always)]
pub(crate) fn nanoseconds() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_ktime_get_ns() }
}
