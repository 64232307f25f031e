//! Every order in which CPUs can take their steps, over the functions that the programs run. All tuples share one bucket of the flow cache,
//! so that its places and its count are fought for.

use std::vec::Vec;

use crate::{
    abi::{FlowState, FlowVersion},
    flow::{
        cache::{self, Bucket},
        slot::{
            Direction, Slot, abandon, end, held,
            interleave::{Cpu, Task, alone, interleaved},
            publish, resume,
        },
    },
};

/// Slots; number 0 is never used.
const SLOTS: usize = 4;
/// All tuples are below this.
const TUPLES: usize = 6;

/// A flow, by its outbound and its inbound tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Flow {
    out: usize,
    back: usize,
}

const ONE: Flow = Flow { out: 0, back: 1 };
const OTHER: Flow = Flow { out: 2, back: 3 };
const THIRD: Flow = Flow { out: 4, back: 5 };

/// What stands in a slot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Record {
    version: FlowVersion,
    held: u32,
    out: usize,
    back: usize,
    /// What the flow is translated to: tells whose translation was used.
    translation: usize,
}

/// The maps.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Maps {
    slots: [Record; SLOTS],
    index: [usize; TUPLES],
    free: Vec<usize>,
    bucket: u64,
    pending: u32,
    /// Which of the next operations fail that can: one a bit.
    failures: u32,
}

/// A CPU among the maps.
type Here<'a> = Cpu<'a, Maps>;

impl Maps {
    /// With so many free slots, from the first on.
    fn new(free: usize) -> Self {
        let slots = [(); SLOTS].map(|()| Record::default());
        Self { slots, index: [0; TUPLES], free: (1..=free).collect(), bucket: 0, pending: 0, failures: 0 }
    }

    fn after(self, task: Task<Self>) -> Self {
        alone(self, task)
    }

    /// Whether the operation at hand fails.
    fn fails(&mut self) -> bool {
        let fails = self.failures & 1 != 0;
        self.failures >>= 1;
        fails
    }

    /// Once the expiry timer has come by: each slot is in its place, and all maps tell of the same flows.
    fn assert_sound(mut self) {
        self.failures = 0;
        let maps = self.after(expiry);
        let mut index = [0; TUPLES];
        let (mut flows, mut tuples, mut cached) = (0, 0, 0);
        for (number, slot) in maps.slots.iter().enumerate().skip(1) {
            let queued = maps.free.iter().filter(|queued| **queued == number).count();
            if slot.version.state() != FlowState::HalfOpen {
                assert!(queued <= 1, "slot {number} is free twice: {maps:?}");
                assert!(queued == 1 || slot.version.is_none(), "slot {number} is lost: {maps:?}");
                continue;
            }
            flows += 1;
            assert_eq!(queued, 0, "slot {number} is in use and free: {maps:?}");
            for tuple in [slot.out, slot.back] {
                assert_eq!(index[tuple], 0, "two flows have tuple {tuple}: {maps:?}");
                index[tuple] = number;
                tuples += 1;
                cached += u64::from(cache::candidates(maps.bucket, hash(tuple)).contains(&(number as u32)));
            }
        }
        assert_eq!((maps.index, maps.pending), (index, flows), "index and count: {maps:?}");
        let alone = |slot: &u32| *slot != 0;
        let places = (0..TUPLES).flat_map(|tuple| cache::candidates(maps.bucket, hash(tuple))).filter(alone).count();
        assert_eq!(places as u64, cached, "an entry is left of nobody: {maps:?}");
        assert_eq!(maps.bucket >> 60, tuples - cached, "who has no place is counted: {maps:?}");
    }
}

/// Each tuple has a tag of its own.
fn hash(tuple: usize) -> u32 {
    (tuple as u32) << 27
}

fn entry(tuple: usize, slot: usize) -> u64 {
    cache::entry(hash(tuple), slot as u32)
}

impl Bucket for Here<'_> {
    fn load(&self) -> u64 {
        self.step(|maps| maps.bucket)
    }

    fn replace(&self, old: u64, new: u64) -> bool {
        self.step(|maps| {
            let same = maps.bucket == old;
            maps.bucket = if same { new } else { maps.bucket };
            same.into()
        }) != 0
    }

    fn set(&self, bits: u64) {
        self.step(|maps| {
            maps.bucket |= bits;
            0
        });
    }
}

/// A slot, as a CPU sees it.
struct At<'a, 'b> {
    cpu: &'a Here<'b>,
    index: usize,
}

impl At<'_, '_> {
    fn read(&self, field: impl Fn(&Record) -> usize) -> usize {
        self.cpu.step(|maps| field(&maps.slots[self.index]) as u64) as usize
    }

    fn version(&self) -> FlowVersion {
        FlowVersion::from_raw(self.read(|slot| slot.version.raw() as usize) as u32)
    }

    /// Nobody else looks at what the owner writes: one step.
    fn tuple(&self, direction: Direction) -> usize {
        self.read(|slot| if direction == Direction::Outbound { slot.out } else { slot.back })
    }
}

impl Slot for At<'_, '_> {
    fn replace(&self, old: FlowVersion, new: FlowVersion) -> bool {
        self.cpu.step(|maps| {
            let version = &mut maps.slots[self.index].version;
            let same = *version == old;
            *version = if same { new } else { *version };
            same.into()
        }) != 0
    }

    fn held(&self) -> u32 {
        self.read(|slot| slot.held as usize) as u32
    }

    fn hold(&self, held: u32) {
        self.cpu.step(|maps| {
            maps.slots[self.index].held = held;
            0
        });
    }

    fn insert(&self, direction: Direction) -> bool {
        let tuple = self.tuple(direction);
        let inserted = self.cpu.step(|maps| {
            let vacant = maps.index[tuple] == 0;
            maps.index[tuple] = if vacant { self.index } else { maps.index[tuple] };
            vacant.into()
        }) != 0;
        if inserted {
            cache::add(self.cpu, entry(tuple, self.index));
        }
        inserted
    }

    fn remove(&self, direction: Direction, what: u32) -> u32 {
        let tuple = self.tuple(direction);
        let removed = what & held::TUPLE == 0
            || self.cpu.step(|maps| {
                if maps.fails() {
                    return 0;
                }
                assert!(maps.index[tuple] == self.index, "tuple {tuple} is not that of slot {}: {maps:?}", self.index);
                maps.index[tuple] = 0;
                1
            }) != 0;
        if !removed {
            return what;
        }
        // A bucket that others change again and again: then it is tried later.
        let refused = self.cpu.step(|maps| maps.fails().into()) != 0;
        let forgotten = what & held::CACHED == 0 || !refused && cache::remove(self.cpu, entry(tuple, self.index));
        if forgotten { 0 } else { held::CACHED }
    }

    fn release(&self, held: u32) -> u32 {
        // The flow's part goes at once; what of a mapping is in hashes may stay.
        self.cpu.step(|maps| if held & held::PORT != 0 && maps.fails() { held::MAPPING.into() } else { 0 }) as u32
    }

    fn offer(&self) -> bool {
        self.cpu.step(|maps| {
            if maps.fails() {
                return 0;
            }
            maps.free.push(self.index);
            1
        }) != 0
    }

    fn count(&self, from: FlowState, to: FlowState) {
        self.cpu.step(|maps| {
            maps.pending = maps.pending + u32::from(to.is_pending()) - u32::from(from.is_pending());
            0
        });
    }
}

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
    let states = interleaved(before.clone(), tasks, Maps::assert_sound);
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
