//! Which CPU the calling thread runs on: what is measured stays on one.

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

use crate::{Context as _, Result};

/// The CPUs that the calling thread may use, in rising order; never empty.
///
/// # Errors
/// The kernel does not tell.
pub fn usable() -> Result<Vec<usize>> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).doing("read", "the CPUs of this thread")?;
    let cpus: Vec<_> = (0..CpuSet::count()).filter(|&cpu| allowed.is_set(cpu).unwrap_or(false)).collect();
    Ok(if cpus.is_empty() { vec![0] } else { cpus })
}

/// Keeps the calling thread on `cpu` from now on.
///
/// # Errors
/// There is no such CPU, or the thread may not use it.
pub fn stay_on(cpu: usize) -> Result<()> {
    let mut one = CpuSet::new();
    one.set(cpu).doing("choose", format!("CPU {cpu}"))?;
    sched_setaffinity(Pid::from_raw(0), &one).doing("stay on", format!("CPU {cpu}"))
}

/// Runs `act` on any CPU but `cpu`, if the calling thread may use another, and lets it use all of them again afterwards.
///
/// # Errors
/// Those of `act`, and the kernel's about the choice of CPUs.
pub fn beside<T>(cpu: usize, act: impl FnOnce() -> Result<T>) -> Result<T> {
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this).doing("read", "the CPUs of this thread")?;
    let mut others = allowed;
    others.unset(cpu).doing("leave out", format!("CPU {cpu}"))?;
    if others == CpuSet::new() {
        return act();
    }
    sched_setaffinity(this, &others).doing("stay off", format!("CPU {cpu}"))?;
    let result = act();
    sched_setaffinity(this, &allowed).doing("restore", "the CPUs of this thread")?;
    result
}

/// Runs `measure` on the last CPU that the calling thread may use, and lets it use all of them again afterwards.
///
/// # Errors
/// Those of `measure`, and the kernel's about the choice of CPUs.
pub fn on_one<T>(measure: impl FnOnce() -> Result<T>) -> Result<T> {
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this).doing("read", "the CPUs of this thread")?;
    stay_on(usable()?.last().copied().unwrap_or_default())?;
    let result = measure();
    sched_setaffinity(this, &allowed).doing("restore", "the CPUs of this thread")?;
    result
}
