//! System calls that no crate of ours wraps.

use std::io;

/// Gives the calling thread a real-time priority: nothing of ordinary priority takes its CPU away.
///
/// # Errors
/// The user may not (CAP_SYS_NICE, RLIMIT_RTPRIO), or its control group has no real-time budget.
pub(super) fn become_realtime(priority: i32) -> io::Result<()> {
    let wish = libc::sched_param { sched_priority: priority };
    // SAFETY: the pointer is to a live sched_param, which the kernel copies; 0 is the calling thread.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &raw const wish) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
