//! Blocks of counters that nobody has: to look for one takes reading all records.

use std::collections::VecDeque;

use fwd_base::Result;
use fwd_dataplane::Dataplane;

/// So many are looked for at once at most.
const MOST: usize = 64;

/// Blocks that were found to be free, and are still.
#[derive(Debug, Default)]
pub(super) struct FreeCounters {
    free: VecDeque<u32>,
    taken: usize,
}

impl FreeCounters {
    /// `N` blocks that nobody has; `look` finds so many at least, and at most. The more were taken, the more are looked for at once.
    ///
    /// # Errors
    /// What `look` returns: there are not so many.
    fn take_of<const N: usize>(&mut self, look: impl FnOnce(usize, usize) -> Result<Vec<u32>>) -> Result<[u32; N]> {
        if self.free.len() < N {
            self.free = look(N, self.taken.clamp(N, MOST))?.into();
        }
        self.taken += N;
        Ok(std::array::from_fn(|_| self.free.pop_front().unwrap_or_default()))
    }

    /// `N` blocks of counters for what is going to be recorded next.
    ///
    /// # Errors
    /// There are not so many, or a map cannot be read.
    pub(super) fn take<const N: usize>(&mut self, plane: &Dataplane) -> Result<[u32; N]> {
        self.take_of(|least, most| plane.free_counters(least, most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_given_once_and_looked_for_seldom() {
        let (mut free, mut looked, mut given) = (FreeCounters::default(), 0, Vec::new());
        for round in 0..200 {
            let mut look = |least: usize, most: usize| {
                looked += 1;
                assert!(least <= most && most <= MOST);
                Ok((0..).filter(|block| !given.contains(block)).take(most).collect())
            };
            // An endpoint takes one, an uplink two.
            let taken = if round % 10 == 0 {
                free.take_of::<2>(&mut look).expect("there are two").to_vec()
            } else {
                free.take_of::<1>(&mut look).expect("there is one").to_vec()
            };
            given.extend(taken);
        }
        assert!(looked < 20, "{looked}");
        given.sort_unstable();
        assert_eq!(given, (0..220).collect::<Vec<u32>>());
    }
}
