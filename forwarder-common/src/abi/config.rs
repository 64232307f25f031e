//! The data path's settings: one record, written by the control plane.

use crate::abi::record;

/// Which idle time ends a flow; the index into [`Config::timeouts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Timeout {
    /// A TCP connection whose handshake is not complete.
    TcpHalfOpen = 0,
    /// An established TCP connection (RFC 5382 REQ-5: at least 2 h 4 min).
    TcpEstablished = 1,
    /// A TCP connection after both FINs or a RST (RFC 5382 REQ-5: at least 4 min, reclaimable under pressure).
    TcpClosing = 2,
    /// UDP seen in one direction only.
    UdpHalfOpen = 3,
    /// UDP seen in both directions (RFC 4787 REQ-5: at least 2 min).
    UdpEstablished = 4,
    /// ICMP queries (RFC 5508 REQ-2: at least 60 s).
    Icmp = 5,
    /// A TCP connection after the FIN of one side (RFC 7857 §2: partially closed, at least 4 min).
    TcpHalfClosed = 6,
    /// Protocols without ports.
    Other = 7,
}

/// What a host's hash is keyed with: random numbers, made when the programs are loaded. See [`crate::flow::FlowKey::hash`].
pub type Secret = [u64; 4];

/// Number of [`Timeout`] classes, with room for later ones.
pub const TIMEOUTS: usize = 16;

/// Number of addresses in [`Config::own_addresses`].
pub const OWN_ADDRESSES: usize = 4;

record! {
    /// Element 0 of the map `CONFIG`.
    pub struct Config {
        /// [`super::ABI_VERSION`] of the control plane that created the maps.
        pub abi_version: u32,
        /// First port of the NAT range, host byte order, inclusive.
        pub nat_port_min: u16,
        /// Last port of the NAT range, host byte order, inclusive.
        pub nat_port_max: u16,
        /// Lowest address of any fwd network, host byte order. Greater than [`Config::subnets_max`] when there is none.
        pub subnets_min: u32,
        /// Highest address of any fwd network, host byte order.
        pub subnets_max: u32,
        /// The first eight bytes of the lowest address of IPv6 of any fwd network, host byte order. Greater than [`Config::prefixes6_max`]
        /// when there is none.
        pub prefixes6_min: u64,
        /// The same of the highest address.
        pub prefixes6_max: u64,
        /// Flows that may be established at once.
        pub max_flows: u32,
        /// Slots of the flow table: established and pending flows, and slot 0 which is never used.
        pub slots: u32,
        /// Secret that decides which port is tried first (RFC 6056).
        pub seed: u32,
        /// Jiffies per second of this kernel.
        pub hz: u32,
        /// Flows that one endpoint may have established at once.
        pub max_flows_per_endpoint: u32,
        /// See [`feature`]: what some network uses, so that the others do not pay for it.
        pub features: u32,
        /// Addresses of uplinks with [`super::uplink_flags::NO_TRANSIT`], which most packets for the host have: network byte order, 0 where there
        /// are fewer.
        pub own_addresses: [u32; OWN_ADDRESSES],
        /// Idle times that end a flow, in jiffies, indexed by [`Timeout`].
        pub timeouts: [u32; TIMEOUTS],
        /// The programs have it as a constant: here it stands for those that are loaded later.
        pub secret: Secret,
        /// `SO_NETNS_COOKIE` of the host's namespace: who shares a cgroup with it is told apart by that.
        pub host_cookie: u64,
        /// Tells which build the programs are of; 0 before they are loaded. Only the control plane reads it.
        pub object: u64,
    }
}

#[cfg(feature = "user")]
impl Config {
    /// The settings in these bytes, if they are as many.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        super::record::FromBytes::read_from_bytes(bytes).ok()
    }
}

/// Bits of [`Config::features`].
pub mod feature {
    /// Some network maps endpoint-independently.
    pub const EIM: u32 = 1 << 0;
    /// Some network filters endpoint-independently.
    pub const EIF: u32 = 1 << 1;
    /// Some network has IPv6.
    pub const IPV6: u32 = 1 << 8;
    /// Some port is published.
    pub const PUBLISH: u32 = 1 << 2;
    /// Some network has addresses of IPv6 that are not translated.
    pub const ROUTED_V6: u32 = 1 << 17;
    /// Some endpoint may send or get so much in a second only.
    pub const RATE: u32 = 1 << 9;
    /// What arrives by some uplink is not forwarded for anybody but namespaces.
    pub const NO_TRANSIT: u32 = 1 << 18;
    /// Some endpoint has rules about whom it speaks with.
    pub const POLICY: u32 = 1 << 14;
    /// Some address is answered for that the host does not have: see `ANNOUNCED`.
    pub const ANNOUNCED: u32 = 1 << 21;
    /// Multicast passes between some network and its uplink.
    pub const MULTICAST: u32 = 1 << 26;
    /// Some network counts what its endpoints speak with neighbours.
    pub const EAST_WEST: u32 = 1 << 22;
    /// The host-side veths of some network are no ports of its bridge.
    pub const NO_BRIDGE: u32 = 1 << 28;
}
