//! When what happens counts.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::load::Work;

/// How often whoever waits looks whether it is over.
const LOOK: Duration = Duration::from_millis(20);

/// From one moment to another.
#[derive(Clone, Copy, Debug)]
pub(in crate::load) struct Window {
    /// From then on.
    pub(in crate::load) begin: Instant,
    /// Until then.
    pub(in crate::load) end: Instant,
    /// Requests per second, if they are due at fixed times.
    pub(in crate::load) rate: Option<u32>,
}

impl Window {
    /// Begins after the warm-up that starts now.
    pub(in crate::load) fn of(work: &Work) -> Self {
        let begin = Instant::now() + work.warm_up;
        Self { begin, end: begin + work.duration, rate: work.rate }
    }

    /// Waits until it begins, or until `is_over`.
    pub(in crate::load) fn await_begin(&self, is_over: impl Fn() -> bool) {
        while !is_over() {
            match self.begin.saturating_duration_since(Instant::now()) {
                Duration::ZERO => return,
                left => thread::sleep(left.min(LOOK)),
            }
        }
    }

    /// Whether a request counts that was sent and answered then.
    pub(in crate::load) fn counts(&self, sent: Instant, answered: Instant) -> bool {
        sent >= self.begin && answered <= self.end
    }

    /// Whether a request counts that was due at a fixed time, whenever it was answered.
    pub(in crate::load) fn counts_due(&self, due: Instant) -> bool {
        due >= self.begin && due < self.end
    }
}
