//! Loops that the verifier looks at once (`bpf_loop`).

use core::{arch::asm, ffi::c_void, ops::ControlFlow, ptr};

use aya_ebpf::helpers::bpf_loop;

/// What a loop works with, and its body.
pub(crate) trait Repeat {
    /// Round `number`, from 0 on; whether another one follows.
    fn round(&mut self, number: u32) -> ControlFlow<()>;
}

/// Runs the body of `work` at most `times` times. The kernel takes what stands on the stack only.
#[inline(always)]
pub(crate) fn repeat<W: Repeat>(work: &mut W, times: u32) {
    // SAFETY: the callback takes a pointer to a `W`, which this is; it lives until the loop is over.
    unsafe { bpf_loop(times, round::<W> as *mut c_void, ptr::from_mut(work).cast(), 0) };
}

#[inline(never)]
extern "C" fn round<W: Repeat>(number: u32, work: *mut W) -> i64 {
    // SAFETY: called by `bpf_loop` alone, with the pointer of `repeat`, whose borrow lasts until the loop is over.
    let work = unsafe { &mut *work };
    let mut stops = i64::from(work.round(number).is_break());
    // The verifier wants to see that it is 0 or 1. LLVM leaves that out where it knows it of what another function has returned, of which the
    // verifier knows nothing.
    // SAFETY: an instruction between registers.
    unsafe { asm!("{stops} &= 1", stops = inout(reg) stops, options(pure, nomem, nostack, preserves_flags)) };
    stops
}
