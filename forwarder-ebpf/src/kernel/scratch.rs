//! What a program works with and has no room for: the stacks of all its callers together are 512 bytes. It stands in per-CPU maps, of which
//! nobody else uses the element while a program runs: programs of one CPU do not interleave.

use aya_ebpf::btf_maps::PerCpuArray;
use forwarder_common::{
    abi::{FlowVersion, SLOT_NONE},
    decide::{
        icmp_error::{Embedded, EmbeddedRewrite},
        ports::{Candidates, Shares},
    },
    wire::ipv4,
};

/// This CPU's element of `map`. Who has it calls nobody who takes it too, but by a global function, before which it is written and after
/// which it is read anew.
#[inline(always)]
#[allow(clippy::mut_from_ref, reason = "a map is not borrowed: its elements are the kernel's")]
pub(crate) fn scratch<T>(map: &'static PerCpuArray<T, 1>) -> Option<&'static mut T> {
    // SAFETY: an element of an array lives as long as the programs, and any bits are valid in these types; nobody else uses it meanwhile (see
    // the head of this file).
    map.get_ptr_mut(0).map(|element| unsafe { &mut *element })
}

/// Everything about a flow to be made, decided before: element 0 of the map `OPENING`.
#[repr(C)]
pub(crate) struct Opening {
    /// Out to where, behind which address, by which interface.
    pub(crate) nat_addr: [u8; 4],
    pub(crate) uplink: u32,
    pub(crate) next_hop: [u32; 4],
    /// See [`FlowHalf::hop`](forwarder_common::abi::FlowHalf::hop).
    pub(crate) hop: [u8; 12],
    pub(crate) mtu: u32,
    /// The endpoint: 0 for the host itself.
    pub(crate) endpoint: u32,
    pub(crate) endpoint_mtu: u32,
    pub(crate) macs: [u8; 12],
    pub(crate) counters: u32,
    pub(crate) counters_out: u32,
    pub(crate) counters_in: u32,
    /// Flags of the first segment.
    pub(crate) tcp_flags: u32,
    /// See [`port_use`](forwarder_common::abi::port_use).
    pub(crate) port_use: u32,
    /// Not 0 for a flow that begins from outside.
    pub(crate) inbound: u32,
    /// The very port that the flow is to have outside (host byte order) and [`KEEPS`]: that of a socket of the host, or a published one. 0
    /// for any.
    pub(crate) keeps: u32,
}

/// Set in [`Opening::keeps`]: the port may be 0.
pub(crate) const KEEPS: u32 = 1 << 16;

/// What a search for a port works with: element 0 of the map `SEARCH`.
#[repr(C)]
pub(crate) struct Search {
    pub(crate) candidates: Candidates,
    /// The slot that is being made: its outbound half is filled.
    pub(crate) slot: u32,
    /// How the port is taken; see [`port_use`](forwarder_common::abi::port_use).
    pub(crate) kind: u32,
    /// The endpoint, its block of counters, and how many pending flows it has.
    pub(crate) endpoint: u32,
    pub(crate) counters: u32,
    pub(crate) pending: u32,
    /// What is noted in `PORTS_EXHAUSTED` if nobody has to give a port.
    pub(crate) in_vain: u64,
    /// Who has the candidates.
    pub(crate) shares: Shares,
    /// Of the flows that may be ended for their port the one with the lowest eviction rank.
    pub(crate) victim: Victim,
    /// Candidates whose flows have to go only by the shares, and how many of them.
    pub(crate) others: [Other; OTHERS as usize],
    pub(crate) count: u32,
}

/// A flow that may be ended for its port.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Victim {
    /// See [`eviction_rank`](forwarder_common::decide::ports::eviction_rank); the largest number for none.
    pub(crate) rank: u32,
    pub(crate) slot: u32,
    pub(crate) version: FlowVersion,
    /// The port, host byte order.
    pub(crate) port: u32,
}

/// A candidate whose flow is established or one-way.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Other {
    pub(crate) slot: u32,
    pub(crate) port: u32,
}

/// Elements of `PORTS_EXHAUSTED`: a power of two.
pub(crate) const EXHAUSTED_PLACES: usize = 256;

/// Elements of `HOST_PROTOCOLS`: a power of two, and at least as many as two bits of a hash tell apart.
pub(crate) const HOST_PROTOCOL_PLACES: usize = 4096;

/// Established flows to choose from.
pub(crate) const OTHERS: u32 = 16;

impl Search {
    /// No victim yet.
    pub(crate) const NOBODY: Victim = Victim { rank: u32::MAX, slot: SLOT_NONE, version: FlowVersion::NONE, port: 0 };
}

/// An error and the packet that it is about: element 0 of the map `ICMP_ERROR`.
#[repr(C)]
pub(crate) struct IcmpError {
    pub(crate) ip: ipv4::Header,
    pub(crate) embedded: Embedded,
    /// What changes in it.
    pub(crate) change: EmbeddedRewrite,
}
