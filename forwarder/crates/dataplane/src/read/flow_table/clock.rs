//! The clock of the flow table: jiffies.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::{Dataplane, object::programs::READ_CLOCK};
use fwd_base::{Context as _, Result};

/// Jiffies start this many seconds before zero (`INITIAL_JIFFIES`, `include/linux/jiffies.h`).
const EARLY: f64 = 300.0;

/// Rates that Linux can be built with (`kernel/Kconfig.hz` and the architectures' own).
const RATES: [u32; 12] = [24, 32, 48, 64, 100, 128, 200, 250, 256, 300, 1000, 1200];

/// One reading of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Now, jiffies (the low 32 bits).
    pub now: u32,
    /// Jiffies per second.
    pub hz: u32,
}

impl Clock {
    /// Time since `jiffies`.
    #[must_use]
    pub fn since(&self, jiffies: u32) -> Duration {
        // A flow that was touched after the clock was read is "now".
        let passed = self.now.wrapping_sub(jiffies) as i32;
        Duration::from_secs_f64(f64::from(passed.max(0)) / f64::from(self.hz))
    }
}

impl Dataplane {
    /// Reads the clock.
    ///
    /// # Errors
    /// The program that reads it does not run.
    pub fn clock(&self) -> Result<Clock> {
        loop {
            let uptime = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).doing("read", "the monotonic clock")?);
            let now = self.run(READ_CLOCK, &[0; 64])? as u32;
            if let Some(hz) = hz_of(now, uptime) {
                return Ok(Clock { now, hz });
            }
            // Within two seconds of the moment where every rate shows the same number.
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// Jiffies per second of a kernel whose clock shows `now` at `uptime`. `None` close to the moment, five minutes after the
/// start, at which the clock shows zero at any rate.
#[must_use]
pub fn hz_of(now: u32, uptime: Duration) -> Option<u32> {
    let passed = uptime.as_secs_f64() - EARLY;
    if passed.abs() < 2.0 {
        return None;
    }
    // The difference modulo 2³² decides between rates: it is small for the right one.
    let distance = |hz: u32| {
        let expected = (passed * f64::from(hz)) as i64 as u32;
        (now.wrapping_sub(expected) as i32).unsigned_abs()
    };
    RATES.into_iter().min_by_key(|&hz| distance(hz))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rate_is_found_from_one_reading(
            which in 0..RATES.len(), seconds in 0.0..3.0e6f64, late in 0u32..2,
        ) {
            prop_assume!((seconds - EARLY).abs() > 2.5);
            let hz = RATES[which];
            let now = (((seconds - EARLY) * f64::from(hz)) as i64 as u32).wrapping_add(late);
            prop_assert_eq!(hz_of(now, Duration::from_secs_f64(seconds)), Some(hz));
        }
    }

    #[test]
    fn time_before_the_reading_is_now() {
        let clock = Clock { now: 100, hz: 250 };
        assert_eq!(clock.since(101), Duration::ZERO);
        assert_eq!(clock.since(50), Duration::from_millis(200));
    }
}
