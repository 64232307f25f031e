//! What becomes of a packet, why, and how it is counted.
//!
//! A verdict stays an enum until the last line of an entry point. Each has a code below [`crate::abi::CODES`], the index of
//! its counter: 0 forwarded, 1 delivered, 2–15 punts, 16–63 drops.

/// Where a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Ingress of a host end: packets that leave a namespace.
    FromNs,
    /// Ingress of an uplink.
    FromUplink,
    /// Egress of an uplink.
    ToUplink,
    /// Egress of a network's bridge: what the kernel sends into it.
    ToNetwork,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Translated and sent by the uplink.
    Forwarded,
    /// Delivered into a namespace.
    Delivered,
    /// Left to the kernel.
    Punted(PuntReason),
    /// Thrown away.
    Dropped(DropReason),
}

impl Verdict {
    /// Index of this verdict's counter, below [`crate::abi::CODES`].
    #[inline(always)]
    #[must_use]
    pub const fn code(self) -> u32 {
        match self {
            Self::Forwarded => 0,
            Self::Delivered => 1,
            Self::Punted(reason) => reason as u32,
            Self::Dropped(reason) => reason as u32,
        }
    }
}

/// Whether `code` ([`Verdict::code`]) says that the packet is thrown away.
#[inline(always)]
#[must_use]
pub const fn is_drop(code: u32) -> bool {
    code >= 16
}

/// Declares an enum of reasons with their stable names.
macro_rules! reasons {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $code:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum $name { $($(#[$doc])* $variant = $code,)* }

        impl $name {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name shown by `fwd stats`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant),)* }
            }
        }
    };
}

reasons! {
    /// Why a packet is left to the kernel, unmodified unless said otherwise.
    PuntReason {
        /// ARP.
        Arp = 2,
        /// Broadcast or multicast.
        Multicast = 3,
        /// Addressed to the host itself (the gateway, or another of its addresses).
        ToHost = 4,
        /// TTL at its end: the kernel answers with time exceeded. Inbound: already translated.
        TtlExceeded = 6,
        /// Larger than the MTU of the way out: the kernel fragments it or answers. Inbound: already translated.
        TooBig = 7,
        /// No route, or one that forbids: the kernel answers.
        Unreachable = 8,
        /// Translated for a socket of the host itself.
        HostFlow = 9,
        /// A container's packet that the kernel forwarded, translated on its way out.
        Translated = 10,
        /// An ICMP error of the host, in which a container's address was replaced.
        IcmpError = 11,
        /// To an address of the own network that no endpoint has: perhaps something else at the bridge does.
        OwnNetwork = 12,
        /// Nobody has answered for the next hop within a second: the kernel asks on, and tells the sender in the end.
        Unresolved = 13,
        /// An answer of the host itself, a reset or an ICMP error, to a reply that is of an endpoint's flow, but came in by another
        /// interface than the flow's uplink.
        AsymmetricReply = 14,
    }
}

reasons! {
    /// Why a packet is thrown away.
    DropReason {
        /// Ends before its headers do.
        Truncated = 16,
        /// Not IPv4, wrong header length, or wrong total length.
        Malformed = 17,
        /// IPv6 is not forwarded.
        Ipv6 = 18,
        /// An Ethernet type other than IPv4, IPv6 and ARP.
        EtherType = 19,
        /// The source is not the endpoint's address.
        SpoofedSource = 20,
        /// A fragment, whose ports are not known.
        Fragment = 21,
        /// A protocol that cannot be translated.
        Protocol = 22,
        /// ICMP that is neither echo nor an error about a known flow.
        IcmpType = 23,
        /// The route leaves by an interface that is neither the uplink nor a network of `fwd`.
        RouteNotViaUplink = 24,
        /// The uplink has no address to appear behind.
        NoUplinkAddress = 25,
        /// No free port towards this destination.
        PortsExhausted = 26,
        /// The flow table is full of established flows.
        TableFull = 27,
        /// From outside straight to the address of an endpoint.
        DirectToEndpoint = 28,
        /// A container's packet on its way out that cannot be translated.
        Untranslated = 29,
        /// The interface is not (or no longer) an endpoint.
        NoEndpoint = 30,
        /// A helper of the kernel refused to change the packet.
        Rewrite = 31,
        /// A reset or an answer that belongs to no flow.
        NoFlow = 32,
        /// Another CPU ended or made the same flow at this moment.
        Contended = 33,
        /// The Ethernet source is not the endpoint's, on a frame that the bridge would see.
        SpoofedMac = 34,
        /// ARP that speaks for another address or another MAC than the endpoint's.
        ArpSpoof = 35,
        /// An address that no packet on the wire may have there (RFC 1812 §5.3.7); from outside, a source in a network of `fwd`.
        Martian = 36,
        /// Source routing is asked for (RFC 791 §3.1; refused by RFC 7126 §4.3).
        SourceRoute = 37,
        /// A later fragment that came before the first, whose ports would name its flow.
        FragmentUnknown = 38,
        /// Fragments that overlap (refused as by RFC 5722), or reach beyond 65,535 bytes.
        FragmentOverlap = 39,
        /// A fragment so small that the transport header is cut (RFC 1858, RFC 3128).
        FragmentTiny = 40,
        /// A protocol without ports that another endpoint or the host speaks with the same destination.
        Ambiguous = 41,
        /// The endpoint has as many flows as it may.
        EndpointFull = 42,
        /// A frame with a VLAN tag.
        Vlan = 43,
        /// Has the address of an endpoint, but did not come from the endpoint's network: another interface of the host, or a program
        /// on the host, speaks in its name.
        NotFromNetwork = 44,
        /// To or from another network of `fwd`: they are isolated from each other.
        OtherNetwork = 45,
        /// Forwarded by the kernel into a network of `fwd` from another interface of the host, and of no flow.
        FromOtherInterface = 46,
        /// Leaves a checksum to a device, to be written where no checksum is: over a port, or over an address.
        ChecksumOffload = 47,
        /// The checksum of the IPv4 header is wrong.
        HeaderChecksum = 48,
    }
}
