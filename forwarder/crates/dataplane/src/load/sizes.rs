//! How large the maps of the data path are.

use std::fmt;

use forwarder_common::{
    abi::{
        ABI_VERSION, CONVERSATIONS, COUNTER_BLOCKS, Config, Conversation, ConversationRecord, CounterBlock, FlowSlot,
        PortUse, TIMEOUTS, Timeout, TrafficBlock,
    },
    decide::ports,
    flow::cache,
};

use crate::{Clock, object::OBJECT_HASH};
use fwd_base::{Context as _, Result};

/// What maps with an element for each CPU take, bytes, for every CPU that the kernel thinks possible: counters of common verdicts, and
/// what a program works with.
pub const MEMORY_PER_CPU: u64 = (COUNTER_BLOCKS as usize * size_of::<TrafficBlock>() + 4096) as u64;

/// TCP, UDP and ICMP have ports each of their own.
const PORT_CLASSES: u32 = 3;

/// Sizes of the flow table.
///
/// Each flow for which there is room takes some 400 bytes of kernel memory, in use or not: 192 for its slot, 160 for both of
/// its tuples in the index, 32 for their buckets, 16 for cache entries, 4 in the queue of free slots. So the default table has 53 MB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Flows that may be established at once.
    pub max_flows: u32,
    /// Flows that one endpoint may have established at once; the others cannot be starved.
    pub max_flows_per_endpoint: u32,
    /// Pending flows (half-open or closed) for which there is room even when `max_flows` are established. All of the table that
    /// is not established is theirs; then they evict each other. At 150,000 new flows a second, 65,535 slots keep a handshake
    /// for 0.4 s.
    pub max_pending: u32,
    /// First and last port of the NAT range.
    pub nat_ports: (u16, u16),
    /// Idle times that end a flow, seconds.
    pub timeouts: [(Timeout, u32); 8],
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            max_flows: 65_536,
            // Half: whatever one does, there is as much for the others; and more than the ports towards one server.
            max_flows_per_endpoint: 32_768,
            // With slot 0 a power of two, at which the index and the flow cache waste nothing.
            max_pending: 65_535,
            // Outside ip_local_port_range (32768–60999): the host's own sockets need no reservation.
            nat_ports: (1024, 29_999),
            timeouts: [
                (Timeout::TcpHalfOpen, 240),
                (Timeout::TcpEstablished, 7_440),
                (Timeout::TcpHalfClosed, 240),
                (Timeout::TcpClosing, 240),
                (Timeout::UdpHalfOpen, 120),
                (Timeout::UdpEstablished, 300),
                (Timeout::Icmp, 60),
                (Timeout::Other, 600),
            ],
        }
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the data path")
    }
}

impl Sizes {
    /// Slots of the table, slot 0 (never used) included: no more than a cache entry can name.
    pub(crate) fn slots(&self) -> u32 {
        self.max_flows.saturating_add(self.max_pending).saturating_add(1).min(cache::MAX_SLOTS)
    }

    /// Memory that all maps take, bytes: what the kernel says of them, within a few percent; but for [`MEMORY_PER_CPU`].
    #[must_use]
    pub fn memory(&self) -> u64 {
        // kernel/bpf/hashtab.c: struct htab_elem, key and value, each rounded up to 8 bytes.
        const ELEMENT: u64 = 48;
        const INDEX_ELEMENT: u64 = ELEMENT + 24 + 8;
        const BUCKET: u64 = 16;
        // Array elements are rounded up to 8 bytes (kernel/bpf/arraymap.c); a queue's are not.
        const WORD: u64 = 8;
        let slots = u64::from(self.slots() - 1);
        let index = slots * 2 * INDEX_ELEMENT + (slots * 2).next_power_of_two() * BUCKET;
        let mappings = 2 * u64::from(self.max_flows).next_power_of_two() * BUCKET;
        let ports = u64::from(self.port_uses()) * size_of::<PortUse>() as u64;
        let counters = u64::from(COUNTER_BLOCKS) * size_of::<CounterBlock>() as u64;
        let conversation = ELEMENT + (size_of::<Conversation>() + size_of::<ConversationRecord>()) as u64 + BUCKET;
        // Those that rules go by, and those that are counted.
        let conversations = 2 * CONVERSATIONS as u64 * conversation;
        counters
            + conversations
            + slots * size_of::<FlowSlot>() as u64
            + index
            + u64::from(self.cache_buckets()) * WORD
            + slots * 4
            + mappings
            + ports
    }

    /// External ports of TCP, of UDP and of ICMP.
    pub(crate) fn port_uses(&self) -> u32 {
        ports::count(self.nat_ports.0, self.nat_ports.1) * PORT_CLASSES
    }

    /// Buckets of the flow cache: one for each tuple, and two places in each.
    pub(crate) fn cache_buckets(&self) -> u32 {
        (self.slots() - 1).saturating_mul(2).next_power_of_two()
    }

    /// The settings, but for what the clock says; with new secrets.
    pub(crate) fn config(&self) -> Result<Config> {
        let random = |what: &str| getrandom::u64().doing("make", what);
        let mut secret = [0; _];
        secret.iter_mut().try_for_each(|word| random("the secret of the hash").map(|number| *word = number))?;
        Ok(Config {
            abi_version: ABI_VERSION.raw(),
            nat_port_min: self.nat_ports.0,
            nat_port_max: self.nat_ports.1,
            subnets_min: u32::MAX,
            subnets_max: 0,
            prefixes6_min: u64::MAX,
            prefixes6_max: 0,
            max_flows: self.max_flows,
            max_flows_per_endpoint: self.max_flows_per_endpoint,
            features: 0,
            own_addresses: [0; _],
            slots: self.slots(),
            seed: random("the seed of port numbers")? as u32,
            hz: 0,
            timeouts: [u32::MAX; TIMEOUTS],
            secret,
            host_cookie: 0,
            object: OBJECT_HASH,
        })
    }

    /// The idle times that end a flow, by the clock of the flow table.
    pub(crate) fn timeouts(&self, clock: &Clock) -> [u32; TIMEOUTS] {
        let mut timeouts = [u32::MAX; TIMEOUTS];
        for (which, seconds) in self.timeouts {
            timeouts[which as usize] = seconds.saturating_mul(clock.hz);
        }
        timeouts
    }
}
