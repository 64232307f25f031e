//! Every map, under the name by which the control plane pins it. Sizes of the flow table are set when it loads.

use aya_ebpf::{
    Global,
    bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC, bpf_fib_lookup, bpf_timer},
    btf_maps::{Array, DevMapHash, HashMap, LpmTrie, LruHashMap, PerCpuArray, ProgramArray, Queue, SkStorage},
    macros::btf_map,
};
use forwarder_common::{
    abi::{
        ANNOUNCED_ADDRESSES, Addr, COUNTER_BLOCKS, Config, Conversation, ConversationRecord, CounterBlock, Endpoint,
        EndpointFlows, ExpiryRecord, External, FlowAlloc, FlowEnds, FlowSlot, HostPeers, HostSocket, Internal, Limits,
        Mapping, Network, NetworkPair, POLICY_PREFIXES, PUBLISHED_WORDS, PolicyKey, PolicyNode, PortUse, Publication,
        RETRY_CLASSES, Secret, SocketSender, TrafficBlock, Tuple, Uplink,
        fragment::{BUCKETS, Bucket},
    },
    decide::icmp_error::notice::{Notice, ipv6::Notice as Notice6},
};

const LAZY: usize = BPF_F_NO_PREALLOC as usize;
const MMAPABLE: usize = BPF_F_MMAPABLE as usize;

use crate::kernel::scratch::{
    EXHAUSTED_PLACES, HOST_PROTOCOL_PLACES, IcmpError, IcmpError6, Opening, Packet6, Search, Sought, Spoken,
};

/// Number of buckets of the flow cache less one; the number is a power of two.
#[unsafe(no_mangle)]
pub(crate) static CACHE_MASK: Global<u32> = Global::new(0);

/// What the hash is keyed with; see [`secret`].
#[unsafe(no_mangle)]
pub(crate) static SECRET: [Global<u64>; 4] = [const { Global::new(0) }; 4];

/// First port of the NAT range (low half) and last: host byte order, as in the settings.
#[unsafe(no_mangle)]
pub(crate) static NAT_PORTS: Global<u32> = Global::new(0);

/// Settings.
#[btf_map]
pub(crate) static CONFIG: Array<Config, 1> = Array::new();

/// Host-side veth → endpoint.
#[btf_map]
pub(crate) static ENDPOINTS: HashMap<u32, Endpoint, 4096, LAZY> = HashMap::new();

/// Host-side veths, each in the place of the low bits of its number: most of them are told from other interfaces without a look-up in a
/// hash.
#[btf_map]
pub(crate) static HOST_VETHS: Array<u32, { forwarder_common::abi::HOST_VETH_PLACES }> = Array::new();

/// Address of an endpoint → its host-side veth.
#[btf_map]
pub(crate) static ADDRESSES: HashMap<Addr, u32, 12_288, LAZY> = HashMap::new();

/// Bridge → network.
#[btf_map]
pub(crate) static NETWORKS: HashMap<u32, Network, 1024, LAZY> = HashMap::new();

/// Networks that reach each other: of each pair, the one that sends first.
#[btf_map]
pub(crate) static REACHES: HashMap<NetworkPair, u32, 4096, LAZY> = HashMap::new();

/// IPv4 prefix → bridge of the network.
#[btf_map]
pub(crate) static SUBNETS: LpmTrie<[u8; 4], u32, 1024> = LpmTrie::new();

/// IPv6 prefix → bridge of the network.
#[btf_map]
pub(crate) static SUBNETS_V6: LpmTrie<Addr, u32, 1024> = LpmTrie::new();

/// Interface and prefix of either family → MTU that its route asks for, bytes; 0 for a route without that lies within one with.
#[btf_map]
pub(crate) static ROUTE_MTUS: LpmTrie<[u32; 5], u32, 4096> = LpmTrie::new();

/// Socket of the host → the endpoint at which it is published, by prefixes of the port's number.
#[btf_map]
pub(crate) static PUBLISHED: LpmTrie<HostSocket, Publication, 65_536> = LpmTrie::new();

/// A bit for each port that is published at some address: see [`forwarder_common::decide::unsolicited::publish::place`].
#[btf_map]
pub(crate) static PUBLISHED_PORTS: Array<u64, PUBLISHED_WORDS> = Array::new();

/// Publication and sender → cookie of the endpoint's namespace.
#[btf_map]
pub(crate) static PUBLISHED_TO: LpmTrie<SocketSender, u64, 16_384> = LpmTrie::new();

/// Packets to groups by block of counters.
#[btf_map]
pub(crate) static MULTICAST_SENT: Array<u64, { COUNTER_BLOCKS as usize }> = Array::new();

/// Address of the host → its interface that has it.
#[btf_map]
pub(crate) static HOST_ADDRESSES: HashMap<Addr, u32, 1024, LAZY> = HashMap::new();

/// Where a socket of the host was led instead of where it meant to go.
#[btf_map]
pub(crate) static HOST_PEERS: SkStorage<HostPeers> = SkStorage::new();

/// Interface → uplink.
#[btf_map]
pub(crate) static UPLINKS: HashMap<u32, Uplink, 256, LAZY> = HashMap::new();

/// Address for which the programs answer → the interface at which they do.
#[btf_map]
pub(crate) static ANNOUNCED: HashMap<Addr, u32, ANNOUNCED_ADDRESSES, LAZY> = HashMap::new();

/// Counters of a hook of an interface. Block 0 takes what belongs to no known interface. Shared: a block for each CPU would take
/// 4 MiB a CPU.
#[btf_map]
pub(crate) static COUNTERS: Array<CounterBlock, { COUNTER_BLOCKS as usize }> = Array::new();

/// Those of them that nearly every packet changes.
#[btf_map]
pub(crate) static TRAFFIC: PerCpuArray<TrafficBlock, { COUNTER_BLOCKS as usize }> = PerCpuArray::new();

/// What endpoints may send and get, by their blocks of `COUNTERS`.
#[btf_map]
pub(crate) static LIMITS: Array<Limits, { COUNTER_BLOCKS as usize }> = Array::new();

/// Whose rules of which direction, and the other end → rules.
#[btf_map]
pub(crate) static POLICIES: LpmTrie<PolicyKey, PolicyNode, POLICY_PREFIXES> = LpmTrie::new();

/// Conversation between neighbours → how far it has come.
#[btf_map]
pub(crate) static CONVERSATIONS: LruHashMap<
    Conversation,
    ConversationRecord,
    { forwarder_common::abi::CONVERSATIONS },
> = LruHashMap::new();

/// The same of those that are only counted: who floods it leaves alone what rules go by.
#[btf_map]
pub(crate) static COUNTED: LruHashMap<Conversation, ConversationRecord, { forwarder_common::abi::CONVERSATIONS }> =
    LruHashMap::new();

/// Conversations that a rule has refused.
#[btf_map]
pub(crate) static POLICY_COUNTS: Array<u64, { forwarder_common::abi::POLICY_COUNTS }> = Array::new();

/// Interfaces that are still the ones that records are about, each under its own number; the kernel takes out what goes: see
/// [`crate::devices`].
#[btf_map]
pub(crate) static DEVICES: DevMapHash<8192> = DevMapHash::new();

/// Tuple of either direction → slot. Inserting a reply's tuple with `BPF_NOEXIST` is the claim of a port.
#[btf_map]
pub(crate) static FLOW_INDEX: HashMap<Tuple, u32, 1024> = HashMap::new();

/// The flows.
#[btf_map]
pub(crate) static FLOW_SLOTS: Array<FlowSlot, 1024, MMAPABLE> = Array::new();

/// Hash of a tuple → slots that it may be in: [`forwarder_common::flow::cache`].
#[btf_map]
pub(crate) static FLOW_CACHE: Array<u64, 1024> = Array::new();

/// The addresses of flows of IPv6, by slot. As large as that with the first network that has IPv6, and nothing before.
#[btf_map]
pub(crate) static FLOW_ENDS: Array<FlowEnds, 1, MMAPABLE> = Array::new();

/// Slots that were freed, the longest free first.
#[btf_map]
pub(crate) static FLOW_FREE: Queue<u32, 1024> = Queue::new();

/// Who uses how much of the table.
#[btf_map]
pub(crate) static FLOW_ALLOC: Array<FlowAlloc, 1> = Array::new();

/// How many searches for a port needed how many retries; see [`forwarder_common::decide::ports::retry_class`].
#[btf_map]
pub(crate) static PORT_RETRIES: PerCpuArray<u64, RETRY_CLASSES> = PerCpuArray::new();

/// Searches for a port that were in vain a moment ago.
#[btf_map]
pub(crate) static PORTS_EXHAUSTED: Array<u64, EXHAUSTED_PLACES> = Array::new();

/// Protocols without ports that the host itself speaks, and with whom: see [`forwarder_common::decide::address_only::noted`].
#[btf_map]
pub(crate) static HOST_PROTOCOLS: Array<u64, HOST_PROTOCOL_PLACES> = Array::new();

/// Socket inside → its external port (host byte order), of networks that map endpoint-independently.
#[btf_map]
pub(crate) static MAPPINGS: HashMap<Internal, u32, 1024, LAZY> = HashMap::new();

/// External socket → whose it is.
#[btf_map]
pub(crate) static EXTERNAL: HashMap<External, Mapping, 1024, LAZY> = HashMap::new();

/// Who may use a port: the NAT range for TCP, UDP and ICMP one after the other.
#[btf_map]
pub(crate) static PORT_USE: Array<PortUse, 1024> = Array::new();

/// How many flows an endpoint has, by its block of `COUNTERS`.
#[btf_map]
pub(crate) static ENDPOINT_FLOWS: Array<EndpointFlows, { COUNTER_BLOCKS as usize }> = Array::new();

/// State of the expiry timer, in a map of its own: a map with a timer cannot be mapped into memory. Userspace reads it as
/// [`ExpiryRecord`].
#[repr(C)]
pub(crate) struct ExpiryTimer {
    /// The timer.
    pub(crate) timer: bpf_timer,
    /// Next slot to look at.
    pub(crate) cursor: u32,
    /// Slices that took too long.
    pub(crate) late: u32,
    /// Slices so far.
    pub(crate) slices: u64,
    /// The longest slice, nanoseconds.
    pub(crate) longest_ns: u64,
    /// Flows that were ended.
    pub(crate) ended: u64,
    /// Not 0 if an interface has gone: this round ends its flows.
    pub(crate) gone: u32,
    /// The next endpoint to be asked whether its interface is there: a block of counters.
    pub(crate) next_block: u32,
}

const _: () = assert!(size_of::<ExpiryTimer>() == size_of::<ExpiryRecord>());

/// The expiry timer, which ends idle flows.
#[btf_map]
pub(crate) static EXPIRY_TIMER: Array<ExpiryTimer, 1> = Array::new();

/// The search for a port that a CPU is at: see [`OPENING`].
#[btf_map]
pub(crate) static SEARCH: PerCpuArray<Search, 1> = PerCpuArray::new();

/// The flow that is being made: too large for the stack beside everything else. Programs of one CPU do not interleave.
#[btf_map]
pub(crate) static OPENING: PerCpuArray<Opening, 1> = PerCpuArray::new();

/// Packets that come in fragments, by the hash of [`forwarder_common::decide::fragment::key`].
#[btf_map]
pub(crate) static FRAGMENTS: Array<Bucket, BUCKETS> = Array::new();

/// A query of the routing tables and its answer: see [`OPENING`].
#[btf_map]
pub(crate) static FIB_QUERY: PerCpuArray<bpf_fib_lookup, 1> = PerCpuArray::new();

/// A copy of an endpoint's record: see [`OPENING`].
#[btf_map]
pub(crate) static ENDPOINT: PerCpuArray<Endpoint, 1> = PerCpuArray::new();

/// The packet of IPv6 at hand: see [`OPENING`].
#[btf_map]
pub(crate) static PACKET6: PerCpuArray<Packet6, 1> = PerCpuArray::new();

/// A published port that is looked for: see [`OPENING`].
#[btf_map]
pub(crate) static SOUGHT: PerCpuArray<Sought, 1> = PerCpuArray::new();

/// A reply's tuple while a port is looked for: see [`OPENING`].
#[btf_map]
pub(crate) static REPLY: PerCpuArray<Tuple, 1> = PerCpuArray::new();

/// The outbound tuple of a flow that begins from outside: see [`OPENING`].
#[btf_map]
pub(crate) static INBOUND: PerCpuArray<Tuple, 1> = PerCpuArray::new();

/// The conversation between neighbours that a packet is of: see [`OPENING`].
#[btf_map]
pub(crate) static SPOKEN: PerCpuArray<Spoken, 1> = PerCpuArray::new();

/// An ICMP error and what it is about: see [`OPENING`].
#[btf_map]
pub(crate) static ICMP_ERROR: PerCpuArray<IcmpError, 1> = PerCpuArray::new();

/// An error of ICMPv6 and what it embeds: see [`ICMP_ERROR`].
#[btf_map]
pub(crate) static ICMP_ERROR6: PerCpuArray<IcmpError6, 1> = PerCpuArray::new();

/// What a sender is told whose packet is not sent: see [`OPENING`].
#[btf_map]
pub(crate) static NOTICE: PerCpuArray<Notice, 1> = PerCpuArray::new();

/// The same of IPv6.
#[btf_map]
pub(crate) static NOTICE6: PerCpuArray<Notice6, 1> = PerCpuArray::new();

/// Interfaces that the XDP programs may send by, each under its own number: host-side veths and uplinks that take frames.
#[btf_map]
pub(crate) static XDP_TARGETS: DevMapHash<4096> = DevMapHash::new();

/// The programs of the slow paths, by [`forwarder_common::abi::Hook`], and behind them those of IPv6
/// ([`forwarder_common::abi::SLOW_PATH_IPV6`]).
#[btf_map]
pub(crate) static SLOW_PATH: ProgramArray<9> = ProgramArray::new();

/// The secret of the hash: each word for itself, so that none of them goes by the stack.
#[inline(always)]
pub(crate) fn secret() -> Secret {
    let [a, b, c, d] = &SECRET;
    [a.load(), b.load(), c.load(), d.load()]
}

/// The settings.
#[inline(always)]
pub(crate) fn config() -> Option<&'static Config> {
    CONFIG.get(0)
}
