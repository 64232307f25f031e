//! Pointers that global functions are given.
//!
//! A function named `fwd_…` is global: the verifier looks at it once, by itself, and not at each call and with whatever its callers know.
//! It has a stack of its own, and leaves nothing on theirs. It takes and returns integers, and pointers to whole records that may be null
//! as far as the verifier knows. All of them are called by this crate alone.

/// The record that a global function was given by its caller.
#[inline(always)]
pub(crate) fn given<'a, T>(record: *const T) -> Option<&'a T> {
    // SAFETY: the verifier checks at each call of a global function that a whole record is passed, initialised, on a stack or in a map
    // of this program, which lives until the function returns.
    unsafe { record.as_ref() }
}

/// As [`given`], of a record that the function writes, and nobody else uses meanwhile.
#[inline(always)]
pub(crate) fn given_mut<'a, T>(record: *mut T) -> Option<&'a mut T> {
    // SAFETY: as in `given`.
    unsafe { record.as_mut() }
}
