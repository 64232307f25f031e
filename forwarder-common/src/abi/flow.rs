//! Flow slots: everything about one translated flow, three cache lines.

use crate::abi::{Addr, record};

/// "No slot": what an empty cache entry holds. Slot 0 is never used.
pub const SLOT_NONE: u32 = 0;

/// The zone of the host's main routing, as [`Tuple::ifindex`] has it for what comes from outside: the number of its loopback interface. A
/// routing domain of its own (a VRF) would have that of its device.
pub const ZONE_MAIN: u32 = 1;

/// The next hop of a flow between namespaces by an address of the host: none, the packet comes back.
pub const HAIRPIN: [u32; 4] = [0; 4];

/// Slots that one run of the program `flush` looks at.
pub const FLUSH_SLICE: u32 = 8192;

record! {
    /// What one direction of a flow looks like where it enters: addresses and ports in network byte order as loaded from
    /// the packet, queries of ICMP with their identifier in both port fields.
    #[derive(Default, Hash)]
    pub struct Tuple {
        /// Source address.
        pub saddr: [u8; 4],
        /// Destination address.
        pub daddr: [u8; 4],
        /// Source port.
        pub sport: [u8; 2],
        /// Destination port.
        pub dport: [u8; 2],
        /// Where the packet enters: the host-side veth; for what comes from outside, by whatever uplink, the zone ([`ZONE_MAIN`]); 0 for the
        /// host's own sockets.
        pub ifindex: u32,
        /// IP protocol.
        pub proto: u8,
        /// Of an ICMP query other than echo, and its answer, the type of the request; 0 otherwise. See [`crate::wire::icmp::query`].
        pub query: u8,
        /// 0 of IPv4. Of IPv6 both addresses are fingerprints, and this has more bits of that of the remote end, and
        /// [`crate::flow::ipv6::FAMILY`].
        pub family: u16,
    }
}

record! {
    /// One direction: what to match, what to write, where to send it, and its counters. One cache line.
    #[derive(Default)]
    pub struct FlowHalf {
        /// The packet as it enters.
        pub tuple: Tuple,
        /// New source (outbound) or destination (inbound) address, network byte order.
        pub addr: [u8; 4],
        /// New source or destination port, network byte order.
        pub port: [u8; 2],
        /// Largest IP packet of the way out, bytes.
        pub mtu: u16,
        /// Interface to send by: the uplink (outbound), the host-side veth (inbound), 0 for the host itself.
        pub out_if: u32,
        /// Destination MAC, source MAC. Outbound those of the next hop and of the uplink as they were when the route was last looked
        /// up; zero if the next hop was not known, or the uplink has no link-layer header.
        pub hop: [u8; 12],
        /// Index of the endpoint's block in `COUNTERS`; 0 for the host itself.
        pub counters: u16,
        /// Index of the uplink's block in `COUNTERS`, in the direction of this half.
        pub uplink_counters: u16,
        /// Packets, as on the wire after segmentation.
        pub packets: u64,
        /// IP bytes.
        pub bytes: u64,
    }
}
const _: () = assert!(size_of::<FlowHalf>() == 64);

/// Bits of [`FlowShared::kind`].
pub mod flow_kind {
    /// A flow of an endpoint.
    pub const ENDPOINT: u8 = 0;
    /// A flow of the host's own socket whose port clashed with a claimed one.
    pub const HOST: u8 = 1;
    /// A flow of an endpoint that began from outside: it is half-open until the endpoint answers.
    pub const INBOUND: u8 = 2;
}

/// Life of a slot. Stored in the low byte of a [`FlowVersion`]. Where its low nibble is zero the slot is nobody's flow, whatever
/// stands in it; see [`crate::flow::slot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FlowState {
    /// Not in use: in the queue of free slots, or never used.
    Free = 0,
    /// Not known to be a conversation yet: may be evicted when the table is full.
    HalfOpen = 1,
    /// A conversation.
    Established = 2,
    /// TCP after a RST or both FINs: may be evicted, and its port reclaimed.
    Closing = 3,
    /// Not all of its tuples are in the index yet: only who makes it may change it.
    Opening = 4,
    /// A stream in one direction, which lasts but was never answered: as established, as far as nobody else wants its port or its slot.
    /// Its low three bits are those of [`FlowState::Established`].
    OneWay = 0x0a,
    /// Out of the queue, and being filled.
    Making = 0x10,
    /// A CPU takes out of the other maps what is left of its flow.
    Ending = 0x20,
    /// Something is left that could not be taken out: the expiry timer goes on with it.
    Unfinished = 0x30,
}

impl FlowState {
    /// The state with this number.
    #[inline(always)]
    #[must_use]
    const fn of(number: u32) -> Self {
        match number & 0xff {
            1 => Self::HalfOpen,
            2 => Self::Established,
            3 => Self::Closing,
            4 => Self::Opening,
            0x0a => Self::OneWay,
            0x10 => Self::Making,
            0x20 => Self::Ending,
            0x30 => Self::Unfinished,
            _ => Self::Free,
        }
    }

    /// Whether `number`, of which the low six bits count, is that of a state that counts as established: without a branch.
    #[inline(always)]
    const fn number_is_established(number: u32) -> bool {
        (1_u64 << Self::Established as u8 | 1 << Self::OneWay as u8) >> (number & 0x3f) & 1 != 0
    }

    /// As [`FlowState::number_is_established`], of a state that counts as pending.
    #[inline(always)]
    const fn number_is_pending(number: u32) -> bool {
        (1_u64 << Self::HalfOpen as u8 | 1 << Self::Closing as u8) >> (number & 0x3f) & 1 != 0
    }

    /// Whether a flow in this state may be ended by anybody but its maker.
    #[inline(always)]
    #[must_use]
    pub const fn can_end(self) -> bool {
        self.is_pending() || self.is_established()
    }

    /// Whether a flow in this state counts as established.
    #[inline(always)]
    #[must_use]
    pub const fn is_established(self) -> bool {
        Self::number_is_established(self as u32)
    }

    /// Whether a flow in this state may be evicted: it counts as pending.
    #[inline(always)]
    #[must_use]
    pub const fn is_pending(self) -> bool {
        Self::number_is_pending(self as u32)
    }
}

record! {
    /// Which flow a slot holds, and how far it has come: a generation (high 24 bits), which changes whenever the slot is freed, and the
    /// [`FlowState`] (low byte). Who remembers a slot and its version can tell whether it still holds the same flow.
    #[derive(Default, Hash)]
    pub transparent FlowVersion(u32);
}

impl FlowVersion {
    /// No flow: the version of a slot that was never used.
    pub const NONE: Self = Self(0);

    /// Of a generation (24 bits are kept) and a state.
    #[inline(always)]
    #[must_use]
    pub const fn new(generation: u32, state: FlowState) -> Self {
        Self((generation << 8) | (state as u32))
    }

    /// As an integer, where a function or a map takes nothing else.
    #[inline(always)]
    #[must_use]
    pub const fn raw(self) -> u32 {
        self.0
    }

    /// From such an integer.
    #[inline(always)]
    #[must_use]
    pub const fn from_raw(raw: u32) -> Self {
        Self(raw)
    }

    /// The generation.
    #[inline(always)]
    #[must_use]
    pub const fn generation(self) -> u32 {
        self.0 >> 8
    }

    /// The state.
    #[inline(always)]
    #[must_use]
    pub const fn state(self) -> FlowState {
        FlowState::of(self.0)
    }

    /// The same flow in another state.
    #[inline(always)]
    #[must_use]
    pub const fn with_state(self, state: FlowState) -> Self {
        Self(self.0 & !0xff | state as u32)
    }

    /// Whether this is [`FlowVersion::NONE`].
    #[inline(always)]
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether `other` is of the same flow, in whatever state.
    #[inline(always)]
    #[must_use]
    pub const fn is_same_flow(self, other: Self) -> bool {
        self.generation() == other.generation()
    }

    /// Whether the slot holds a flow.
    #[inline(always)]
    #[must_use]
    pub const fn is_flow(self) -> bool {
        self.0 & 0x0f != 0
    }

    /// See [`FlowState::is_established`].
    #[inline(always)]
    #[must_use]
    pub const fn is_established(self) -> bool {
        FlowState::number_is_established(self.0)
    }

    /// See [`FlowState::is_pending`].
    #[inline(always)]
    #[must_use]
    pub const fn is_pending(self) -> bool {
        FlowState::number_is_pending(self.0)
    }
}

record! {
    /// What both directions share. One cache line, rarely written.
    #[derive(Default)]
    pub struct FlowShared {
        /// Changes by compare-and-exchange only.
        pub version: FlowVersion,
        /// When a packet was last seen, jiffies (wrapping).
        pub last_seen: u32,
        /// When the flow began, jiffies (wrapping).
        pub created: u32,
        /// When the route was last looked up, jiffies (wrapping).
        pub route_checked: u32,
        /// The endpoint's host-side veth, 0 for the host itself.
        pub endpoint: u32,
        /// TCP flags seen so far, or-ed: outbound, inbound. One byte a direction, so that two CPUs never write the same one.
        pub tcp_flags: [u8; 2],
        /// See [`flow_kind`].
        pub kind: u8,
        /// How the flow holds its port; see [`super::port_use`].
        pub port_use: u8,
        /// The endpoint's block of counters, which is also its index in the map `ENDPOINT_FLOWS`, 0 for the host itself; and [`FROM_OUTSIDE`].
        pub counters: u32,
        /// The next hop's address, as words of memory: IPv6, or IPv4 in its mapped form (see [`super::Addr`]). IPv4 may leave by a
        /// next hop of IPv6 (RFC 8950).
        pub next_hop: [u32; 4],
        /// When the SYN left, microseconds; see [`crate::flow::Handshake`].
        pub syn_at: u32,
        /// Round trip of the handshake, microseconds; see [`crate::flow::Handshake`].
        pub handshake_rtt: u32,
        /// What of the flow is in other maps; see [`crate::flow::slot::held`].
        pub held: u32,
        /// Interface by which replies came last; at first the uplink that the flow leaves by.
        pub arrives_by: u32,
        /// Room for later use, zero.
        pub _reserved: u32,
    }
}
const _: () = assert!(size_of::<FlowShared>() == 64);

record! {
    /// Element 0 of the map `FLOW_ALLOC`: who uses how much of the table.
    #[derive(Default)]
    pub struct FlowAlloc {
        /// First slot that was never used; slots below it are in use or in the queue `FLOW_FREE`.
        pub next_unused: u32,
        /// Flows that are established, one-way ones included.
        pub established: u32,
        /// Flows of the host's own sockets ([`flow_kind::HOST`]).
        pub host_flows: u32,
        /// How often slots were looked at for a flow to evict (wrapping); see [`crate::flow::nth_slot`].
        pub evict_cursor: u32,
        /// Flows that are translated by address only: while there are none, nobody looks for them.
        pub address_only: u32,
        /// Flows that are one-way: while there are none, nobody looks for them.
        pub one_way: u32,
        /// Room for later use, zero.
        pub _reserved: [u32; 2],
    }
}

record! {
    /// Value of the map `ENDPOINT_FLOWS`, indexed by the endpoint's block of counters; element 0 is the host's own.
    ///
    /// Counts are signed where they are compared: an element may be set to zero while a last flow of its former owner lives on.
    #[derive(Default)]
    pub struct EndpointFlows {
        /// Flows of the endpoint that are established, one-way ones included.
        pub established: u32,
        /// Flows of the endpoint that are half-open or closing.
        pub pending: u32,
        /// ifindex of the endpoint's host-side veth; 0 for none.
        pub host_veth: u32,
        /// Flows that began from outside and are half-open or closing: whoever floods the endpoint from there competes with these alone.
        pub inbound: u32,
    }
}

/// Set beside the block of counters of a flow that began from outside: it counts apart while it is pending.
pub const FROM_OUTSIDE: u32 = 1 << 31;

record! {
    /// Element 0 of the map `EXPIRY_TIMER` as userspace reads it.
    #[derive(Default)]
    pub struct ExpiryRecord {
        /// The kernel's `struct bpf_timer`, zero when it is read.
        pub timer: [u64; 2],
        /// Next slot to look at.
        pub cursor: u32,
        /// Slices that took longer than [`SLICE_LIMIT_NS`].
        pub late: u32,
        /// Slices so far.
        pub slices: u64,
        /// The longest slice, nanoseconds.
        pub longest_ns: u64,
        /// Flows that were ended for having been idle, or because their interface has gone.
        pub ended: u64,
        /// Not 0 if an interface has gone: this round ends its flows.
        pub gone: u32,
        /// The next endpoint to be asked whether its interface is there: a block of counters.
        pub next_block: u32,
    }
}

/// How long a slice of the expiry timer may hold a CPU, nanoseconds.
pub const SLICE_LIMIT_NS: u64 = 200_000;

record! {
    /// Value of the map `FLOW_SLOTS`.
    #[derive(Default)]
    #[repr(align(64))]
    pub struct FlowSlot {
        /// Namespace → outside.
        pub outbound: FlowHalf,
        /// Outside → namespace.
        pub inbound: FlowHalf,
        /// Both.
        pub shared: FlowShared,
    }
}
const _: () = assert!(size_of::<FlowSlot>() == 192);

record! {
    /// Value of the map `FLOW_ENDS`, by slot: the addresses of a flow of IPv6, of which its tuples have fingerprints. One cache line, which
    /// only who makes the flow writes, before anybody can find it. (The array begins at a page; where more than eight bytes are aligned,
    /// LLVM copies none.)
    #[derive(Default)]
    #[repr(align(8))]
    pub struct FlowEnds {
        /// Of the endpoint.
        pub internal: Addr,
        /// Of the other end.
        pub remote: Addr,
        /// Behind which the endpoint appears.
        pub external: Addr,
        /// What the translation of the address adds to the sum under a checksum, outbound and inbound: see
        /// [`crate::types::checksum::delta`].
        pub delta: [u32; 2],
        /// Room for later use, zero.
        pub _reserved: [u32; 2],
    }
}
const _: () = assert!(size_of::<FlowEnds>() == 64);
