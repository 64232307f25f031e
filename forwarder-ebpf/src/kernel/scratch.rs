//! What a program works with and has no room for: the stacks of all its callers together are 512 bytes. It stands in per-CPU maps, of which
//! nobody else uses the element while a program runs: programs of one CPU do not interleave.

use core::mem::offset_of;

use aya_ebpf::btf_maps::{PerCpuArray, lpm_trie::Key};
use forwarder_common::{
    abi::{Addr, Conversation, FlowVersion, HOST_SOCKET_BITS, HostSocket, Publication, SLOT_NONE, SocketSender, Tuple},
    decide::{
        icmp_error::{self, Embedded, EmbeddedRewrite},
        ports::{Candidates, Shares},
        source::Pool,
    },
    wire::{ipv4, ipv6},
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
    pub(crate) hop: [u32; 3],
    pub(crate) mtu: u32,
    /// The endpoint: 0 for the host itself.
    pub(crate) endpoint: u32,
    pub(crate) endpoint_mtu: u32,
    pub(crate) macs: [u32; 3],
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
    /// The addresses that the flow may appear behind, of which it has the one that is tried.
    pub(crate) pool: Pool,
}

/// What was read of a packet of IPv6, and what its flow makes of it: element 0 of the map `PACKET6`.
#[repr(C)]
pub(crate) struct Packet6 {
    /// Version, traffic class and flow label. Here begins the header, as it stands in the packet.
    pub(crate) first: [u8; 4],
    pub(crate) payload_len: [u8; 2],
    pub(crate) next_header: u8,
    pub(crate) hop_limit: u8,
    pub(crate) src: Addr,
    pub(crate) dst: Addr,
    /// Of a flow that is to be made the address behind which its packets appear.
    pub(crate) external: Addr,
    /// Of a flow that was found the address that takes the place of the source (outbound) or the destination (inbound), and what that adds to
    /// a checksum: see [`FlowEnds::delta`](forwarder_common::abi::FlowEnds::delta).
    pub(crate) to: Addr,
    pub(crate) delta: u32,
    pub(crate) tuple: Tuple,
    /// Offsets of the network and of the transport header from the start of the frame, length of the transport header (0 of a later
    /// fragment), bytes.
    pub(crate) l3: u32,
    pub(crate) upper_off: u32,
    pub(crate) l4_len: u32,
    /// Length of the packet with its header, bytes.
    pub(crate) length: u32,
    /// Offset of the fragment header from the start of the frame, bytes; 0 if it is no fragment. Its identification, the first unit of its
    /// payload and, above it, the one behind the last, and not 0 if the packet ends with it.
    pub(crate) fragment_off: u32,
    pub(crate) fragment_id: u32,
    pub(crate) range: u32,
    pub(crate) last: u32,
    /// 0 for others than TCP.
    pub(crate) tcp_flags: u8,
    /// 0 for others than ICMPv6.
    pub(crate) icmp_type: u8,
    /// Of the protocol, as it stands in the packet.
    pub(crate) number: u8,
    /// Explicit padding.
    pub(crate) _pad: u8,
}

impl Packet6 {
    /// Source and destination as words of memory, without a copy on the stack, which is short.
    #[inline(always)]
    pub(crate) fn words(&self) -> ([u32; 4], [u32; 4]) {
        const {
            assert!(align_of::<Self>() >= 4);
            assert!(offset_of!(Self, src).is_multiple_of(4) && offset_of!(Self, dst).is_multiple_of(4));
        }
        // SAFETY: words of the two addresses, which are aligned to words.
        let words = |addr: *const Addr| [0, 1, 2, 3].map(|at| unsafe { addr.cast::<u32>().add(at).read() });
        (words(&raw const self.src), words(&raw const self.dst))
    }
}

/// A socket of the host that a packet is sent to, and at which endpoint it is published: element 0 of the map `SOUGHT`.
#[repr(C)]
pub(crate) struct Sought {
    /// What was found.
    pub(crate) publication: Publication,
    /// Explicit padding: addresses are aligned.
    pub(crate) _pad: u32,
    /// Length of the prefix, and what is looked for: a key.
    pub(crate) socket_bits: u32,
    pub(crate) socket: HostSocket,
    /// The same of who may use it.
    pub(crate) _pad_sender: u32,
    pub(crate) sender_bits: u32,
    pub(crate) sender: SocketSender,
}

impl Sought {
    /// The socket as a key.
    #[inline(always)]
    pub(crate) fn socket_key(&mut self) -> &Key<HostSocket> {
        self.socket_bits = HOST_SOCKET_BITS;
        // SAFETY: a length and what it is of, one behind the other as a key has them, which is packed.
        unsafe { &*(&raw const self.socket_bits).cast() }
    }

    /// The sender as a key.
    #[inline(always)]
    pub(crate) fn sender_key(&mut self) -> &Key<SocketSender> {
        const { assert!(offset_of!(Self, sender) == offset_of!(Self, sender_bits) + 4) };
        self.sender_bits = HOST_SOCKET_BITS.wrapping_add(128);
        // SAFETY: as of the socket.
        unsafe { &*(&raw const self.sender_bits).cast() }
    }
}

/// Set in [`Opening::keeps`]: the port may be 0.
pub(crate) const KEEPS: u32 = 1 << 16;
/// Set beside it: no other port will do.
pub(crate) const KEEPS_OR_NONE: u32 = 1 << 17;

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

/// What two neighbours speak: element 0 of the map `SPOKEN`.
#[repr(C)]
pub(crate) struct Spoken {
    /// The conversation, as the packet at hand is addressed.
    pub(crate) conversation: Conversation,
    /// Which part the packet has in it: a [`Part`](forwarder_common::decide::policy::conversation::Part).
    pub(crate) part: u32,
    /// Flags of its segment of TCP.
    pub(crate) tcp_flags: u32,
    /// What it adds to the counters of the conversation.
    pub(crate) packets: u32,
    /// IP bytes.
    pub(crate) bytes: u32,
    /// 1 if neither has rules, and it is only counted.
    pub(crate) counted: u32,
}

/// As [`IcmpError`], of ICMPv6: element 0 of the map `ICMP_ERROR6`.
#[repr(C)]
pub(crate) struct IcmpError6 {
    pub(crate) ip: ipv6::Header,
    /// Where the packet ends, bytes from the start of the frame.
    pub(crate) end: usize,
    pub(crate) embedded: icmp_error::ipv6::Embedded,
    /// What it adds to a sum that the outer source becomes the embedded destination: see
    /// [`delta`](forwarder_common::types::checksum::delta).
    pub(crate) moved: u32,
}
