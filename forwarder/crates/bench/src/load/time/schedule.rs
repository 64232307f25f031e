//! Requests at fixed times, whatever became of those before: a load that does not wait for the path.
//!
//! A client that sends its next request when the reply to the last one is there sends fewer while the path is slow, and leaves out just
//! the times that were long ("coordinated omission"). Here each request has a moment at which it is due, and its time counts from then,
//! also if it had to wait for the one before; those that were never sent count with what they had waited at the end.

use std::time::{Duration, Instant};

use nix::sched::sched_yield;

use super::window::Window;
use fwd_base::{Context as _, Result};

/// Nanoseconds.
const SECOND: u128 = 1_000_000_000;

/// Requests that are due one after the other.
#[derive(Clone, Copy, Debug)]
pub(in crate::load) struct Schedule {
    begin: Instant,
    /// Requests per second, at least one.
    rate: u32,
    /// Number of the next one, from 0.
    next: u64,
}

impl Schedule {
    /// `rate` a second, the first at `begin`.
    pub(in crate::load) fn new(begin: Instant, rate: u32) -> Self {
        Self { begin, rate: rate.max(1), next: 0 }
    }

    /// When the next request is due; the one after it is the next from then on.
    pub(in crate::load) fn take(&mut self) -> Instant {
        let due = self.due(self.next);
        self.next += 1;
        due
    }

    /// The same, and waits for it or for `is_over`. It does not sleep: waking up takes longer than a request does. The other end, on the same CPU, has
    /// it whenever there is something to do.
    pub(in crate::load) fn await_next(&mut self, is_over: impl Fn() -> bool) -> Result<Instant> {
        let due = self.take();
        while Instant::now() < due && !is_over() {
            sched_yield().doing("give way to", "the other end")?;
        }
        Ok(due)
    }

    /// How long those that were due within `window` and were never taken had waited when it ended: at least so long they would have taken.
    pub(in crate::load) fn left_over(self, window: &Window) -> impl Iterator<Item = Duration> {
        let end = window.end;
        let due = (self.next..).map(move |number| self.due(number)).take_while(move |due| *due < end);
        let begin = window.begin;
        due.filter(move |due| *due >= begin).map(move |due| end - due)
    }

    fn due(&self, number: u64) -> Instant {
        let nanos = u128::from(number) * SECOND / u128::from(self.rate);
        self.begin + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Microseconds that the requests of a window took which begins 10 ms after the schedule and lasts for `lasts`; `takes` is what
    /// the path takes for the request of a number.
    fn simulated(rate: u32, lasts: Duration, takes: impl Fn(u64) -> Duration) -> Vec<u128> {
        let begin = Instant::now();
        let window = Window {
            begin: begin + Duration::from_millis(10),
            end: begin + Duration::from_millis(10) + lasts,
            rate: None,
        };
        let (mut schedule, mut now, mut took) = (Schedule::new(begin, rate), begin, Vec::new());
        for number in 0.. {
            if now >= window.end {
                break;
            }
            let due = schedule.take();
            now = now.max(due) + takes(number);
            if window.counts_due(due) {
                took.push(now - due);
            }
        }
        took.extend(schedule.left_over(&window));
        took.into_iter().map(|time| time.as_micros()).collect()
    }

    #[test]
    fn a_pause_counts_for_every_request_that_was_due_in_it() {
        let takes = |number| Duration::from_micros(if number == 15 { 5_200 } else { 100 });
        let took = simulated(1_000, Duration::from_millis(15), takes);
        let late = [5_200, 4_300, 3_400, 2_500, 1_600, 700];
        assert_eq!(took, [&[100; 5][..], &late, &[100; 4]].concat());
    }

    #[test]
    fn what_a_path_that_is_too_slow_leaves_counts_with_what_it_waited() {
        let took = simulated(1_000, Duration::from_millis(20), |_| Duration::from_millis(10));
        // Those of the first 10 ms take the first 100 ms; so none of the window is sent, and each waits until its end.
        assert_eq!(took, (1..=20).rev().map(|millis| millis * 1_000).collect::<Vec<u128>>());
    }

    proptest! {
        #[test]
        fn every_request_of_the_window_counts_once(rate in 1..100_000_u32, lasts in 1..50_u64, takes in 1..5_000_u64) {
            let lasts = Duration::from_millis(lasts);
            let took = simulated(rate, lasts, |number| Duration::from_micros(takes * (number % 3)));
            let due = f64::from(rate) * lasts.as_secs_f64();
            prop_assert!((took.len() as f64 - due).abs() <= 1.0, "{} of {due}", took.len());
        }
    }
}
