//! Who makes room when no slot is free.
//!
//! A newcomer looks at a handful of slots and evicts the pending (half-open or closing) flow of the lowest rank. Which slots
//! is decided by a sequence that comes to each of them in turn, but scatters neighbours: so a flow is evicted when it is about
//! as old as the oldest, as in a queue, without a queue to keep and without locks.
//!
//! Only endpoints that have about as many pending flows as the newcomer's own, or more, have to give one: whoever floods the
//! table evicts their own flows, and everybody else's newcomers evict theirs.

use crate::{
    abi::{FROM_OUTSIDE, FlowState},
    wire::l4::tcp_flag,
};

/// Flows to choose from: with 8, of a thousand flows one lives shorter than 0.6 times as long as it would in a queue.
pub const CANDIDATES: u32 = 8;

/// Slots looked at, at most. With half of them established, 8 of 64 are missed about once in 10⁹ times.
pub const LOOKS: u32 = 64;

/// The `n`th slot to look at (`n` wraps around) among slots `1..slots`.
///
/// Multiples of the golden ratio modulo one (here 2³²): every stretch of the sequence is spread evenly (Knuth, TAOCP vol. 3,
/// §6.4, theorem S).
#[inline(always)]
#[must_use]
pub const fn nth_slot(n: u32, slots: u32) -> u32 {
    const GOLDEN: u32 = 0x9e37_79b1;
    let fraction = n.wrapping_mul(GOLDEN) as u64;
    1 + ((fraction.wrapping_mul(slots.wrapping_sub(1) as u64)) >> 32) as u32
}

/// Whether an endpoint with `theirs` pending flows has to make room for a newcomer of one with `ours`. Those that have nearly
/// as many count as equals, so that the one with the most finds somebody.
#[inline(always)]
#[must_use]
pub const fn may_evict(theirs: u32, ours: u32) -> bool {
    let (theirs, ours) = (theirs as i32, ours as i32);
    theirs.wrapping_add(theirs >> 3).wrapping_add(8) >= ours
}

/// The eviction rank of a pending flow that nobody has used for `idle` jiffies (wrapping); the lowest is evicted first: closed ones, then
/// half-open ones, then those whose handshake lacks only its last segment; of a kind the longest idle first.
///
/// `answered` says that the last segment is due: see [`is_answered`]. It is sent at once, and who sent it would be reset if the flow were
/// not found: the segment of a new flow comes from another port.
#[inline(always)]
#[must_use]
pub const fn eviction_rank(state: FlowState, answered: bool, idle: u32) -> u32 {
    const KIND: u32 = 1 << 30;
    // Less than nothing: another CPU has used the flow since the search began.
    let idle = if idle > u32::MAX / 2 { 0 } else { idle };
    let rest = if idle < KIND { KIND - 1 - idle } else { 0 };
    let kind = match state {
        FlowState::Closing => 0,
        _ if !answered => 1,
        _ => 2,
    };
    kind * KIND + rest
}

/// The same `rank` where the flow is of block `theirs` and the newcomer of block `ours` (with [`FROM_OUTSIDE`]): what began from outside goes
/// before half-open flows from inside make room for one of their own, however old they are.
#[inline(always)]
#[must_use]
pub const fn rank_for(ours: u32, theirs: u32, rank: u32) -> u32 {
    if theirs & FROM_OUTSIDE != 0 && ours & FROM_OUTSIDE == 0 { rank >> 1 } else { rank }
}

/// Whether a half-open flow with the TCP flags `inbound` of its answers is spared as long as there are others. Not for an endpoint that has
/// far more pending flows (`theirs`) than the newcomer's (`ours`): with an accomplice outside it could fill the table with them.
#[inline(always)]
#[must_use]
pub const fn is_answered(inbound: u8, theirs: u32, ours: u32) -> bool {
    inbound & tcp_flag::ACK != 0 && theirs as i32 <= ours.wrapping_mul(2).wrapping_add(64) as i32
}

/// Whether a one-way flow of an endpoint that has `theirs` established ones makes room for one of an endpoint that has `ours`, when the
/// table is full.
#[inline(always)]
#[must_use]
pub const fn gives_room(theirs: u32, ours: u32) -> bool {
    let (theirs, ours) = (theirs as i32, ours as i32);
    theirs > ours.wrapping_add(ours >> 3).wrapping_add(8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{collections::HashSet, vec, vec::Vec};

    #[test]
    fn every_slot_is_looked_at_in_a_few_rounds() {
        for slots in [2, 17, 1000, 131_073] {
            let seen: HashSet<u32> = (0..3 * slots).map(|n: u32| nth_slot(n.wrapping_sub(9), slots)).collect();
            assert_eq!(seen.len(), slots as usize - 1);
        }
    }

    #[test]
    fn neighbours_are_scattered() {
        // One half of the table is established and stands in one piece.
        let slots = 131_073;
        let mut streak = 0;
        for n in 0..1_000_000 {
            streak = if nth_slot(n, slots) <= slots / 2 { streak + 1 } else { 0 };
            assert!(streak < 4, "{streak} established flows in a row");
        }
    }

    #[test]
    fn flood_is_at_the_expense_of_who_floods() {
        assert!(may_evict(60_000, 3), "others evict the flood");
        assert!(may_evict(60_000, 60_000), "the flood evicts itself");
        assert!(!may_evict(3, 60_000) && !may_evict(5_000, 60_000), "the flood evicts nobody else");
        assert!(may_evict(0, 0) && may_evict(58_000, 60_000), "equals take turns");
        assert!(may_evict(u32::MAX, 0) && !may_evict(u32::MAX, 60_000), "a count below zero is a small one");
        assert!(gives_room(100, u32::MAX) && !gives_room(u32::MAX, 0), "a count below zero is a small one");
    }

    #[test]
    fn what_began_from_outside_goes_first_for_who_comes_from_inside() {
        let rank = |answered, idle| eviction_rank(FlowState::HalfOpen, answered, idle);
        let (young, old) = (rank(false, 0), rank(false, 100_000));
        assert!(rank_for(1, FROM_OUTSIDE | 1, young) < rank_for(1, 1, old));
        assert!(rank_for(1, FROM_OUTSIDE | 1, old) < rank_for(1, FROM_OUTSIDE | 1, young));
        assert_eq!(rank_for(FROM_OUTSIDE | 1, FROM_OUTSIDE | 1, young), young, "among themselves nothing changes");
    }

    #[test]
    fn one_way_flows_make_room_for_who_has_fewer() {
        assert!(gives_room(30_000, 0) && gives_room(30_000, 20_000));
        assert!(!gives_room(30_000, 30_000) && !gives_room(8, 0) && !gives_room(u32::MAX, 0));
    }

    #[test]
    fn closed_flows_go_first_then_the_longest_idle() {
        use FlowState::{Closing, HalfOpen};
        const LONGEST: u32 = u32::MAX / 2;
        assert!(eviction_rank(Closing, true, 0) < eviction_rank(HalfOpen, false, LONGEST));
        assert!(eviction_rank(HalfOpen, false, 0) < eviction_rank(HalfOpen, true, LONGEST));
        for (state, answered) in [(Closing, true), (HalfOpen, false), (HalfOpen, true)] {
            assert!(eviction_rank(state, answered, 10) < eviction_rank(state, answered, 9));
        }
    }

    #[test]
    fn answered_flows_are_spared_but_not_those_of_who_floods() {
        const ANSWERED: u8 = tcp_flag::SYN | tcp_flag::ACK;
        assert!(is_answered(ANSWERED, 10, 10) && is_answered(ANSWERED, 60_000, 60_000));
        assert!(!is_answered(tcp_flag::SYN, 10, 10));
        assert!(!is_answered(ANSWERED, 60_000, 300), "with an accomplice outside");
        assert!(is_answered(ANSWERED, u32::MAX, 0), "a count below zero is a small one");
    }

    #[test]
    fn flow_that_was_used_since_the_search_began_is_not_an_old_one() {
        let (began, used) = (0_u32, 1);
        assert_eq!(
            eviction_rank(FlowState::HalfOpen, false, began.wrapping_sub(used)),
            eviction_rank(FlowState::HalfOpen, false, 0)
        );
    }

    /// Evicts as the data path does, one newcomer a tick; returns how long each evicted flow had lived, sorted.
    fn lives(slots: u32, established: u32, newcomers: u32) -> Vec<u32> {
        let mut born = vec![0; slots as usize];
        let (mut cursor, mut lives) = (0, Vec::new());
        for now in 1..=newcomers {
            let (mut found, mut oldest) = (0, None);
            for _ in 0..LOOKS {
                cursor += 1;
                let slot = nth_slot(cursor, slots);
                if slot > established {
                    found += 1;
                    oldest = oldest.min(Some((born[slot as usize], slot))).or(Some((born[slot as usize], slot)));
                }
                if found == CANDIDATES {
                    break;
                }
            }
            let (birth, slot) = oldest.expect("a pending flow");
            born[slot as usize] = now;
            if birth > 0 {
                lives.push(now - birth);
            }
        }
        lives.sort_unstable();
        lives
    }

    #[test]
    fn pending_flows_live_nearly_as_long_as_in_a_queue() {
        for (slots, established) in [(20_001, 0), (20_001, 10_000), (3_001, 2_500)] {
            let (pending, lives) = (slots - 1 - established, lives(slots, established, 200_000));
            let early = lives[lives.len() / 1000];
            assert!(early > pending * 55 / 100, "one of 1000 of {pending} flows lives only {early} newcomers long");
        }
    }

    proptest! {
        #[test]
        fn slots_stay_in_the_table(n: u32, slots in 2u32..) {
            prop_assert!((1..slots).contains(&nth_slot(n, slots)));
        }
    }
}
