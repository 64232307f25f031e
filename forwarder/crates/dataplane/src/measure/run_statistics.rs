//! What the kernel counts of programs while they do their work (`BPF_ENABLE_STATS`).

use std::{os::fd::OwnedFd, time::Duration};

use aya::{programs::ProgramInfo, sys::Stats};

use crate::{Dataplane, Hook};
use fwd_base::{Context as _, Result};

/// Has the kernel count how often each program of the machine runs, and for how long, until this value is dropped. That makes each run
/// some tens of nanoseconds longer: the clock is read twice.
pub struct RunStatistics {
    _enabled: OwnedFd,
}

impl RunStatistics {
    /// Begins to count.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn enable() -> Result<Self> {
        let enabled = aya::sys::enable_stats(Stats::RunTime).doing("count", "the runs of programs")?;
        Ok(Self { _enabled: enabled })
    }
}

/// What was counted of a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunTime {
    /// How often it ran, what it went on to by a tail call included.
    pub runs: u64,
    /// How long that took.
    pub time: Duration,
}

impl RunTime {
    /// Of a program of the kernel.
    pub(crate) fn of(info: &ProgramInfo) -> Self {
        Self { runs: info.run_count(), time: info.run_time() }
    }

    /// Mean time of a run since `before` was read, nanoseconds; `None` if there was none.
    #[must_use]
    pub fn ns_since(self, before: Self) -> Option<f64> {
        let runs = self.runs.checked_sub(before.runs).filter(|runs| *runs > 0)?;
        Some(self.time.saturating_sub(before.time).as_nanos() as f64 / runs as f64)
    }
}

impl Dataplane {
    /// What was counted of the program of `hook` so far.
    ///
    /// # Errors
    /// The program cannot be looked at.
    pub fn run_time(&self, hook: Hook) -> Result<RunTime> {
        let name = hook.program();
        Ok(RunTime::of(&self.program(name)?.info().doing("look at", format!("program {name}"))?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_is_of_the_runs_since() {
        let at = |runs, ns| RunTime { runs, time: Duration::from_nanos(ns) };
        assert_eq!(at(30, 2_900).ns_since(at(10, 900)), Some(100.0));
        assert_eq!(at(10, 900).ns_since(at(10, 900)), None, "no run");
        assert_eq!(at(1, 90).ns_since(at(10, 900)), None, "another program has its name by now");
    }
}
