//! How long exchanges took, and how much that changed from one to the next.

use hdrhistogram::Histogram;

use fwd_base::{Context as _, Result};

/// Nanoseconds: more than any socket of ours waits.
const LONGEST: u64 = 60_000_000_000;
/// Digits of a recorded time that are exact.
const DIGITS: u8 = 3;

/// Nanoseconds of exchanges that followed one another.
#[derive(Debug)]
pub(in crate::load) struct Times {
    /// Of each from its beginning to its end.
    pub(in crate::load) took: Histogram<u64>,
    /// How far each lies from the one before, either way: the IP packet delay variation of RFC 3393, section 4, of round trips.
    pub(in crate::load) changes: Histogram<u64>,
    last: Option<u64>,
}

impl Times {
    /// None yet.
    pub(in crate::load) fn new() -> Result<Self> {
        Ok(Self { took: histogram()?, changes: histogram()?, last: None })
    }

    /// Adds the next. What took longer than [`LONGEST`] counts as that.
    pub(in crate::load) fn record(&mut self, nanos: u64) -> Result<()> {
        let nanos = nanos.min(self.took.high());
        self.took.record(nanos).doing("keep", "how long an exchange took")?;
        if let Some(last) = self.last.replace(nanos) {
            self.changes.record(nanos.abs_diff(last)).doing("keep", "how much an exchange differs")?;
        }
        Ok(())
    }

    /// Adds those of another thread, which followed one another by themselves.
    pub(in crate::load) fn add(&mut self, other: &Self) -> Result<()> {
        let added = self.took.add(&other.took).and_then(|()| self.changes.add(&other.changes));
        added.doing("add up", "the times of two threads")
    }
}

/// A histogram of nanoseconds.
fn histogram() -> Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, LONGEST, DIGITS).doing("make", "a histogram")
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, Times};

    fn times(nanos: &[u64]) -> Times {
        let mut times = Times::new().expect("bounds");
        nanos.iter().for_each(|nanos| times.record(*nanos).expect("it fits"));
        times
    }

    #[test]
    fn a_change_is_how_far_two_in_a_row_lie_apart() {
        let times = times(&[100, 300, 300, 250]);
        assert_eq!((times.took.len(), times.changes.len()), (4, 3));
        let changes: Vec<u64> = times.changes.iter_recorded().map(|step| step.value_iterated_to()).collect();
        assert_eq!(changes, [0, 50, 200]);
        assert_eq!(super::Times::new().expect("bounds").changes.len(), 0);
    }

    #[test]
    fn two_threads_do_not_follow_each_other() {
        let mut both = times(&[100, 110]);
        both.add(&times(&[5_000, 5_020])).expect("the same bounds");
        assert_eq!((both.took.len(), both.changes.len(), both.changes.max()), (4, 2, 20));
    }

    #[test]
    fn what_took_forever_counts_as_the_longest() {
        let times = times(&[u64::MAX, 1]);
        assert!(times.took.equivalent(times.took.max(), LONGEST), "{}", times.took.max());
    }
}
