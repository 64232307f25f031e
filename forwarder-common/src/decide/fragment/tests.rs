use crate::{
    decide::fragment::*,
    types::verdict::{PuntReason, Verdict},
    wire::emit::Packet,
};
use proptest::prelude::*;
use std::{vec, vec::Vec};

const TIME: Time = Time { now: 1_000, lifetime: 300 };
const PORTS: [[u8; 2]; 2] = [[1, 2], [3, 4]];
const SENT: Note = Note { ports: PORTS, hops: 64, verdict: Code::FORWARDED };

fn packet(id: u8) -> Tuple {
    Tuple { saddr: [10, 77, 0, 2], daddr: [203, 0, 113, 1], sport: [0, id], proto: 17, ifindex: 7, ..Tuple::default() }
}

fn piece(start: u16, end: u16, last: bool) -> Piece {
    Piece { range: Range { start, end }, last }
}

/// What becomes of the fragments of one packet, each given as first unit, end, and whether it is the last.
fn verdicts(fragments: &[(u16, u16, bool)]) -> Vec<Result<(), Code>> {
    let mut records = [Record::default(); WAYS];
    let note = |&(start, end, last)| see::<Inline>(&mut records, &packet(1), &piece(start, end, last), SENT, TIME);
    fragments.iter().map(note).collect()
}

const OVERLAP: Result<(), Code> = Err(Verdict::Dropped(DropReason::FragmentOverlap).code());
const UNKNOWN: Result<(), Code> = Err(Verdict::Dropped(DropReason::FragmentUnknown).code());

#[test]
fn later_fragments_come_in_any_order_once_the_first_is_there() {
    assert_eq!(verdicts(&[(0, 5, false), (10, 15, false), (15, 17, true), (5, 10, false)]), [Ok(()); 4]);
    assert_eq!(verdicts(&[(5, 10, false), (0, 5, false), (5, 10, false)]), [UNKNOWN, Ok(()), Ok(())]);
}

#[test]
fn repeated_fragment_is_dropped_and_harms_nothing() {
    assert_eq!(
        verdicts(&[(0, 5, false), (0, 5, false), (5, 10, false), (6, 9, false), (10, 11, true)]),
        [Ok(()), OVERLAP, Ok(()), OVERLAP, Ok(())]
    );
}

#[test]
fn overlap_poisons_all_that_follows() {
    let overlapping = [(0, 5, false), (4, 10, false), (10, 12, true), (0, 5, false)];
    assert_eq!(verdicts(&overlapping), [Ok(()), OVERLAP, OVERLAP, OVERLAP]);
}

#[test]
fn packet_has_one_end() {
    assert_eq!(verdicts(&[(0, 5, false), (10, 12, true), (12, 14, false)])[2], OVERLAP, "behind the end");
    assert_eq!(verdicts(&[(0, 5, false), (10, 12, false), (5, 6, true)])[2], OVERLAP, "an end before others");
    assert_eq!(verdicts(&[(0, 5, false), (10, 12, true), (7, 9, true)])[2], OVERLAP, "two ends");
}

#[test]
fn too_many_gaps_are_refused() {
    let scattered: Vec<_> = (0..=RANGES as u16).map(|n| (n * 10, n * 10 + 5, false)).collect();
    let mut expected = vec![Ok(()); RANGES];
    expected.push(UNKNOWN);
    assert_eq!(verdicts(&scattered), expected);
}

#[test]
fn identification_may_be_used_again_when_the_packet_is_complete() {
    let twice = [(0, 5, false), (5, 9, true), (5, 9, true), (0, 5, false), (5, 9, true)];
    assert_eq!(verdicts(&twice), [Ok(()), Ok(()), OVERLAP, Ok(()), Ok(())]);
}

#[test]
fn records_expire() {
    let mut records = [Record::default(); WAYS];
    see::<Inline>(&mut records, &packet(1), &piece(0, 5, false), SENT, TIME).unwrap();
    let later = |after| Time { now: TIME.now + after, ..TIME };
    assert_eq!(ports::<Inline>(&records, &packet(1), later(300)), Some(PORTS));
    assert_eq!(ports::<Inline>(&records, &packet(2), later(300)), None, "another packet");
    assert_eq!(ports::<Inline>(&records, &packet(1), later(301)), None);
    assert_eq!(see::<Inline>(&mut records, &packet(1), &piece(5, 6, true), SENT, later(301)), UNKNOWN);
}

#[test]
fn full_bucket_forgets_the_complete_then_the_oldest() {
    let mut records = [Record::default(); WAYS];
    for id in 0..WAYS as u8 {
        let time = Time { now: TIME.now + u32::from(id), ..TIME };
        see::<Inline>(&mut records, &packet(id), &piece(0, 5, false), SENT, time).unwrap();
    }
    see::<Inline>(&mut records, &packet(2), &piece(5, 6, true), SENT, Time { now: TIME.now + 9, ..TIME }).unwrap();
    let known = |records: &[Record; WAYS]| -> Vec<u8> {
        let time = Time { now: TIME.now + 10, ..TIME };
        (0..9).filter(|id| ports::<Inline>(records, &packet(*id), time).is_some()).collect()
    };
    for (id, left) in [(7, [0, 1, 3, 7]), (8, [1, 3, 7, 8])] {
        see::<Inline>(&mut records, &packet(id), &piece(0, 5, false), SENT, Time { now: TIME.now + 10, ..TIME })
            .unwrap();
        assert_eq!(known(&records), left);
    }
}

#[test]
fn flood_of_one_sender_leaves_the_records_of_others() {
    let mut records = [Record::default(); WAYS];
    let of = |sender: u8, id: u8| Tuple { saddr: [10, 77, 0, sender], sport: [0, id], ifindex: 7, ..Tuple::default() };
    let mut at = 0;
    let mut begins = |records: &mut [Record; WAYS], key: Tuple| {
        at += 1;
        see::<Inline>(records, &key, &piece(0, 5, false), SENT, Time { now: TIME.now + at, ..TIME }).unwrap();
    };
    let has = |records: &[Record; WAYS], key: Tuple| records.iter().any(|record| record.key == key);
    (0..10).for_each(|id| begins(&mut records, of(2, id)));
    begins(&mut records, of(3, 0));
    (10..100).for_each(|id| begins(&mut records, of(2, id)));
    assert!(has(&records, of(3, 0)), "one of another");
    begins(&mut records, of(3, 1));
    begins(&mut records, of(4, 0));
    (100..200).for_each(|id| begins(&mut records, of(2, id)));
    assert!([of(3, 1), of(4, 0)].into_iter().all(|key| has(&records, key)));
    assert!(has(&records, of(2, 199)), "the newcomer always has its own");
    begins(&mut records, of(5, 0));
    begins(&mut records, Tuple { ifindex: 8, ..of(2, 0) });
    assert!(has(&records, Tuple { ifindex: 8, ..of(2, 0) }), "another interface's");
}

#[test]
fn what_the_first_was_left_to_the_kernel_for_is_said_of_the_others() {
    let mut records = [Record::default(); WAYS];
    let mut note = |start, end, note| see::<Inline>(&mut records, &packet(1), &piece(start, end, false), note, TIME);
    let expired = Note { hops: 1, verdict: PuntReason::TtlExceeded.into(), ..SENT };
    let left: Result<(), Code> = Err(PuntReason::TtlExceeded.into());
    assert_eq!([note(0, 5, expired), note(5, 9, SENT), note(5, 9, expired)], [Ok(()), left, left]);
    assert_eq!([note(0, 5, SENT), note(5, 9, SENT)], [Ok(()), Ok(())], "another packet with this identification");
    assert_eq!([note(0, 5, expired), note(9, 12, SENT)], [OVERLAP, Ok(())], "a first that is repeated changes nothing");
}

#[test]
fn no_fragment_gets_further_than_the_first() {
    let mut records = [Record::default(); WAYS];
    let mut note = |start, hops| {
        see::<Inline>(&mut records, &packet(1), &piece(start, start + 5, false), Note { hops, ..SENT }, TIME)
    };
    assert_eq!([note(0, 3), note(5, 4), note(5, 3), note(10, 2)], [Ok(()), OVERLAP, Ok(()), Ok(())]);
}

fn header(proto: u8, start: u16, more: bool, payload: u16) -> ipv4::Header {
    let whole = Packet::other([10, 77, 0, 2].into(), [203, 0, 113, 1].into(), proto);
    let fragment = whole.fragmentation(start | u16::from(more) << 13).total_len(20 + payload);
    ipv4::parse(&fragment.emit().as_slice(), 0).unwrap()
}

#[test]
fn bounds_of_a_fragment_are_checked() {
    assert_eq!(Piece::of(&header(17, 3, true, 16)), Ok(piece(3, 5, false)));
    assert_eq!(Piece::of(&header(17, 3, false, 17)), Ok(piece(3, 6, true)));
    assert_eq!(Piece::of(&header(17, 3, true, 17)), Err(DropReason::Malformed), "nothing can follow");
    assert_eq!(Piece::of(&header(17, 3, true, 0)), Err(DropReason::Malformed), "empty");
    assert_eq!(Piece::of(&header(17, 0x1fff, false, 7)), Err(DropReason::FragmentOverlap), "beyond 65,535");
    assert!(Piece::of(&header(17, 8_186, false, 27)).is_ok(), "65,535 with the header");
    assert_eq!(Piece::of(&header(6, 1, true, 40)), Err(DropReason::FragmentTiny), "inside the TCP header");
    assert!(Piece::of(&header(17, 1, true, 40)).is_ok());
}

proptest! {
    #[test]
    fn accepted_fragments_are_disjoint(
        fragments in proptest::collection::vec((0..40_u16, 1..8_u16, any::<bool>()), 1..60),
    ) {
        let mut fragments: Vec<_> = fragments.iter().map(|&(start, length, last)| (start, start + length, last)).collect();
        fragments[0].0 = 0;
        // One identification in use: after its completion, a new first fragment is another packet's.
        fragments.iter_mut().skip(1).for_each(|fragment| fragment.0 = fragment.0.max(1));
        fragments.iter_mut().for_each(|fragment| fragment.1 = fragment.1.max(fragment.0 + 1));
        let accepted: Vec<_> = fragments.iter().zip(verdicts(&fragments)).filter(|(_, verdict)| verdict.is_ok()).collect();
        prop_assert!(!accepted.is_empty());
        let mut seen = [false; 64];
        for ((start, end, _), _) in accepted {
            for unit in *start..*end {
                prop_assert!(!core::mem::replace(&mut seen[usize::from(unit)], true), "unit {} twice", unit);
            }
        }
    }

    #[test]
    fn fragments_of_an_honest_packet_are_accepted_in_any_order(
        lengths in proptest::collection::vec(1..9_u16, 2..16), order in any::<proptest::sample::Selector>(),
    ) {
        let mut start = 0;
        let mut fragments: Vec<_> = lengths.iter().map(|length| { start += length; (start - length, start, false) }).collect();
        fragments.last_mut().unwrap().2 = true;
        let first = fragments.remove(0);
        let mut shuffled = vec![first];
        while !fragments.is_empty() {
            let chosen = *order.select(&fragments);
            fragments.retain(|fragment| *fragment != chosen);
            shuffled.push(chosen);
        }
        prop_assert_eq!(verdicts(&shuffled), vec![Ok(()); shuffled.len()]);
    }

    #[test]
    fn identifications_stay_different_and_come_back(tuple in ends(), secret: Secret, one: [u8; 2], other: [u8; 2]) {
        let mask = id_mask(&tuple, &secret);
        prop_assert_eq!(masked(masked(one, mask), mask), one);
        prop_assert_eq!(masked(one, mask) == masked(other, mask), one == other);
        let anew = Tuple { sport: [9, 9], dport: [8, 8], query: 13, ..tuple };
        prop_assert_eq!(id_mask(&anew, &secret), mask, "every flow of an endpoint draws from the same numbers");
        prop_assert_eq!(id_mask(&Tuple { ifindex: 0, ..tuple }, &secret), 0, "the host's own are as they are");
    }

    /// Whoever knows the mask of his own fragments knows that of nobody else's.
    #[test]
    fn masks_of_two_endpoints_have_no_fixed_distance(tuple in ends(), secrets in prop::collection::vec(any::<Secret>(), 64)) {
        let other = Tuple { saddr: [10, 77, 0, 3], ifindex: 8, ..tuple };
        let distances: Vec<u16> = secrets.iter().map(|secret| id_mask(&tuple, secret) ^ id_mask(&other, secret)).collect();
        let mut different = distances.clone();
        different.sort_unstable();
        different.dedup();
        prop_assert!(different.len() > 50, "{:?}", distances);
    }
}

fn ends() -> impl Strategy<Value = Tuple> {
    any::<([u8; 4], [u8; 2], u8)>().prop_map(|(daddr, sport, proto)| Tuple { daddr, sport, proto, ..packet(1) })
}
