//! What the traced programs tell of a packet. The records live as long as `fwd trace` runs, so they have no part in
//! [`ABI_VERSION`](super::ABI_VERSION).

use super::record;

/// Bytes of headers that a record shows: those of IPv4 and TCP without options, or of an ICMP error with those that it embeds.
pub const TRACE_HEADERS: usize = 64;

/// Size of the ring buffer `TRACE`, bytes: ten thousand records.
pub const TRACE_RING: usize = 1 << 21;

/// [`TraceRecord::code`] of a packet about which nothing was decided: it is not the business of `fwd`.
pub const NO_VERDICT: u32 = u32::MAX;

/// Where a packet is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum TracePoint {
    /// Ingress of a host-side veth.
    FromNs = 0,
    /// Ingress of an uplink.
    FromUplink = 1,
    /// Egress of an uplink.
    ToUplink = 2,
    /// Ingress of an uplink without link-layer header.
    FromUplinkL3 = 3,
    /// Egress of an uplink without link-layer header.
    ToUplinkL3 = 4,
    /// Egress of a network's bridge.
    ToNetwork = 5,
    /// XDP at a host-side veth.
    XdpFromNs = 6,
    /// XDP at an uplink.
    XdpFromUplink = 7,
}

impl TracePoint {
    /// Every place.
    pub const ALL: [Self; 8] = [
        Self::FromNs,
        Self::FromUplink,
        Self::ToUplink,
        Self::FromUplinkL3,
        Self::ToUplinkL3,
        Self::ToNetwork,
        Self::XdpFromNs,
        Self::XdpFromUplink,
    ];

    /// The name of the program there.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FromNs => "from_ns",
            Self::FromUplink => "from_uplink",
            Self::ToUplink => "to_uplink",
            Self::FromUplinkL3 => "from_uplink_l3",
            Self::ToUplinkL3 => "to_uplink_l3",
            Self::ToNetwork => "to_network",
            Self::XdpFromNs => "xdp_from_ns",
            Self::XdpFromUplink => "xdp_from_uplink",
        }
    }
}

/// Which packets are told of: the words of the global `TRACE_FILTER`, each 0 for any. An address takes four: words of memory in network byte
/// order, of IPv4 in its mapped form ([`mapped_words`](super::mapped_words)).
pub mod trace_filter {
    /// Host-side veth of the endpoint that the packet is from, to or of.
    pub const ENDPOINT: usize = 0;
    /// Not 0: only what is dropped, or left to the kernel for a reason.
    pub const DROPS: usize = 1;
    /// IP protocol.
    pub const PROTO: usize = 2;
    /// Not 0: of what is not the business of `fwd`, only packets of endpoints.
    pub const NO_OTHERS: usize = 3;
    /// The IPv4 address of that endpoint.
    pub const ADDRESS: usize = 4;
    /// Its IPv6 address.
    pub const ADDRESS_IPV6: usize = 8;
    /// Source or destination is this address or the next one.
    pub const PEER: usize = 12;
    /// See [`PEER`].
    pub const OTHER_PEER: usize = 16;
    /// Number of words.
    pub const WORDS: usize = 20;
}

record! {
    /// A packet at a program: an element of the ring buffer `TRACE`.
    pub struct TraceRecord {
        /// When the program began, nanoseconds of the monotonic clock.
        pub at: u64,
        /// How long it took, the tracing included, nanoseconds.
        pub took: u32,
        /// The number of a [`TracePoint`].
        pub point: u32,
        /// Interface of the program.
        pub ifindex: u32,
        /// Interface by which the packet came in, 0 for one of the host itself.
        pub ingress: u32,
        /// Code of the verdict ([`crate::verdict::Verdict::code`]), or [`NO_VERDICT`].
        pub code: u32,
        /// What the program returned.
        pub action: u32,
        /// Slot of the packet's flow; 0 if none was found.
        pub slot: u32,
        /// [`FlowShared::meta`](super::FlowShared::meta) of that slot, after the packet.
        pub meta: u32,
        /// Host-side veth of the flow's endpoint, 0 for the host.
        pub endpoint: u32,
        /// Length of the packet from its network header on, bytes.
        pub length: u32,
        /// Segments of a GSO packet; 0 or 1 for others.
        pub segments: u32,
        /// Ethernet type, network byte order, as a word of memory.
        pub protocol: u32,
        /// How many bytes of `before` are the packet's.
        pub before_len: u32,
        /// How many bytes of `after` are the packet's.
        pub after_len: u32,
        /// The packet from its network header on, as it came.
        pub before: [u8; TRACE_HEADERS],
        /// The same as it went.
        pub after: [u8; TRACE_HEADERS],
    }
}
