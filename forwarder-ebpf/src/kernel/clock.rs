//! The clock of the flow table.

use aya_ebpf::helpers::bpf_jiffies64;

/// The clock of the flow table, jiffies (wrapping). The verifier turns the helper into one load.
#[inline(always)]
pub(crate) fn now() -> u32 {
    // SAFETY: a helper without arguments.
    (unsafe { bpf_jiffies64() }) as u32
}
