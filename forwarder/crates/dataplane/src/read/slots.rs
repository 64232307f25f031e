//! The flow table, mapped into memory: read without a system call per flow.

use std::{num::NonZeroUsize, os::fd::AsFd as _, ptr::NonNull};

use aya::maps::{Map, MapData};
use forwarder_common::abi::{Endpoint, EndpointFlows, ExpiryRecord, FlowAlloc, FlowSlot, FlowState, SLOT_NONE};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use crate::{Dataplane, object::maps};
use fwd_base::{Context as _, Error, Kind, Result};

/// A read-only view of the slots.
struct View {
    start: NonNull<nix::libc::c_void>,
    bytes: usize,
}

impl View {
    fn new(data: &MapData, slots: u32) -> Result<Self> {
        let bytes = (slots as usize * size_of::<FlowSlot>()).next_multiple_of(4096);
        let length = NonZeroUsize::new(bytes)
            .ok_or_else(|| Error::new(Kind::Failed, "map", "the flow table", "it has no slots"))?;
        // SAFETY: a new mapping at an address of the kernel's choice, over the data of an mmapable array.
        let start = unsafe { mmap(None, length, ProtFlags::PROT_READ, MapFlags::MAP_SHARED, data.fd().as_fd(), 0) }
            .doing("map", "the flow table")?;
        Ok(Self { start, bytes })
    }

    /// Whose the flow of slot `index` is (the ifindex of its endpoint's host-side veth), and its state, without the rest of the slot; none
    /// if it is nobody's.
    fn owner(&self, index: u32) -> Option<(u32, FlowState)> {
        let offset = index as usize * size_of::<FlowSlot>();
        if offset + size_of::<FlowSlot>() > self.bytes {
            return None;
        }
        // SAFETY: `offset` lies in the mapping, whose start is aligned to a page and so every slot to 64 bytes.
        let slot = unsafe { self.start.cast::<u8>().add(offset) }.cast::<FlowSlot>().as_ptr();
        // SAFETY: as above. The kernel writes meanwhile: volatile reads of plain integers, the owner before the version that is checked.
        let (endpoint, version) = unsafe {
            let endpoint = (&raw const (*slot).shared.endpoint).read_volatile();
            (endpoint, (&raw const (*slot).shared.version).read_volatile())
        };
        version.is_flow().then_some((endpoint, version.state()))
    }

    /// A copy of slot `index`, taken while the slot stayed the same flow's; `None` if it is nobody's or was changing.
    fn read(&self, index: u32) -> Option<FlowSlot> {
        let offset = index as usize * size_of::<FlowSlot>();
        if offset + size_of::<FlowSlot>() > self.bytes {
            return None;
        }
        // SAFETY: `offset` lies in the mapping, whose start is aligned to a page and so every slot to 64 bytes.
        let slot = unsafe { self.start.cast::<u8>().add(offset) }.cast::<FlowSlot>();
        // SAFETY: as above. The kernel writes meanwhile: volatile reads of plain integers, and the generation is checked after.
        let (copy, after) = unsafe {
            let copy = slot.as_ptr().read_volatile();
            (copy, (&raw const (*slot.as_ptr()).shared.version).read_volatile())
        };
        let same = copy.shared.version.is_same_flow(after);
        (same && copy.shared.version.is_flow()).then_some(copy)
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`, to which no reference is left.
        if let Err(error) = unsafe { munmap(self.start, self.bytes) } {
            tracing::debug!("unmap the flow table: {error}");
        }
    }
}

impl Dataplane {
    /// Who uses how much of the flow table.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn alloc(&self) -> Result<FlowAlloc> {
        self.array(maps::FLOW_ALLOC)?.get(&0, 0).doing("read", maps::FLOW_ALLOC)
    }

    /// How many flows an endpoint has.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn endpoint_flows(&self, endpoint: &Endpoint) -> Result<EndpointFlows> {
        self.array(maps::ENDPOINT_FLOWS)?.get(&endpoint.counters, 0).doing("read", maps::ENDPOINT_FLOWS)
    }

    /// How many flows those of these blocks have, in their order.
    pub(crate) fn flows_of(&self, blocks: impl IntoIterator<Item = u32>) -> Result<Vec<EndpointFlows>> {
        let map = self.array(maps::ENDPOINT_FLOWS)?;
        blocks.into_iter().map(|block| map.get(&block, 0).doing("read", maps::ENDPOINT_FLOWS)).collect()
    }

    /// Sets the counts of flows of blocks that nobody has to zero.
    pub(crate) fn reset_endpoint_flows(&self, blocks: &[u32]) -> Result<()> {
        if !self.is_loaded() {
            return Ok(());
        }
        let mut map = self.array(maps::ENDPOINT_FLOWS)?;
        blocks
            .iter()
            .try_for_each(|block| map.set(*block, &EndpointFlows::default(), 0).doing("write", maps::ENDPOINT_FLOWS))
    }

    /// Notes whose flows those of `block` are: the endpoint's with host-side veth `ifindex`, which the expiry timer asks for.
    pub(crate) fn note_host_veth(&self, block: u32, ifindex: u32) -> Result<()> {
        if !self.is_loaded() {
            return Ok(());
        }
        let mut map = self.array(maps::ENDPOINT_FLOWS)?;
        let flows = map.get(&block, 0).doing("read", maps::ENDPOINT_FLOWS)?;
        // Written once, before there are flows: whoever registers an endpoint again must not overwrite how many it has.
        if flows.host_veth == ifindex {
            return Ok(());
        }
        map.set(block, &EndpointFlows { host_veth: ifindex, ..flows }, 0).doing("write", maps::ENDPOINT_FLOWS)
    }

    /// What the timer that ends idle flows has done.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn expiry(&self) -> Result<ExpiryRecord> {
        self.array(maps::EXPIRY_TIMER)?.get(&0, 0).doing("read", maps::EXPIRY_TIMER)
    }

    /// Slots that were ever used.
    pub(crate) fn slots_used(&self) -> Result<u32> {
        Ok(self.alloc()?.next_unused.min(self.config()?.slots))
    }

    /// Calls `each` with the owner and the state of every flow. Copies nothing.
    pub(crate) fn each_owner(&self, mut each: impl FnMut(u32, FlowState)) -> Result<()> {
        if let Some((view, used)) = self.used_slots()? {
            let owners = (SLOT_NONE + 1..used).filter_map(|index| view.owner(index));
            owners.for_each(|(endpoint, state)| each(endpoint, state));
        }
        Ok(())
    }

    /// Calls `each` with a copy of every slot in use, one after another.
    pub(crate) fn each_slot(&self, mut each: impl FnMut(FlowSlot)) -> Result<()> {
        if let Some((view, used)) = self.used_slots()? {
            (SLOT_NONE + 1..used).filter_map(|index| view.read(index)).for_each(&mut each);
        }
        Ok(())
    }

    /// What `keep` makes of every slot in use, and keeps of it; nothing where no flow table is loaded.
    pub(crate) fn map_slots<T>(&self, mut keep: impl FnMut(FlowSlot) -> Option<T>) -> Result<Vec<T>> {
        let Some((view, used)) = self.used_slots()? else { return Ok(Vec::new()) };
        Ok((SLOT_NONE + 1..used).filter_map(|index| view.read(index)).filter_map(&mut keep).collect())
    }

    /// The slots that were ever used, and how many; none where no flow table is loaded.
    fn used_slots(&self) -> Result<Option<(View, u32)>> {
        if !self.is_loaded() {
            return Ok(None);
        }
        let used = self.slots_used()?;
        if used == 0 {
            return Ok(None);
        }
        let Map::Array(data) = self.map(maps::FLOW_SLOTS)? else {
            return Err(Error::new(Kind::Failed, "open", maps::FLOW_SLOTS, "it is no array"));
        };
        Ok(Some((View::new(&data, used)?, used)))
    }
}
