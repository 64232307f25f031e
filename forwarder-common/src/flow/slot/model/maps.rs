//! The maps that the programs share, as the model has them: each step on them is one that a CPU takes without being interrupted.

use std::vec::Vec;

use crate::{
    abi::{FlowState, FlowVersion},
    flow::{
        cache::{self, Bucket},
        slot::{
            Direction, Slot, held,
            interleave::{Cpu, Task, alone},
        },
    },
};

/// Slots; number 0 is never used.
pub(super) const SLOTS: usize = 4;
/// All tuples are below this.
pub(super) const TUPLES: usize = 6;

/// What stands in a slot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Record {
    pub(super) version: FlowVersion,
    pub(super) held: u32,
    pub(super) out: usize,
    pub(super) back: usize,
    /// What the flow is translated to: tells whose translation was used.
    pub(super) translation: usize,
}

/// The maps.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Maps {
    pub(super) slots: [Record; SLOTS],
    pub(super) index: [usize; TUPLES],
    pub(super) free: Vec<usize>,
    pub(super) bucket: u64,
    pub(super) pending: u32,
    /// Which of the next operations fail that can: one a bit.
    pub(super) failures: u32,
}

/// A CPU among the maps.
pub(super) type Here<'a> = Cpu<'a, Maps>;

impl Maps {
    /// With so many free slots, from the first on.
    pub(super) fn new(free: usize) -> Self {
        let slots = [(); SLOTS].map(|()| Record::default());
        Self { slots, index: [0; TUPLES], free: (1..=free).collect(), bucket: 0, pending: 0, failures: 0 }
    }

    pub(super) fn after(self, task: Task<Self>) -> Self {
        alone(self, task)
    }

    /// Whether the operation at hand fails.
    fn fails(&mut self) -> bool {
        let fails = self.failures & 1 != 0;
        self.failures >>= 1;
        fails
    }

    /// Each slot is in its place, and all maps tell of the same flows.
    pub(super) fn assert_sound(&self) {
        let mut index = [0; TUPLES];
        let (mut flows, mut tuples, mut cached) = (0, 0, 0);
        for (number, slot) in self.slots.iter().enumerate().skip(1) {
            let queued = self.free.iter().filter(|queued| **queued == number).count();
            if slot.version.state() != FlowState::HalfOpen {
                assert!(queued <= 1, "slot {number} is free twice: {self:?}");
                assert!(queued == 1 || slot.version.is_none(), "slot {number} is lost: {self:?}");
                continue;
            }
            flows += 1;
            assert_eq!(queued, 0, "slot {number} is in use and free: {self:?}");
            for tuple in [slot.out, slot.back] {
                assert_eq!(index[tuple], 0, "two flows have tuple {tuple}: {self:?}");
                index[tuple] = number;
                tuples += 1;
                cached += u64::from(cache::candidates(self.bucket, hash(tuple)).contains(&(number as u32)));
            }
        }
        assert_eq!((self.index, self.pending), (index, flows), "index and count: {self:?}");
        let alone = |slot: &u32| *slot != 0;
        let places = (0..TUPLES).flat_map(|tuple| cache::candidates(self.bucket, hash(tuple))).filter(alone).count();
        assert_eq!(places as u64, cached, "an entry is left of nobody: {self:?}");
        assert_eq!(self.bucket >> 60, tuples - cached, "who has no place is counted: {self:?}");
    }
}

/// Each tuple has a tag of its own.
pub(super) fn hash(tuple: usize) -> u32 {
    (tuple as u32) << 27
}

pub(super) fn entry(tuple: usize, slot: usize) -> u64 {
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
pub(super) struct At<'a, 'b> {
    pub(super) cpu: &'a Here<'b>,
    pub(super) index: usize,
}

impl At<'_, '_> {
    pub(super) fn read(&self, field: impl Fn(&Record) -> usize) -> usize {
        self.cpu.step(|maps| field(&maps.slots[self.index]) as u64) as usize
    }

    pub(super) fn version(&self) -> FlowVersion {
        FlowVersion::from_raw(self.read(|slot| slot.version.raw() as usize) as u32)
    }

    /// Nobody else looks at what the owner writes: one step.
    pub(super) fn tuple(&self, direction: Direction) -> usize {
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
