//! Whether a packet is within a limit: a token bucket that polices, counted as a moment instead of as tokens (the virtual scheduling of
//! ITU-T I.371, Annex A): until when what was let through keeps a line of that rate busy. A packet is let through unless that lies further
//! ahead than the burst takes. So one word is all that changes, which CPUs share, and a packet may be larger than the burst.

/// Ticks in a nanosecond: what a packet takes at 100 Gbit/s is told to a hundredth.
const TICKS: u64 = 16;
/// What a byte takes is known to this fraction of a tick, bits.
const FRACTION: u32 = 16;

/// What a byte takes at `rate` bits a second, in fractions of a tick; 0 where there is no limit.
#[must_use]
pub const fn cost(rate: u64) -> u64 {
    const SECOND: u64 = 1_000_000_000 * TICKS;
    match ((8 * SECOND) << FRACTION).checked_div(rate) {
        Some(cost) => cost,
        None => 0,
    }
}

/// The moment `nanoseconds` after the machine was started, ticks (wrapping after 36 years).
#[inline(always)]
#[must_use]
pub const fn moment(nanoseconds: u64) -> u64 {
    nanoseconds.wrapping_mul(TICKS)
}

/// How long `bytes` take, ticks.
#[inline(always)]
#[must_use]
pub const fn duration(cost: u64, bytes: u64) -> u64 {
    cost.wrapping_mul(bytes) >> FRACTION
}

/// What becomes of the word of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It stays: the packet is too much.
    Exceeded,
    /// The line was idle: it becomes this, unless another CPU was faster, who adds then.
    Begins(u64),
    /// The line is busy for so much longer.
    Goes(u64),
}

/// What becomes of the word `busy_until` of a limit at the moment `now`, by a packet that takes `duration`; `burst` is what the burst takes.
#[inline(always)]
#[must_use]
pub const fn step(busy_until: u64, now: u64, duration: u64, burst: u64) -> Step {
    let ahead = busy_until.wrapping_sub(now);
    // Half of all numbers are before now.
    if ahead > u64::MAX / 2 {
        return Step::Begins(now.wrapping_add(duration));
    }
    if ahead > burst { Step::Exceeded } else { Step::Goes(duration) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is let through of packets of `bytes` each, of which one comes every `gap` nanoseconds from `start` on, in `nanoseconds`.
    fn through(rate: u64, burst: u64, (bytes, gap): (u64, u64), (start, nanoseconds): (u64, u64)) -> u64 {
        let (cost, mut busy_until, mut sum) = (cost(rate), 0_u64, 0);
        let mut at = start;
        while at < start + nanoseconds {
            match step(busy_until, moment(at), duration(cost, bytes), duration(cost, burst)) {
                Step::Exceeded => {}
                Step::Begins(until) => (busy_until, sum) = (until, sum + bytes),
                Step::Goes(longer) => (busy_until, sum) = (busy_until + longer, sum + bytes),
            }
            at += gap;
        }
        sum
    }

    proptest! {
        #[test]
        fn as_much_gets_through_as_the_rate_and_one_burst_say(
            rate in 1_000_000_u64..20_000_000_000,
            burst in 1_500_u64..2_000_000,
            bytes in 40_u64..70_000,
            start in 1_u64..1 << 50,
        ) {
            const SPAN: u64 = 20_000_000;
            // Twice as much as may get through, at 100,000 packets at most.
            let gap = (bytes * 4_000_000_000 / rate).max(SPAN / 100_000);
            let offered = SPAN.div_ceil(gap) * bytes;
            let allowed = rate * SPAN / 8_000_000_000 + burst;
            let sum = through(rate, burst, (bytes, gap), (start, SPAN));
            prop_assert!(sum <= allowed + allowed / 1_000 + 2 * bytes, "{sum} of {allowed}");
            prop_assert!(sum + sum / 1_000 + 2 * bytes >= allowed.min(offered), "{sum} of {allowed}");
        }

        #[test]
        fn slower_than_the_limit_nothing_is_dropped(rate in 100_000_u64..20_000_000_000, bytes in 40_u64..70_000, start: u32) {
            let gap = bytes * 8_000_000_000 / rate + 1;
            let sum = through(rate, 0, (bytes, gap), (start.into(), 1_000 * gap));
            prop_assert_eq!(sum, 1_000 * bytes);
        }
    }

    #[test]
    fn idle_years_are_no_debt() {
        let year = moment(365 * 86_400 * 1_000_000_000);
        assert_eq!(step(7, 7 + 10 * year, 5, 0), Step::Begins(12 + 10 * year));
        // As the clock of ticks wraps.
        assert_eq!(step(u64::MAX - 1, 10, 5, 0), Step::Begins(15));
        assert_eq!(step(3, u64::MAX - 1, 5, 4), Step::Exceeded);
        assert_eq!(step(3, u64::MAX - 1, 5, 5), Step::Goes(5));
    }

    #[test]
    fn no_rate_costs_nothing() {
        assert_eq!(cost(0), 0);
        assert_eq!(duration(cost(8_000_000_000), 1), moment(1), "a byte a nanosecond");
        // The slowest and the largest.
        assert!(duration(cost(1_000), 1 << 20) > 0);
    }
}
