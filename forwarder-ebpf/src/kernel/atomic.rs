//! Atomic operations on map values. Counters that CPUs share are never plain stores: two CPUs would lose counts.

use core::{
    arch::asm,
    intrinsics::{AtomicOrdering, atomic_or, atomic_xadd},
};

use forwarder_common::abi::FlowVersion;

/// Adds to a counter in a map value.
#[inline(always)]
pub(crate) fn add64(counter: *mut u64, amount: u64) {
    // SAFETY: `counter` points into a map value and is aligned: callers take it from `&raw mut` of a `#[repr(C)]` field.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(counter, amount) };
}

/// Sets the bits of a word in a map value that are set in `bits`.
#[inline(always)]
pub(crate) fn or64(word: *mut u64, bits: u64) {
    // SAFETY: as in `add64`.
    unsafe { atomic_or::<u64, u64, { AtomicOrdering::Relaxed }>(word, bits) };
}

/// Adds to a counter of this CPU, which no other one writes. Programs of one CPU do not interleave: the hooks of traffic control
/// and of drivers, and timers, run with softirqs off, which is also how `BPF_PROG_TEST_RUN` runs a program.
#[inline(always)]
pub(crate) fn add_here(counter: *mut u64, amount: u64) {
    // SAFETY: as in `add64`.
    unsafe { counter.write_volatile(counter.read_volatile().wrapping_add(amount)) };
}

/// Adds (wrapping) and returns the value before.
#[inline(always)]
pub(crate) fn fetch_add32(counter: *mut u32, amount: u32) -> u32 {
    // SAFETY: as in `add64`.
    unsafe { atomic_xadd::<u32, u32, { AtomicOrdering::SeqCst }>(counter, amount) }
}

/// As [`replace32`], of the version of a slot.
#[inline(always)]
pub(crate) fn replace_version(version: *mut FlowVersion, old: FlowVersion, new: FlowVersion) -> bool {
    replace32(version.cast(), old.raw(), new.raw())
}

/// As [`replace32`], of a word of 64 bits.
#[inline(always)]
pub(crate) fn replace64(word: *mut u64, old: u64, new: u64) -> bool {
    let found: u64;
    // SAFETY: as in `replace32`.
    unsafe {
        asm!(
            "r0 = cmpxchg_64({word} + 0, r0, {new})",
            word = in(reg) word,
            new = in(reg) new,
            inlateout("r0") old => found,
            options(nostack),
        );
    }
    found == old
}

/// Replaces `old` by `new`; whether it was `old`. In assembly: LLVM's bitcode reader rejects what
/// `core::intrinsics::atomic_cxchg` emits for this target.
#[inline(always)]
pub(crate) fn replace32(word: *mut u32, old: u32, new: u32) -> bool {
    let found: u32;
    // SAFETY: as in `add64`; the instruction reads and writes the one word, and is a full barrier.
    unsafe {
        asm!(
            "w0 = cmpxchg32_32({word} + 0, w0, {new})",
            word = in(reg) word,
            new = in(wreg) new,
            inlateout("w0") old => found,
            options(nostack),
        );
    }
    found == old
}
