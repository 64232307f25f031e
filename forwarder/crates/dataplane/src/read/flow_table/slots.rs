//! The flow table, mapped into memory: read without a system call per flow.

use std::{
    marker::PhantomData,
    net::IpAddr,
    num::NonZeroUsize,
    os::fd::AsFd as _,
    ptr::NonNull,
    sync::atomic::{Ordering, fence},
};

use aya::maps::{Map, MapData};
use forwarder_common::abi::{
    Endpoint, EndpointFlows, ExpiryRecord, FlowAlloc, FlowEnds, FlowHalf, FlowSlot, FlowState, FlowVersion, SLOT_NONE,
};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use crate::{Dataplane, object::maps};
use fwd_base::{Context as _, Error, Kind, Result};

/// A read-only view of an array with an element for each slot.
struct View<T> {
    start: NonNull<nix::libc::c_void>,
    bytes: usize,
    element: PhantomData<T>,
}

impl<T: Copy> View<T> {
    fn new(data: &MapData, slots: u32) -> Result<Self> {
        let bytes = (slots as usize * size_of::<T>()).next_multiple_of(4096);
        let length = NonZeroUsize::new(bytes)
            .ok_or_else(|| Error::new(Kind::Failed, "map", "the flow table", "it has no slots"))?;
        // SAFETY: a new mapping at an address of the kernel's choice, over the data of an mmapable array.
        let start = unsafe { mmap(None, length, ProtFlags::PROT_READ, MapFlags::MAP_SHARED, data.fd().as_fd(), 0) }
            .doing("map", "the flow table")?;
        Ok(Self { start, bytes, element: PhantomData })
    }

    /// Element `index`.
    fn at(&self, index: u32) -> Option<*const T> {
        let offset = index as usize * size_of::<T>();
        if offset + size_of::<T>() > self.bytes {
            return None;
        }
        // SAFETY: `offset` lies in the mapping, whose start is aligned to a page and so every element to its alignment.
        Some(unsafe { self.start.cast::<u8>().add(offset) }.cast::<T>().as_ptr())
    }

    /// A copy of element `index`, which the kernel may write meanwhile.
    fn copy(&self, index: u32) -> Option<T> {
        // SAFETY: `at` says where the element is; a volatile read of plain integers.
        self.at(index).map(|element| unsafe { element.read_volatile() })
    }
}

impl View<FlowSlot> {
    /// Whose the flow of slot `index` is (the ifindex of its endpoint's host-side veth), and its state, without the rest of the slot; none
    /// if it is nobody's.
    fn owner(&self, index: u32) -> Option<(u32, FlowState)> {
        let slot = self.at(index)?;
        // SAFETY: as in `copy`: the owner before the version that is checked.
        let (endpoint, version) = unsafe {
            let endpoint = (&raw const (*slot).shared.endpoint).read_volatile();
            (endpoint, (&raw const (*slot).shared.version).read_volatile())
        };
        version.is_flow().then_some((endpoint, version.state()))
    }

    /// The version of the flow in slot `index`: what was copied before was read before it, and what is copied afterwards behind it, whatever
    /// order the processor would prefer.
    fn version(&self, index: u32) -> Option<FlowVersion> {
        let slot = self.at(index)?;
        fence(Ordering::Acquire);
        // SAFETY: as in `copy`.
        let version = unsafe { (&raw const (*slot).shared.version).read_volatile() };
        fence(Ordering::Acquire);
        Some(version)
    }
}

impl<T> Drop for View<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`, to which no reference is left.
        if let Err(error) = unsafe { munmap(self.start, self.bytes) } {
            tracing::debug!("unmap the flow table: {error}");
        }
    }
}

/// The slots that were ever used.
struct Table {
    slots: View<FlowSlot>,
    /// Where some network has, or had, IPv6.
    ends: Option<View<FlowEnds>>,
    used: u32,
}

impl Table {
    /// A copy of slot `index`, and of the addresses of a flow of IPv6, taken while the slot stayed the same flow's; `None` if it is nobody's
    /// or was changing.
    fn read(&self, index: u32) -> Option<FoundFlow> {
        let version = self.slots.version(index)?;
        let slot = self.slots.copy(index)?;
        let is_ipv6 = slot.outbound.tuple.family != 0;
        let ends = if is_ipv6 { Some(self.ends.as_ref()?.copy(index)?) } else { None };
        let same = version.is_same_flow(self.slots.version(index)?);
        (same && slot.shared.version.is_flow()).then_some(FoundFlow { index, slot, ends })
    }

    fn flows(&self) -> impl Iterator<Item = FoundFlow> {
        (SLOT_NONE + 1..self.used).filter_map(|index| self.read(index))
    }
}

/// A flow as it stands in the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FoundFlow {
    /// Number of its slot.
    pub(crate) index: u32,
    pub(crate) slot: FlowSlot,
    /// The addresses of a flow of IPv6.
    pub(crate) ends: Option<FlowEnds>,
}

impl FoundFlow {
    /// The addresses of the endpoint, of the other end, and behind which the endpoint appears.
    pub(crate) fn addresses(&self) -> [IpAddr; 3] {
        let FlowHalf { tuple, addr, .. } = self.slot.outbound;
        match self.ends {
            Some(FlowEnds { internal, remote, external, .. }) => [internal, remote, external].map(IpAddr::from),
            None => [tuple.saddr, tuple.daddr, addr].map(IpAddr::from),
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
        if let Some(Table { slots, used, .. }) = self.table()? {
            let owners = (SLOT_NONE + 1..used).filter_map(|index| slots.owner(index));
            owners.for_each(|(endpoint, state)| each(endpoint, state));
        }
        Ok(())
    }

    /// Calls `each` with a copy of every flow, one after another.
    pub(crate) fn each_flow(&self, each: impl FnMut(FoundFlow)) -> Result<()> {
        if let Some(table) = self.table()? {
            table.flows().for_each(each);
        }
        Ok(())
    }

    /// What `make` makes of every flow; nothing where no flow table is loaded.
    pub(crate) fn map_flows<T>(&self, make: impl FnMut(FoundFlow) -> T) -> Result<Vec<T>> {
        Ok(self.table()?.map(|table| table.flows().map(make).collect()).unwrap_or_default())
    }

    /// The slots that were ever used; none where no flow table is loaded.
    fn table(&self) -> Result<Option<Table>> {
        if !self.is_loaded() {
            return Ok(None);
        }
        let used = self.slots_used()?;
        if used == 0 {
            return Ok(None);
        }
        let array = |map: Map| match map {
            Map::Array(data) => Ok(data),
            _ => Err(Error::new(Kind::Failed, "open", "the flow table", "it is no array")),
        };
        let slots = View::new(&array(self.map(maps::FLOW_SLOTS)?)?, used)?;
        let ends =
            if self.has(maps::FLOW_ENDS) { Some(View::new(&array(self.map(maps::FLOW_ENDS)?)?, used)?) } else { None };
        Ok(Some(Table { slots, ends, used }))
    }
}
