//! The slots of the flow table. Who may write what of one says [`forwarder_common::abi::FlowShared`].

use core::mem::offset_of;

use forwarder_common::{
    abi::{FlowHalf, FlowSlot, FlowVersion, Tuple},
    types::direction::Direction,
};

use super::{maps::FLOW_SLOTS, shared::Shared};

/// Slot `index`.
#[inline(always)]
pub(crate) fn slot(index: u32) -> Option<Shared<FlowSlot>> {
    Shared::element(&FLOW_SLOTS, index)
}

shared_fields! {
    FlowSlot {
        /// One direction of the flow.
        outbound: FlowHalf = outbound;
        /// The other one.
        inbound: FlowHalf = inbound;
        /// Which flow it holds.
        version: FlowVersion = shared.version;
        /// When a packet was last seen, jiffies.
        last_seen: u32 = shared.last_seen;
        /// When the flow began, jiffies.
        created: u32 = shared.created;
        /// When the route was last looked up, jiffies.
        route_checked: u32 = shared.route_checked;
        /// The endpoint's host-side veth, 0 for the host itself.
        endpoint: u32 = shared.endpoint;
        /// The endpoint's block of counters.
        counters: u32 = shared.counters;
        /// The address of the next hop.
        next_hop: [u32; 4] = shared.next_hop;
        /// TCP flags seen so far, outbound and inbound.
        tcp_flags: [u8; 2] = shared.tcp_flags;
        /// Those of outbound segments.
        outbound_flags: u8 = shared.tcp_flags[0];
        /// Those of inbound segments.
        inbound_flags: u8 = shared.tcp_flags[1];
        /// See [`forwarder_common::abi::flow_kind`].
        kind: u8 = shared.kind;
        /// How the flow holds its port.
        port_use: u8 = shared.port_use;
        /// That port, network byte order.
        external_port: [u8; 2] = inbound.tuple.dport;
        /// IP protocol.
        proto: u8 = outbound.tuple.proto;
        /// The uplink.
        uplink: u32 = outbound.out_if;
        /// Interface by which replies came last.
        arrives_by: u32 = shared.arrives_by;
        /// When the SYN left, microseconds.
        syn_at: u32 = shared.syn_at;
        /// Round trip of the handshake, microseconds.
        handshake_rtt: u32 = shared.handshake_rtt;
    }
    FlowHalf {
        /// The packet as it enters.
        tuple: Tuple = tuple;
        /// New address.
        addr: [u8; 4] = addr;
        /// New port.
        port: [u8; 2] = port;
        /// Largest IP packet of the way out, bytes.
        mtu: u16 = mtu;
        /// Interface to send by.
        out_if: u32 = out_if;
        /// The endpoint's block of counters.
        counters: u16 = counters;
        /// The uplink's block of counters.
        uplink_counters: u16 = uplink_counters;
        /// Packets.
        packets: u64 = packets;
        /// IP bytes.
        bytes: u64 = bytes;
    }
}

impl Shared<FlowSlot> {
    /// One direction.
    #[inline(always)]
    pub(crate) fn half(self, direction: Direction) -> Shared<FlowHalf> {
        match direction {
            Direction::Outbound => self.outbound(),
            Direction::Inbound => self.inbound(),
        }
    }

    /// Notes when a packet was seen: two CPUs write the same, or nearly so.
    #[inline(always)]
    pub(crate) fn see_at(self, now: u32) {
        if self.last_seen().read() != now {
            self.last_seen().write(now);
        }
    }
}

impl Shared<FlowSlot> {
    /// TCP flags seen so far, outbound in the low byte of memory, and inbound.
    #[inline(always)]
    pub(crate) fn both_flags(self) -> Shared<u16> {
        // SAFETY: the field is as long, and aligned to that (see the assertion below).
        unsafe { self.part(|slot| (&raw mut (*slot).shared.tcp_flags).cast()) }
    }
}

impl Shared<FlowHalf> {
    /// The hardware addresses: see [`FlowHalf::hop`].
    #[inline(always)]
    pub(crate) fn hop(self) -> Shared<[u32; 3]> {
        // SAFETY: the field is as long, and aligned to a word (see the assertion below).
        unsafe { self.part(|half| (&raw mut (*half).hop).cast()) }
    }
}

const _: () =
    assert!(offset_of!(FlowHalf, hop).is_multiple_of(4) && offset_of!(FlowSlot, shared.tcp_flags).is_multiple_of(2));

impl Shared<Tuple> {
    /// Makes it one that no packet has: all zero. By words, because LLVM calls a function that goes byte by byte.
    #[inline(always)]
    pub(crate) fn clear(self) {
        const { assert!(size_of::<Tuple>() == 20) };
        self.word_at::<0>().write(0);
        self.word_at::<4>().write(0);
        self.word_at::<8>().write(0);
        self.word_at::<12>().write(0);
        self.word_at::<16>().write(0);
    }

    /// Whether the tuple in a slot is `tuple`, compared by words.
    #[inline(always)]
    pub(crate) fn is(self, tuple: &Tuple) -> bool {
        const WORDS: usize = size_of::<Tuple>() / 4;
        let (stored, wanted) = (self.ptr().cast::<u32>(), core::ptr::from_ref(tuple).cast::<u32>());
        let mut difference = 0;
        let mut word = 0;
        while word < WORDS {
            // SAFETY: `word` is below the number of words of a `Tuple`, which is aligned to four bytes and has no padding.
            difference |= unsafe { stored.add(word).read_volatile() ^ wanted.add(word).read() };
            word = word.wrapping_add(1);
        }
        difference == 0
    }
}
