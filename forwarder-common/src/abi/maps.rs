//! Every map of the data path, a row a map: what it is called, of which type it is, what its keys and values are, and what it is for.

use core::{fmt, marker::PhantomData};

use super::{
    ANNOUNCED_ADDRESSES, Addr, CONVERSATIONS as CONVERSATIONS_KEPT, COUNTER_BLOCKS, Config, Conversation,
    ConversationRecord, CounterBlock, Endpoint, EndpointFlows, ExpiryRecord, External, FlowAlloc, FlowEnds, FlowSlot,
    HOST_VETH_PLACES, HostPeers, Internal, Layout, Limits, METADATA_LEN, Mapping, Network, NetworkPair,
    POLICY_COUNTS as COUNTS_OF_RULES, POLICY_PREFIXES, PUBLISHED_WORDS, PolicyNode, PolicyPrefix, PortPrefix, PortUse,
    Prefix, PrefixV6, Publication, RETRY_CLASSES, RoutePrefix, SenderPrefix, TrafficBlock, Tuple, Uplink,
    fragment::{BUCKETS, Bucket},
    layout::{Field, Hash},
};

/// The name of a map, and of its pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MapName(&'static str);

impl MapName {
    /// As it is pinned.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

/// In words: `map CONFIG`.
impl fmt::Display for MapName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "map {}", self.0)
    }
}

#[cfg(feature = "user")]
impl From<MapName> for alloc::string::String {
    fn from(name: MapName) -> Self {
        alloc::format!("{name}")
    }
}

/// The name of a map whose keys are `K` and whose values are `V`.
#[derive(Debug)]
pub struct MapOf<K, V>(MapName, PhantomData<fn() -> (K, V)>);

impl<K, V> MapOf<K, V> {
    /// The name alone.
    #[must_use]
    pub const fn name(self) -> MapName {
        self.0
    }

    /// As it is pinned.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0.as_str()
    }
}

impl<K, V> Clone for MapOf<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K, V> Copy for MapOf<K, V> {}

impl<K, V> From<MapOf<K, V>> for MapName {
    fn from(map: MapOf<K, V>) -> Self {
        map.name()
    }
}

#[cfg(feature = "user")]
impl<K, V> From<MapOf<K, V>> for alloc::string::String {
    fn from(map: MapOf<K, V>) -> Self {
        map.name().into()
    }
}

/// Type of a map: `enum bpf_map_type` (include/uapi/linux/bpf.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum MapKind {
    /// `BPF_MAP_TYPE_HASH`.
    Hash = 1,
    /// `BPF_MAP_TYPE_ARRAY`.
    Array = 2,
    /// `BPF_MAP_TYPE_PROG_ARRAY`.
    ProgramArray = 3,
    /// `BPF_MAP_TYPE_PERCPU_ARRAY`.
    PerCpuArray = 6,
    /// `BPF_MAP_TYPE_LRU_HASH`.
    LruHash = 9,
    /// `BPF_MAP_TYPE_LPM_TRIE`.
    LpmTrie = 11,
    /// `BPF_MAP_TYPE_QUEUE`.
    Queue = 22,
    /// `BPF_MAP_TYPE_SK_STORAGE`.
    SocketStorage = 24,
    /// `BPF_MAP_TYPE_DEVMAP_HASH`.
    DevMapHash = 25,
}

/// What a map is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// What userspace alone reads and writes, whatever forwards the packets: no program has it, and it is not in the object.
    Userspace,
    /// A record of the control plane, whatever forwards the packets.
    Record,
    /// What the programs remember from packet to packet.
    FlowTable,
    /// What those of IPv6 remember besides: it comes with the first network that has IPv6.
    Ipv6,
    /// What a program works with while it runs.
    Scratch,
    /// Where a packet may go on to.
    Targets,
}

impl Role {
    /// Whether it comes and goes with the records.
    #[must_use]
    pub const fn is_of_records(self) -> bool {
        matches!(self, Self::Record | Self::Userspace)
    }
}

/// A map as it is declared.
#[derive(Clone, Copy, Debug)]
pub struct Map {
    /// What it is called.
    pub name: MapName,
    /// What it is for.
    pub role: Role,
    /// Its type.
    pub kind: MapKind,
    /// Elements; 0 where that is decided when the programs are loaded.
    pub entries: usize,
    /// Size of a key, bytes.
    pub key_size: usize,
    /// Size of a value, bytes.
    pub value_size: usize,
    /// Layout of a key.
    pub key: Hash,
    /// Layout of a value.
    pub value: Hash,
    /// Fields of a key that is a record.
    pub key_fields: &'static [Field],
    /// Fields of a value that is a record.
    pub value_fields: &'static [Field],
}

impl Map {
    /// A map with these keys and values.
    pub(super) const fn new<K: Layout, V: Layout>(
        name: &'static str,
        role: Role,
        kind: MapKind,
        entries: usize,
    ) -> Self {
        let (key_size, value_size) = (size_of::<K>(), size_of::<V>());
        let (key, value, key_fields, value_fields) = (K::LAYOUT, V::LAYOUT, K::FIELDS, V::FIELDS);
        Self { name: MapName(name), role, kind, entries, key_size, value_size, key, value, key_fields, value_fields }
    }
}

/// Declares a constant for each map, and the list of all.
macro_rules! maps {
    ($($role:ident {
        $($(#[doc = $doc:literal])* $name:ident: $kind:ident<$key:ty, $value:ty>[$entries:expr],)*
    })*) => {
        $($($(#[doc = $doc])* pub const $name: MapOf<$key, $value> = MapOf(MapName(stringify!($name)), PhantomData);)*)*

        /// Every map, those of the control plane first.
        pub const MAPS: &[Map] = &[
            $($(Map::new::<$key, $value>(stringify!($name), Role::$role, MapKind::$kind, $entries),)*)*
        ];
    };
}

/// Decided when the programs are loaded.
const SIZED: usize = 0;

/// The kernel's `struct bpf_devmap_val`: an interface, and a program of its own.
type Device = [u32; 2];

maps! {
    Record {
        /// Interfaces that are still the ones that records are about. First of all: with it everybody can tell when a host is gone.
        DEVICES: DevMapHash<u32, Device>[8192],
        /// Settings.
        CONFIG: Array<u32, Config>[1],
        /// Host-side veth → endpoint.
        ENDPOINTS: Hash<u32, Endpoint>[4096],
        /// Host-side veths, by the low bits of their numbers.
        HOST_VETHS: Array<u32, u32>[HOST_VETH_PLACES],
        /// Address of an endpoint, and the hardware address of one that has IPv6 or no bridge ([`super::neighbour_key`]) → its host-side veth.
        ADDRESSES: Hash<Addr, u32>[12_288],
        /// Bridge → network.
        NETWORKS: Hash<u32, Network>[1024],
        /// Networks that reach each other, a pair for each direction.
        REACHES: Hash<NetworkPair, u32>[4096],
        /// Prefix → bridge of the network.
        SUBNETS: LpmTrie<Prefix, u32>[1024],
        /// Prefix of IPv6 → bridge of the network.
        SUBNETS_V6: LpmTrie<PrefixV6, u32>[1024],
        /// Interface → uplink.
        UPLINKS: Hash<u32, Uplink>[256],
        /// Ports of the host, by prefixes of their numbers → the endpoint at which they are published.
        PUBLISHED: LpmTrie<PortPrefix, Publication>[65_536],
        /// A bit for each port that is published at some address.
        PUBLISHED_PORTS: Array<u32, u64>[PUBLISHED_WORDS],
        /// Publications, and prefixes of those who may use them → cookie of the endpoint's namespace.
        PUBLISHED_TO: LpmTrie<SenderPrefix, u64>[16_384],
        /// Addresses of the host → its interface that has it.
        HOST_ADDRESSES: Hash<Addr, u32>[1024],
        /// Address for which the programs answer, because the host does not have it → the interface at which they do.
        ANNOUNCED: Hash<Addr, u32>[ANNOUNCED_ADDRESSES],
        /// Verdicts by interface.
        COUNTERS: Array<u32, CounterBlock>[COUNTER_BLOCKS as usize],
        /// Common verdicts by interface and CPU.
        TRAFFIC: PerCpuArray<u32, TrafficBlock>[COUNTER_BLOCKS as usize],
        /// Packets to groups by block of counters, of endpoints and of what comes by uplinks: see [`admitted`](crate::decide::multicast::admitted).
        MULTICAST_SENT: Array<u32, u64>[COUNTER_BLOCKS as usize],
        /// Limits by endpoint.
        LIMITS: Array<u32, Limits>[COUNTER_BLOCKS as usize],
        /// Endpoint, direction and prefix of the other end → rules.
        POLICIES: LpmTrie<PolicyPrefix, PolicyNode>[POLICY_PREFIXES],
        /// Conversations that a rule has refused.
        POLICY_COUNTS: Array<u32, u64>[COUNTS_OF_RULES],
    }
    Userspace {
        /// Hash of an endpoint's identity → what is known of it besides its record. One for each endpoint that there can be, and for those
        /// whose record an interrupted command has not written yet, or has removed.
        METADATA: Hash<u64, [u8; METADATA_LEN]>[8192],
    }
    FlowTable {
        /// Interface and prefix → MTU of a route.
        ROUTE_MTUS: LpmTrie<RoutePrefix, u32>[4096],
        /// Conversation between neighbours → how far it has come.
        CONVERSATIONS: LruHash<Conversation, ConversationRecord>[CONVERSATIONS_KEPT],
        /// The same, where neither of the two has rules.
        COUNTED: LruHash<Conversation, ConversationRecord>[CONVERSATIONS_KEPT],
        /// Tuple → slot.
        FLOW_INDEX: Hash<Tuple, u32>[SIZED],
        /// Flows.
        FLOW_SLOTS: Array<u32, FlowSlot>[SIZED],
        /// Hash of a tuple → slot.
        FLOW_CACHE: Array<u32, u64>[SIZED],
        /// Slots that are free again.
        FLOW_FREE: Queue<(), u32>[SIZED],
        /// The first slot that was never used.
        FLOW_ALLOC: Array<u32, FlowAlloc>[1],
        /// Searches for ports, by their length.
        PORT_RETRIES: PerCpuArray<u32, u64>[RETRY_CLASSES],
        /// Destinations towards which no port was free a moment ago.
        PORTS_EXHAUSTED: Array<u32, u64>[256],
        /// What the host itself speaks, of protocols without ports.
        HOST_PROTOCOLS: Array<u32, u64>[4096],
        /// Socket inside → its external port.
        MAPPINGS: Hash<Internal, u32>[SIZED],
        /// External port → its socket inside.
        EXTERNAL: Hash<External, Mapping>[SIZED],
        /// Who uses a port, and how.
        PORT_USE: Array<u32, PortUse>[SIZED],
        /// Numbers of flows by endpoint.
        ENDPOINT_FLOWS: Array<u32, EndpointFlows>[COUNTER_BLOCKS as usize],
        /// The timer that ends idle flows.
        EXPIRY_TIMER: Array<u32, ExpiryRecord>[1],
        /// Packets of which fragments came.
        FRAGMENTS: Array<u32, Bucket>[BUCKETS],
        /// Socket of the host → published ports that it talks to. It goes with the socket.
        HOST_PEERS: SocketStorage<u32, HostPeers>[SIZED],
    }
    Ipv6 {
        /// Addresses of flows, by slot.
        FLOW_ENDS: Array<u32, FlowEnds>[SIZED],
    }
    // What stands in these, only the programs know: so many bytes.
    Scratch {
        /// A flow that is being made.
        OPENING: PerCpuArray<u32, [u8; 104]>[1],
        /// A search for a port.
        SEARCH: PerCpuArray<u32, [u8; 2264]>[1],
        /// A packet of IPv6, and the addresses of its flow.
        PACKET6: PerCpuArray<u32, [u8; 132]>[1],
        /// A published port that is looked for.
        SOUGHT: PerCpuArray<u32, [u8; 120]>[1],
        /// A reply's tuple.
        REPLY: PerCpuArray<u32, Tuple>[1],
        /// The tuple of a packet from outside.
        INBOUND: PerCpuArray<u32, Tuple>[1],
        /// The conversation between neighbours that a packet is of, and its part in it.
        SPOKEN: PerCpuArray<u32, [u8; 68]>[1],
        /// An ICMP error.
        ICMP_ERROR: PerCpuArray<u32, [u8; 208]>[1],
        /// An error of ICMPv6.
        ICMP_ERROR6: PerCpuArray<u32, [u8; 184]>[1],
        /// What is told to a sender.
        NOTICE: PerCpuArray<u32, [u8; 110]>[1],
        /// The same of IPv6.
        NOTICE6: PerCpuArray<u32, [u8; 66]>[1],
        /// A copy of an endpoint's record.
        ENDPOINT: PerCpuArray<u32, Endpoint>[1],
        /// A question about a route.
        FIB_QUERY: PerCpuArray<u32, [u8; 64]>[1],
    }
    Targets {
        /// Interfaces that XDP may send by.
        XDP_TARGETS: DevMapHash<u32, Device>[4096],
        /// The programs of the slow paths.
        SLOW_PATH: ProgramArray<u32, u32>[9],
    }
}
