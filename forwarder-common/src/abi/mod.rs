//! Records of the BPF maps, laid out identically in the kernel and in userspace.
//!
//! Every record is declared by `record!`: the compiler refuses one with padding that is not written out, or with a `bool`, an `Option` or an
//! enum in it. Of the declarations comes [`ABI_VERSION`]: a control plane refuses maps of another version.

mod config;
mod counters;
mod endpoint;
mod flow;
pub mod fragment;
mod latency;
mod layout;
mod limit;
mod mapping;
pub mod maps;
mod network;
mod policy;
mod publish;
mod record;
mod trace;
mod version;

use crate::types::direction::Direction;

pub use config::{Config, OWN_ADDRESSES, Secret, TIMEOUTS, Timeout, feature};
pub use counters::{CODES, COMMON_CODES, COUNTER_BLOCKS, Counter, CounterBlock, RETRY_CLASSES, TrafficBlock};
pub use endpoint::{
    ANNOUNCED_ADDRESSES, Endpoint, HOST_VETH_PLACES, METADATA_LEN, SOURCES, endpoint_flags, host_veth_place,
};
pub use flow::{
    EndpointFlows, ExpiryRecord, FLUSH_SLICE, FROM_OUTSIDE, FlowAlloc, FlowEnds, FlowHalf, FlowShared, FlowSlot,
    FlowState, FlowVersion, HAIRPIN, SLICE_LIMIT_NS, SLOT_NONE, Tuple, ZONE_MAIN, flow_kind,
};
pub use latency::{
    LatencyConversation, LatencyPath, LatencyRoundTrips, LatencySettings, LatencyStart, LatencyTally, NO_PATH,
};
pub use layout::{Element, Field, Hash, Layout};
pub use limit::{Limit, Limits};
pub use mapping::{External, Internal, Mapping, PortUse, port_use};
pub use network::{
    Network, NetworkPair, Prefix, PrefixV6, ROUTE_INTERFACE_BITS, ROUTE_OF_IPV6, RoutePrefix, Uplink, uplink_flags,
};
pub use policy::{
    CONVERSATIONS, Conversation, ConversationRecord, POLICY_COUNTS, POLICY_OWNER_BITS, POLICY_PREFIXES, POLICY_RULES,
    PolicyKey, PolicyNode, PolicyPrefix, PolicyRule, neighbour_key, policy_action, policy_owner,
};
pub use publish::{
    ALL_V4, ALL_V6, HOST_PEERS, HOST_SOCKET_BITS, HostPeer, HostPeers, HostSocket, PUBLISHED_WORDS, PortPrefix,
    Publication, SenderPrefix, SocketSender, Withdrawn,
};
pub use record::Bytes;
use record::record;
pub use trace::{NO_VERDICT, TRACE_HEADERS, TRACE_RING, TracePoint, TraceRecord, trace_filter};
pub use version::{ABI_REVISION, ABI_VERSION, AbiVersion};

/// The hooks whose programs begin with a fast path, and their places in the map `SLOW_PATH`, which holds the programs that go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Hook {
    /// `from_ns`.
    FromNs = 0,
    /// `from_uplink`.
    FromUplink = 1,
    /// `to_uplink`.
    ToUplink = 2,
}

/// The place in the map `SLOW_PATH` of the program that goes on with IPv6 of namespaces. The two of the uplinks follow, in the order of
/// [`Hook`].
pub const SLOW_PATH_IPV6: u32 = 3;

/// Where, in the same order, the slow paths of the first two of these are.
pub const SLOW_PATH_IPV6_SLOW: u32 = 6;

/// The place there of the program that copies what is for a group.
pub const SLOW_PATH_MULTICAST: u32 = 8;

impl Hook {
    /// The hook with this number, where a function takes integers only.
    #[inline(always)]
    #[must_use]
    pub const fn of(number: u32) -> Self {
        match number {
            0 => Self::FromNs,
            1 => Self::FromUplink,
            _ => Self::ToUplink,
        }
    }

    /// Which way packets of flows go here.
    #[inline(always)]
    #[must_use]
    pub const fn direction(self) -> Direction {
        match self {
            Self::FromNs | Self::ToUplink => Direction::Outbound,
            Self::FromUplink => Direction::Inbound,
        }
    }
}

/// Longest name of a namespace or network, in bytes (`NAME_MAX`); shorter names are padded with NUL.
pub const NAME_LEN: usize = 256;

/// A name padded with NUL to [`NAME_LEN`].
pub type Name = [u8; NAME_LEN];

/// An interface name padded with NUL (`IFNAMSIZ`).
pub type IfName = [u8; 16];

/// An address of either family: IPv6, or IPv4-mapped (`::ffff:a.b.c.d`, RFC 4291 §2.5.5.2), in network byte order.
pub type Addr = [u8; 16];

/// The IPv4-mapped form of `v4` (network byte order).
#[inline(always)]
#[must_use]
pub const fn mapped(v4: [u8; 4]) -> Addr {
    let [a, b, c, d] = v4;
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

/// The first three words of an IPv4-mapped address, as words of memory.
const MAPPED: [u32; 3] = [0, 0, u32::from_ne_bytes([0, 0, 0xff, 0xff])];

/// As [`mapped`], of an address as a word of memory, and as words.
#[inline(always)]
#[must_use]
pub const fn mapped_words(v4: u32) -> [u32; 4] {
    let [first, second, third] = MAPPED;
    [first, second, third, v4]
}

/// Whether an address is that of IPv4, in its mapped form: the last word is the address then.
#[inline(always)]
#[must_use]
pub const fn is_v4(addr: [u32; 4]) -> bool {
    let ([first, second, third], [a, b, c, _]) = (MAPPED, addr);
    (a ^ first) | (b ^ second) | (c ^ third) == 0
}
