//! What only tests need: whether the maps agree with each other, and what happens when one refuses something.

use forwarder_common::{
    abi::{Endpoint, FlowSlot, FlowState, FlowVersion, METADATA_LEN, PortUse, SLOT_NONE},
    flow::slot::held,
};

use crate::{Dataplane, object::maps};
use fwd_base::{Context as _, Result};

/// How often something stands in the maps of the flow table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Slots of flows.
    pub flows: usize,
    /// Slots that are neither: being made, ending, or unfinished.
    pub unfinished: usize,
    /// Tuples in the index.
    pub tuples: usize,
    /// Buckets of the flow cache that hold or count anything.
    pub cached: usize,
    /// Ports of endpoint-independent mappings.
    pub mappings: usize,
}

impl Dataplane {
    /// How often something stands in the maps.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn contents(&self) -> Result<Contents> {
        let slots = self.array(maps::FLOW_SLOTS)?;
        let version = |index| Ok(slots.get(&index, 0).doing("read", maps::FLOW_SLOTS)?.shared.version);
        let versions = (SLOT_NONE + 1..self.slots_used()?).map(version).collect::<Result<Vec<FlowVersion>>>()?;
        let count = |is: fn(FlowVersion) -> bool| versions.iter().filter(|version| is(**version)).count();
        let index = self.hash(maps::FLOW_INDEX)?;
        let tuples = index.keys().try_fold(0, |count, key| key.map(|_| count + 1)).doing("read", maps::FLOW_INDEX)?;
        Ok(Contents {
            flows: count(FlowVersion::is_flow),
            unfinished: count(|version| !version.is_flow() && version.state() != FlowState::Free),
            tuples,
            cached: self.cache_buckets()?.len(),
            mappings: self.mappings()?,
        })
    }

    /// The buckets of the flow cache that hold or count anything ([`forwarder_common::flow::cache`]), by their number.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn cache_buckets(&self) -> Result<Vec<(u32, u64)>> {
        let map = self.array(maps::FLOW_CACHE)?;
        let bucket = |index| Ok((index, map.get(&index, 0).doing("read", maps::FLOW_CACHE)?));
        let buckets = (0..map.len()).map(bucket).collect::<Result<Vec<_>>>()?;
        Ok(buckets.into_iter().filter(|(_, bucket)| *bucket != 0).collect())
    }

    /// How many buckets of the flow cache there are.
    ///
    /// # Errors
    /// The map cannot be opened.
    pub fn cache_size(&self) -> Result<u32> {
        self.max_entries(maps::FLOW_CACHE)
    }

    /// Replaces what is known of an endpoint besides its record by `text`.
    ///
    /// # Errors
    /// The map cannot be written.
    pub fn spoil_metadata(&self, endpoint: &Endpoint, text: &[u8]) -> Result<()> {
        let mut document = [0; METADATA_LEN];
        document.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
        self.put(maps::METADATA, &endpoint.metadata, &document)
    }

    /// Leaves the slots of all flows as they are when a flow has ended and the maps refused to give back what it holds.
    ///
    /// # Errors
    /// A map cannot be read or written.
    pub fn leave_unfinished(&self) -> Result<()> {
        self.change_flows(|slot| {
            slot.shared.version = FlowVersion::new(slot.shared.version.generation() + 1, FlowState::Unfinished);
        })
    }

    /// Gives back the part in the use of their ports that flows have which are the only ones of their mappings: the mappings are left.
    ///
    /// # Errors
    /// A map cannot be read or written.
    pub fn release_ports(&self) -> Result<()> {
        self.change_flows(|slot| slot.shared.held = slot.shared.held & !held::PORT | held::MAPPING)?;
        let mut uses = self.array(maps::PORT_USE)?;
        for element in 0..uses.len() {
            let found = uses.get(&element, 0).doing("read", maps::PORT_USE)?;
            if found.word == PortUse::LAST {
                uses.set(element, &PortUse { word: PortUse::EXCLUSIVE, ..found }, 0).doing("write", maps::PORT_USE)?;
            }
        }
        Ok(())
    }

    fn change_flows(&self, change: impl Fn(&mut FlowSlot)) -> Result<()> {
        let mut slots = self.array(maps::FLOW_SLOTS)?;
        for index in SLOT_NONE + 1..self.slots_used()? {
            let mut slot = slots.get(&index, 0).doing("read", maps::FLOW_SLOTS)?;
            if slot.shared.version.is_flow() {
                change(&mut slot);
                slots.set(index, &slot, 0).doing("write", maps::FLOW_SLOTS)?;
            }
        }
        Ok(())
    }

    /// Fills the queue of free slots, so that it takes no other, until [`empty_queue`](Self::empty_queue).
    ///
    /// # Errors
    /// The map cannot be opened.
    pub fn fill_queue(&self) -> Result<()> {
        let mut queue = self.queue(maps::FLOW_FREE)?;
        while queue.push(&SLOT_NONE, 0).is_ok() {}
        Ok(())
    }

    /// Takes out what [`fill_queue`](Self::fill_queue) put in.
    ///
    /// # Errors
    /// The map cannot be opened.
    pub fn empty_queue(&self) -> Result<()> {
        let mut queue = self.queue(maps::FLOW_FREE)?;
        while matches!(queue.pop(0), Ok(SLOT_NONE)) {}
        Ok(())
    }
}
