//! What number the kernel has refused with.

use std::io;

/// The number of the kernel's refusal.
pub(crate) fn errno(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error).or_else(|| errno(error.source()?))
}
