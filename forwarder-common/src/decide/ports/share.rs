//! Who has to give a port when none is free: what a search meets on its way is a sample of who holds the ports towards one
//! destination, or, where ports are mapped for all destinations, the ports as such.
//!
//! Nobody counts beforehand, so that flows pay nothing while there are enough ports. Of 128 candidates, spread over the whole range, a
//! share of a tenth shows as 13 ± 3.

use crate::abi::FlowState;

/// Cells that holders are counted in, by the low bits of their number: a power of two.
const CELLS: usize = 256;

/// Bits of a count that tell the search.
const SEARCH: u32 = 0xffff_0000;

/// What one holder has: the first one in a search whose number leads here. Others are not counted, and so keep what they have.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Cell {
    holder: u32,
    /// The search, in the high half, and the count.
    count: u32,
}

/// How many of the candidates each holder has.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Shares {
    /// Number of the search, in the high half: it saves setting the cells to zero.
    search: u32,
    /// Candidates that somebody holds.
    held: u32,
    /// Who searches.
    own: u32,
    /// Candidates that they hold themselves.
    ours: u32,
    cells: [Cell; CELLS],
}

impl Default for Shares {
    fn default() -> Self {
        Self { search: 0, held: 0, own: 0, ours: 0, cells: [Cell { holder: 0, count: 0 }; CELLS] }
    }
}

impl Shares {
    /// Begins another search, for `own`.
    #[inline(always)]
    pub const fn begin(&mut self, own: u32) {
        self.search = self.search.wrapping_add(1 << 16);
        self.held = 0;
        self.own = own;
        self.ours = 0;
    }

    /// Counts a candidate that `holder` has.
    #[inline(always)]
    pub fn note(&mut self, holder: u32) {
        self.held = self.held.wrapping_add(1);
        if holder == self.own {
            self.ours = self.ours.wrapping_add(1);
            return;
        }
        let Some(cell) = self.cells.get_mut(holder as usize % CELLS) else { return };
        if cell.count & SEARCH != self.search {
            *cell = Cell { holder, count: self.search | 1 };
        } else if cell.holder == holder {
            cell.count = cell.count.wrapping_add(1);
        }
    }

    /// Candidates that `holder` has, somebody else than who searches; 0 if they were not counted.
    #[inline(always)]
    #[must_use]
    pub fn of(&self, holder: u32) -> u32 {
        match self.cells.get(holder as usize % CELLS) {
            Some(cell) if cell.count & SEARCH == self.search && cell.holder == holder => cell.count & !SEARCH,
            _ => 0,
        }
    }

    /// Whether a flow of `theirs` in `state` gives its port to who searches. One that nobody answers does so for whoever has less. One that
    /// was answered ranks higher: for who has less than half, and less by more than chance makes of equals: with five in 32 as
    /// the margin, one search in some 10⁵ takes from one of sixteen equals (with an eighth, one in 10⁴ did).
    #[inline(always)]
    #[must_use]
    pub fn gives_way(&self, state: FlowState, theirs: u32) -> bool {
        let (has, wants) = (self.of(theirs), self.ours);
        match state {
            FlowState::OneWay => has > wants,
            FlowState::Established => {
                let margin = if self.held < 8 { 1 } else { self.held.wrapping_mul(5) / 32 };
                has >= wants.wrapping_mul(2).wrapping_add(margin)
            }
            _ => false,
        }
    }
}

/// The eviction rank of a flow that may have to give its port; the lowest gives it first: closed ones, half-open ones of others, those that
/// nobody answers, half-open ones of the `own` endpoint, established ones; of a kind the longest idle first.
///
/// Whoever wants more ports than are free thus replaces half-open flows of their own before established ones of others: a flood has no
/// more than one port of theirs.
#[inline(always)]
#[must_use]
pub const fn eviction_rank(state: FlowState, own: bool, idle: u32) -> u32 {
    const KIND: u32 = 1 << 29;
    // Less than nothing: another CPU has used the flow since the search began.
    let idle = if idle > u32::MAX / 2 { 0 } else { idle };
    let rest = if idle < KIND { KIND - 1 - idle } else { 0 };
    let kind = match state {
        FlowState::Closing => 0,
        FlowState::HalfOpen if !own => 1,
        FlowState::OneWay => 2,
        FlowState::HalfOpen => 3,
        _ => 4,
    };
    kind * KIND + rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::{vec, vec::Vec};

    use super::*;
    use FlowState::{Closing, Established, HalfOpen, OneWay};

    #[test]
    fn what_is_worth_least_goes_first() {
        let order = [(Closing, false), (HalfOpen, false), (OneWay, false), (HalfOpen, true), (Established, false)];
        assert!(order.is_sorted_by(|a, b| eviction_rank(a.0, a.1, 0) < eviction_rank(b.0, b.1, u32::MAX)));
        assert!(eviction_rank(OneWay, false, 10) < eviction_rank(OneWay, false, 9));
        assert_eq!(
            eviction_rank(Established, false, 3_u32.wrapping_neg()),
            eviction_rank(Established, false, 0),
            "used since the search began"
        );
    }

    /// What a search of `own` over these holders of candidates counts.
    fn counted(own: u32, holders: &[u32]) -> Shares {
        let mut shares = Shares::default();
        shares.note(7);
        shares.begin(own);
        holders.iter().for_each(|holder| shares.note(*holder));
        shares
    }

    #[test]
    fn each_search_counts_anew() {
        let shares = counted(9, &[1, 1, 2, 9]);
        assert_eq!((shares.of(1), shares.of(2), shares.of(7), shares.ours), (2, 1, 0, 1));
    }

    #[test]
    fn nobody_is_counted_for_another() {
        // All in one cell: the victim, the hog, and the searcher.
        let (victim, hog, searcher) = (1, 1 + 256, 1 + 512);
        let sample: Vec<u32> = (0..127).map(|_| hog).chain([victim]).collect();
        let shares = counted(searcher, &sample);
        assert!(shares.gives_way(Established, hog), "the searcher has none");
        assert!(!shares.gives_way(Established, victim) && !shares.gives_way(OneWay, victim), "the hog's are not its");
        let shares = counted(searcher, &[victim, hog, hog, hog, hog]);
        assert_eq!(shares.of(hog), 0, "the cell is the victim's: the hog keeps what it has");
    }

    #[test]
    fn who_has_none_takes_from_who_has_all() {
        for ports in [2, 64, 128] {
            let shares = counted(2, &vec![1; ports]);
            assert!(shares.gives_way(OneWay, 1) && shares.gives_way(Established, 1), "{ports}");
            assert!(!shares.gives_way(HalfOpen, 1), "others decide about those");
            let shares = counted(1, &vec![1; ports]);
            assert!(!shares.gives_way(OneWay, 1) && !shares.gives_way(Established, 1), "nobody from himself");
        }
    }

    /// The holders of `ports` ports, where `newcomer` takes from `hog` in state `state` as long as it may, with samples of 128.
    fn contended(ports: usize, state: FlowState) -> usize {
        let mut chance = 1_u64;
        let mut holders = vec![1; ports];
        for _ in 0..4 * ports {
            let mut sample: Vec<(usize, u32)> = Vec::new();
            while sample.len() < ports.min(128) {
                chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let port = (chance >> 33) as usize % ports;
                if ports > 128 || !sample.iter().any(|(known, _)| *known == port) {
                    sample.push((port, holders[port]));
                }
            }
            let shares = counted(2, &sample.iter().map(|(_, holder)| *holder).collect::<Vec<_>>());
            let taken = sample.iter().find(|(_, holder)| *holder == 1).filter(|_| shares.gives_way(state, 1));
            if let Some((port, _)) = taken {
                holders[*port] = 2;
            }
        }
        holders.iter().filter(|holder| **holder == 2).count()
    }

    #[test]
    fn newcomer_gets_a_fair_share_and_no_more() {
        for ports in [64, 100, 1_000, 28_976] {
            let (one_way, answered) = (contended(ports, OneWay), contended(ports, Established));
            assert!((ports * 2 / 5..=ports * 2 / 3).contains(&one_way), "{one_way} of {ports} that were not answered");
            assert!((ports / 4..=ports / 2).contains(&answered), "{answered} of {ports} that were");
        }
    }

    proptest! {
        /// Whoever holds no more than others do keeps it.
        #[test]
        fn equals_leave_each_other_alone(count in 1u32..64, holders in 1u32..64) {
            let all: Vec<u32> = (0..holders).flat_map(|holder| vec![holder; count as usize]).collect();
            let shares = counted(holders - 1, &all);
            for state in [OneWay, Established] {
                prop_assert!(!shares.gives_way(state, 0));
            }
        }
    }
}
