//! Every order in which CPUs can take their steps, over the functions that the programs run. All tuples share one bucket of the flow cache,
//! so that its places and its count are fought for.

mod maps;

use self::maps::{At, Here, Maps, Record, SLOTS, entry, hash};
use crate::{
    abi::{FlowState, FlowVersion},
    flow::{
        cache::{self, Bucket},
        slot::{
            Direction, Slot, abandon, end, held,
            interleave::{Task, interleaved},
            publish, resume,
        },
    },
};

/// A flow, by its outbound and its inbound tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Flow {
    out: usize,
    back: usize,
}

const ONE: Flow = Flow { out: 0, back: 1 };
const OTHER: Flow = Flow { out: 2, back: 3 };
const THIRD: Flow = Flow { out: 4, back: 5 };

/// Makes a flow, as `fwd_slot_take`, `fwd_port_claim` and `fwd_flow_publish` do.
fn open(cpu: &Here<'_>, flow: Flow) {
    let index = cpu.step(|maps| if maps.free.is_empty() { 0 } else { maps.free.remove(0) as u64 }) as usize;
    if index == 0 {
        return;
    }
    let slot = At { cpu, index };
    let before = slot.version();
    assert_eq!(before.state(), FlowState::Free, "slot {index} was given out");
    let version = FlowVersion::new(before.generation(), FlowState::Making);
    // Readers may see the version before the rest, or the rest before the version.
    slot.replace(before, version);
    cpu.step(|maps| {
        let Flow { out, back } = flow;
        maps.slots[index] = Record { version, held: 0, out, back, translation: out };
        0
    });
    if !slot.insert(Direction::Inbound) {
        abandon(&slot, version);
        return;
    }
    slot.hold(held::INBOUND | held::PORT);
    publish(&slot, version);
}

fn indexed(cpu: &Here<'_>, tuple: usize) -> usize {
    cpu.step(|maps| maps.index[tuple] as u64) as usize
}

/// Ends the flow that has an outbound tuple.
fn end_of(cpu: &Here<'_>, tuple: usize) {
    let index = indexed(cpu, tuple);
    if index != 0 {
        let slot = At { cpu, index };
        end(&slot, slot.version());
    }
}

/// As `store::look_up`: finds the flow of an outbound tuple, and sees to its cache entry.
fn look_up(cpu: &Here<'_>, tuple: usize) {
    let index = indexed(cpu, tuple);
    let slot = At { cpu, index };
    let version = slot.version();
    let opening = version.state() == FlowState::Opening;
    if index == 0 || !version.is_flow() || slot.tuple(Direction::Outbound) != tuple || opening {
        return;
    }
    cache::promote(cpu, entry(tuple, index), || slot.version().is_same_flow(version));
}

/// As `store::find_cached` and `store::copy`: a packet with an outbound tuple is translated by its own flow, or not at all.
fn translate(cpu: &Here<'_>, tuple: usize) {
    let candidates = cache::candidates(cpu.load(), hash(tuple));
    for index in candidates.into_iter().filter(|slot| *slot != 0) {
        let slot = At { cpu, index: index as usize };
        let version = slot.version();
        if version.is_flow() && slot.tuple(Direction::Outbound) == tuple {
            let translation = slot.read(|slot| slot.translation);
            let same = slot.version().is_same_flow(version);
            assert!(!same || translation == tuple, "{tuple} is translated as {translation}");
        }
    }
}

/// Whoever is in the index, and stays there, is known.
fn know(cpu: &Here<'_>, tuples: [usize; 2]) {
    let bucket = cpu.load();
    for tuple in tuples {
        let known = cache::candidates(bucket, hash(tuple)) != [0, 0] || cache::overflows(bucket);
        assert!(known, "tuple {tuple} is not known: {bucket:x}");
    }
}

/// As the timer does.
fn expiry(cpu: &Here<'_>) {
    for index in 1..SLOTS {
        let slot = At { cpu, index };
        resume(&slot, slot.version());
    }
}

/// Once the expiry timer has come by, and nothing fails any more, all is sound.
fn assert_sound_in_the_end(maps: Maps) {
    Maps { failures: 0, ..maps }.after(expiry).assert_sound();
}

/// Two tuples have the two places, and the others are only counted.
fn three_flows() -> Maps {
    [ONE, OTHER, THIRD].iter().zip(1..).fold(Maps::new(3), |maps, (_, number)| {
        maps.after(match number {
            1 => |cpu| open(cpu, ONE),
            2 => |cpu| open(cpu, OTHER),
            _ => |cpu| open(cpu, THIRD),
        })
    })
}

/// One flow, and so many slots in all.
fn one_flow(slots: usize) -> Maps {
    Maps::new(slots).after(|cpu| open(cpu, ONE))
}

#[track_caller]
fn check(before: &Maps, tasks: &[Task<Maps>]) {
    let states = interleaved(before.clone(), tasks, assert_sound_in_the_end);
    assert!(states > 20, "{states} states are too few for the steps of two CPUs");
}

const OPEN_ONE: Task<Maps> = |cpu| open(cpu, ONE);
const END_ONE: Task<Maps> = |cpu| end_of(cpu, ONE.out);
const END_THIRD: Task<Maps> = |cpu| end_of(cpu, THIRD.out);
const LOOK_UP_THIRD: Task<Maps> = |cpu| look_up(cpu, THIRD.out);

#[test]
fn one_of_two_first_packets_of_a_flow_makes_it() {
    check(&Maps::new(2), &[OPEN_ONE, OPEN_ONE]);
    check(&Maps::new(1), &[OPEN_ONE, OPEN_ONE]);
}

#[test]
fn one_of_two_flows_gets_the_port() {
    check(&Maps::new(2), &[OPEN_ONE, |cpu| open(cpu, Flow { out: OTHER.out, back: ONE.back })]);
}

#[test]
fn flow_ends_once_and_makes_room() {
    check(&one_flow(1), &[END_ONE, END_ONE]);
    check(&Maps::new(1), &[OPEN_ONE, END_ONE]);
    for slots in [1, 2] {
        check(&one_flow(slots), &[END_ONE, OPEN_ONE]);
        check(&one_flow(slots), &[END_ONE, |cpu| open(cpu, OTHER)]);
    }
}

#[test]
fn tuple_that_gets_a_place_leaves_nothing_behind_when_a_flow_ends() {
    for other in [END_ONE, END_THIRD, LOOK_UP_THIRD, |cpu| end_of(cpu, OTHER.out), |cpu| look_up(cpu, OTHER.out)] {
        check(&three_flows(), &[LOOK_UP_THIRD, other]);
    }
}

#[test]
fn tuple_is_looked_up_while_its_flow_is_made_anew_in_the_same_slot() {
    let again: Task<Maps> = |cpu| {
        end_of(cpu, ONE.out);
        open(cpu, ONE);
    };
    check(&one_flow(1), &[again, |cpu| look_up(cpu, ONE.out)]);
    let third_again: Task<Maps> = |cpu| {
        end_of(cpu, THIRD.out);
        open(cpu, THIRD);
    };
    check(&three_flows(), &[third_again, LOOK_UP_THIRD]);
}

#[test]
fn who_is_in_the_index_is_known_all_the_time() {
    check(&three_flows(), &[END_ONE, LOOK_UP_THIRD, |cpu| know(cpu, [OTHER.out, THIRD.back])]);
    check(&three_flows(), &[END_THIRD, LOOK_UP_THIRD, |cpu| know(cpu, [ONE.out, OTHER.back])]);
}

#[test]
fn nobody_is_translated_by_another_flow() {
    let another: Task<Maps> = |cpu| {
        end_of(cpu, ONE.out);
        open(cpu, OTHER);
    };
    check(&one_flow(1), &[another, |cpu| translate(cpu, ONE.out), |cpu| translate(cpu, OTHER.out)]);
}

#[test]
fn what_a_map_refuses_is_done_by_the_expiry_timer() {
    for failures in 0..1 << 6 {
        let some_fail = |maps: Maps| Maps { failures, ..maps };
        check(&some_fail(one_flow(2)), &[END_ONE, expiry]);
        check(&some_fail(one_flow(2)), &[END_ONE, OPEN_ONE]);
        check(&some_fail(one_flow(3)), &[OPEN_ONE, |cpu| open(cpu, OTHER)]);
    }
}
