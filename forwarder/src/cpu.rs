//! Which CPU the calling thread runs on: what is measured stays on one.

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

use crate::{Context as _, Result};

/// Runs `measure` on the last CPU that the calling thread may use, and lets it use all of them again afterwards.
///
/// # Errors
/// Those of `measure`, and the kernel's about the choice of CPUs.
pub fn on_one<T>(measure: impl FnOnce() -> Result<T>) -> Result<T> {
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this).doing("read", "the CPUs of this thread")?;
    let last = (0..CpuSet::count()).rev().find(|&cpu| allowed.is_set(cpu).unwrap_or(false)).unwrap_or(0);
    let mut one = CpuSet::new();
    one.set(last).doing("choose", format!("CPU {last}"))?;
    sched_setaffinity(this, &one).doing("stay on", format!("CPU {last}"))?;
    let result = measure();
    sched_setaffinity(this, &allowed).doing("restore", "the CPUs of this thread")?;
    result
}
