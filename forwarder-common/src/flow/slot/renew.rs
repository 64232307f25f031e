//! The route of a flow that is looked up again: what was found goes into the slot, which may be another flow's by then.

use crate::abi::FlowVersion;

/// The route of the flow in a slot: where it goes, and when that was looked up.
pub trait FlowRoute {
    /// The version of the slot.
    fn version(&self) -> FlowVersion;
    /// Writes where it goes.
    fn write(&self);
    /// Notes when that was looked up, jiffies.
    fn checked(&self, at: u32);
}

/// Notes at `now` where the flow goes whose slot had the version `version`, unless that has ended. If it ends at this very moment, the flow
/// that gets the slot may have been given a foreign route: it looks its own up with its next packet, more than `hz` jiffies being over. Whether
/// the slot still held the flow. Who fills a slot notes when it did so before anything else.
#[inline(always)]
pub fn renew(route: &impl FlowRoute, version: FlowVersion, now: u32, hz: u32) -> bool {
    if !version.is_same_flow(route.version()) {
        return false;
    }
    route.write();
    route.checked(now);
    if version.is_same_flow(route.version()) {
        return true;
    }
    route.checked(now.wrapping_sub(hz).wrapping_sub(1));
    false
}

#[cfg(test)]
mod tests {
    use crate::{
        abi::FlowState,
        flow::{
            is_route_old,
            slot::interleave::{Cpu, Task, interleaved},
        },
    };

    use super::*;

    const HZ: u32 = 250;
    const NOW: u32 = 100_000;
    /// Words that say where a flow goes; each is written by itself.
    const WORDS: usize = 2;
    const ONE: FlowVersion = FlowVersion::new(7, FlowState::Established);
    const OTHER: FlowVersion = FlowVersion::new(8, FlowState::HalfOpen);

    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    struct Slot {
        version: FlowVersion,
        /// Whose way it is: the generation.
        way: [u32; WORDS],
        checked: u32,
    }

    impl FlowRoute for Cpu<'_, Slot> {
        fn version(&self) -> FlowVersion {
            FlowVersion::from_raw(self.step(|slot| slot.version.raw().into()) as u32)
        }

        fn write(&self) {
            write(self, ONE);
        }

        fn checked(&self, at: u32) {
            self.step(|slot| {
                slot.checked = at;
                0
            });
        }
    }

    fn write(cpu: &Cpu<'_, Slot>, version: FlowVersion) {
        for word in 0..WORDS {
            cpu.step(|slot| {
                slot.way[word] = version.generation();
                0
            });
        }
    }

    fn set(cpu: &Cpu<'_, Slot>, version: FlowVersion) {
        cpu.step(|slot| {
            slot.version = version;
            0
        });
    }

    /// The flow ends, and another gets its slot.
    const REPLACE: Task<Slot> = |cpu| {
        set(cpu, OTHER.with_state(FlowState::Ending));
        set(cpu, OTHER.with_state(FlowState::Making));
        cpu.checked(NOW);
        write(cpu, OTHER);
        set(cpu, OTHER);
    };
    const RENEW: Task<Slot> = |cpu| _ = renew(cpu, ONE, NOW, HZ);

    #[test]
    fn nobody_keeps_the_way_of_the_flow_that_had_the_slot_before() {
        let slot = Slot { version: ONE, way: [0; WORDS], checked: NOW - 2 * HZ };
        for tasks in [&[REPLACE, RENEW][..], &[REPLACE, RENEW, RENEW]] {
            interleaved(slot.clone(), tasks, |slot| {
                let own = slot.way == [OTHER.generation(); WORDS];
                assert!(own || is_route_old(slot.checked, NOW, HZ), "{slot:?}");
            });
        }
        interleaved(slot, &[RENEW, RENEW], |slot| {
            assert_eq!((slot.way, slot.checked), ([ONE.generation(); WORDS], NOW));
        });
    }
}
