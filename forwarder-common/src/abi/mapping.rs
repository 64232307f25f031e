//! Endpoint-independent mappings (RFC 4787 REQ-1): one external port for all destinations of a socket inside.

use crate::abi::record;

record! {
    /// Key of the map `MAPPINGS`: a socket inside, and behind which address it appears. Addresses and port in network byte order;
    /// of an ICMP echo, the identifier stands for the port.
    #[derive(Default, Hash)]
    pub struct Internal {
        /// Address inside.
        pub addr: [u8; 4],
        /// External address.
        pub nat_addr: [u8; 4],
        /// The endpoint's host-side veth.
        pub endpoint: u32,
        /// The uplink.
        pub uplink: u32,
        /// Port inside.
        pub port: [u8; 2],
        /// IP protocol.
        pub proto: u8,
        /// Explicit padding.
        pub _pad: u8,
    }
}

record! {
    /// Key of the map `EXTERNAL`: an external socket, in network byte order.
    #[derive(Default, Hash)]
    pub struct External {
        /// External address.
        pub addr: [u8; 4],
        /// External port.
        pub port: [u8; 2],
        /// IP protocol.
        pub proto: u8,
        /// Explicit padding.
        pub _pad: u8,
    }
}

record! {
    /// Value of the map `EXTERNAL`.
    #[derive(Default)]
    pub struct Mapping {
        /// Whose port it is.
        pub internal: Internal,
        /// The flow that made the mapping; it may have ended.
        pub slot: u32,
    }
}

record! {
    /// Value of the map `PORT_USE`, indexed by protocol and port: who may use the port. Kept while some network maps
    /// endpoint-independently, over all external addresses.
    #[derive(Default)]
    pub struct PortUse {
        /// [`PortUse::EXCLUSIVE`] and the number of flows of the mapping; or the number of flows that share the port because
        /// their destinations differ. Changes by atomic operations only.
        pub word: u32,
        /// External address of the mapping; of a port that is shared, when `revoked` was set, jiffies.
        pub addr: [u8; 4],
        /// The flow that took the port last; it may have ended.
        pub slot: u32,
        /// The endpoint whose flows have to leave the port to others, by its host-side veth; 0 for none. They end when the expiry timer comes
        /// by.
        pub revoked: u32,
    }
}

impl PortUse {
    /// The port belongs to a mapping.
    pub const EXCLUSIVE: u32 = 1 << 31;
    /// Of a mapping that only one flow uses.
    pub const LAST: u32 = Self::EXCLUSIVE | 1;
}

/// Values of [`super::FlowShared::port_use`]: how a flow holds its port.
pub mod port_use {
    /// By its tuple, which is address- and port-dependent (RFC 4787 §4.1): no network mapped endpoint-independently when it began.
    pub const BY_TUPLE: u8 = 0;
    /// Counted as one of several flows that share the port.
    pub const SHARED: u8 = 1;
    /// By the mapping of its socket.
    pub const MAPPING: u8 = 2;
}
