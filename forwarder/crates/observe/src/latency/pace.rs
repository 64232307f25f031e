//! How many packets are measured: all of a few, one in many of many, so that the measuring costs next to nothing.

use std::time::Duration;

/// Packets measured in a second, at most about: at half a microsecond each, less than 1 % of a CPU.
pub const MOST_SAMPLES: u32 = 10_000;
/// The least share that is measured.
const LEAST: u32 = 1 << 16;

/// One packet of how many is measured next, after one of `sample` was while `passed` packets passed in `time`: a power of two.
///
/// It goes up at once, and down by a half each time, when that leaves room.
#[must_use]
pub fn next_sample(sample: u32, passed: u64, time: Duration) -> u32 {
    let rate = passed as f64 / time.as_secs_f64().max(1e-3);
    let wanted = (rate / f64::from(MOST_SAMPLES)).max(1.0);
    let wanted = if wanted >= f64::from(LEAST) { LEAST } else { (wanted.ceil() as u32).next_power_of_two() };
    match wanted.cmp(&sample) {
        std::cmp::Ordering::Greater => wanted,
        // Not for a rate just below the limit, which comes and goes.
        std::cmp::Ordering::Less if rate * 1.5 < f64::from(MOST_SAMPLES) * f64::from(sample / 2) => (sample / 2).max(1),
        _ => sample,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(100);

    #[test]
    fn few_packets_are_all_measured() {
        assert_eq!(next_sample(1, 0, TICK), 1);
        assert_eq!(next_sample(1, 1000, TICK), 1);
    }

    #[test]
    fn many_packets_are_measured_in_part_at_once() {
        assert_eq!(next_sample(1, 20_000, TICK), 32);
        assert_eq!(next_sample(1, u64::MAX, TICK), LEAST);
        assert_eq!(next_sample(1, 100, Duration::ZERO), 16);
    }

    #[test]
    fn share_rises_step_by_step_and_not_at_the_limit() {
        assert_eq!(next_sample(32, 0, TICK), 16);
        assert_eq!(next_sample(2, 0, TICK), 1);
        assert_eq!(next_sample(1, 0, TICK), 1);
        assert_eq!(next_sample(2, 990, TICK), 2);
    }
}
