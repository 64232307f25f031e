//! Endpoints: one interface of a namespace in one network.

use crate::abi::{Addr, record};

/// Bits of [`Endpoint::flags`], some of them also of [`super::Network::flags`].
pub mod endpoint_flags {
    /// The namespace was created by `fwd up` and is deleted by `fwd down`.
    pub const NS_CREATED: u32 = 1 << 0;
    /// Forwarded by the kernel's bridge and nftables: no program is attached (`--datapath kernel`).
    pub const KERNEL_DATAPATH: u32 = 1 << 1;
    /// `/etc/netns/NAME/resolv.conf` was written by `fwd up`.
    pub const RESOLV_CONF: u32 = 1 << 2;
    /// Nobody has been given it yet: `fwd pool` has made it beforehand, and the next `up` takes it.
    pub const POOLED: u32 = 1 << 3;
    /// May send from addresses other than its own (`--allow-spoof`).
    pub const ALLOW_SPOOF: u32 = 1 << 4;
    /// One external port for all destinations of a socket inside (`--nat eim`, RFC 4787 REQ-1). Of the network.
    pub const NAT_EIM: u32 = 1 << 5;
    /// Anyone outside may write to such a port (`--nat eim-eif`, RFC 4787 REQ-8). Of the network.
    pub const NAT_EIF: u32 = 1 << 6;
    /// The MSS of TCP is lowered to what the path to the next hop carries (`--clamp-mss`). Of the network.
    pub const CLAMP_MSS: u32 = 1 << 7;
    /// Established flows are forwarded by XDP (`--datapath xdp`). Of the network.
    pub const XDP_DATAPATH: u32 = 1 << 8;
    /// Policies of IPsec on the host do not count (`--ignore-xfrm`). Of the network.
    pub const IGNORE_XFRM: u32 = 1 << 9;
    /// The program is a filter of a clsact qdisc instead of a TCX link (`--attach clsact`).
    pub const CLSACT: u32 = 1 << 10;
    /// Its runtime has not made the namespace yet: the interface inside waits in the host's own, whose cookie the record has meanwhile.
    pub const AWAITED: u32 = 1 << 11;
    /// What its endpoints speak with neighbours is counted by conversation (`--flows east-west`). Of the network.
    pub const EAST_WEST: u32 = 1 << 12;
    /// The host has not the addresses of IPv4 behind which it appears: the programs answer for them at its uplink (`--announce`).
    pub const ANNOUNCED: u32 = 1 << 13;
    /// Multicast passes between it and its uplink (`--multicast`). Of the network.
    pub const MULTICAST: u32 = 1 << 14;
    /// Connected by a netkit pair (`--datapath netkit`). Of the network.
    pub const NETKIT_DATAPATH: u32 = 1 << 15;
    /// Leaves by its uplink alone (`--uplink`), wherever the host's own routes lead. Of the network.
    pub const UPLINK_BOUND: u32 = 1 << 16;
    /// A runtime has asked for it: what it publishes the host's own programs reach, whoever listens there on the host.
    pub const RUNTIME: u32 = 1 << 17;
    /// Nothing of the network leaves it: there is no uplink (`--internal`). Of the network.
    pub const INTERNAL: u32 = 1 << 18;
    /// No default route was set inside (`--no-default-route`).
    pub const NO_DEFAULT_ROUTE: u32 = 1 << 19;
    /// Endpoints of the network do not reach each other (`--no-icc`). Of the network.
    pub const NO_ICC: u32 = 1 << 20;
    /// What leaves the namespace, or is delivered into it, has a limit: see [`super::Limits`].
    pub const LIMITED: u32 = 1 << 21;
    /// Addresses of IPv6 are not translated: the outside routes them here (`--ipv6 route`). Of the network.
    pub const ROUTED_V6: u32 = 1 << 22;
    /// It stays when its last endpoint goes (`fwd network add`). Of the network, and of its record alone.
    pub const KEPT: u32 = 1 << 25;
    /// The host has not the addresses of IPv6 behind which it appears: it speaks for them at its uplink (`--announce`).
    pub const ANNOUNCED_V6: u32 = 1 << 26;
    /// Its host-side veths are no ports of its bridge: what that would do, programs do (`--bridge none`). Of the network.
    pub const NO_BRIDGE: u32 = 1 << 27;
    /// A name server answers at the gateway (`--dns`). Of the network.
    pub const DNS: u32 = 1 << 30;
    /// It has rules about what it may begin with whom (`--allow-out`, `--deny-out`): see [`super::PolicyNode`].
    pub const POLICY_OUT: u32 = 1 << 28;
    /// The same about what others may begin with it (`--allow-in`, `--deny-in`).
    pub const POLICY_IN: u32 = 1 << 29;
}

/// Elements of the map `HOST_VETHS`: a power of two.
pub const HOST_VETH_PLACES: usize = 4096;

/// The element of `HOST_VETHS` for the interface `ifindex`, which others share.
#[inline(always)]
#[must_use]
pub const fn host_veth_place(ifindex: u32) -> u32 {
    ifindex % HOST_VETH_PLACES as u32
}

record! {
    /// Value of the map `ENDPOINTS`, keyed by the ifindex of the host-side veth (`u32`).
    ///
    /// What the data path reads, and whose it is. Addresses are also keys of the map `ADDRESSES` ([`Addr`] → ifindex). Names, and whatever
    /// has no fixed length, are metadata.
    pub struct Endpoint {
        /// IPv4 address, network byte order; zero when there is none.
        pub v4: [u8; 4],
        /// ifindex of the network's bridge: the key of its record in `NETWORKS`.
        pub network: u32,
        /// ifindex of the uplink: the key of its record in `UPLINKS`; 0 where the network is internal.
        pub uplink: u32,
        /// Index of this endpoint's block in `COUNTERS`.
        pub counters: u32,
        /// MTU of the interface inside the namespace, bytes.
        pub mtu: u32,
        /// MAC of the interface inside the namespace.
        pub mac: [u8; 6],
        /// MAC of the gateway as the namespace sees it. Where programs forward, nobody has it: what they leave to the kernel they address
        /// to the bridge, and without them the kernel forwards nothing.
        pub gateway_mac: [u8; 6],
        /// See [`endpoint_flags`].
        pub flags: u32,
        /// IPv6 address, all zero when there is none.
        pub v6: Addr,
        /// The first IPv4 address of the host behind which its packets appear (`--source`), network byte order; zero where the route names it.
        pub source: [u8; 4],
        /// How many addresses these are, from the first one on: at most [`SOURCES`]; 0 is one, too.
        pub sources: u16,
        /// The same of those of IPv6, which differ in their last four bytes alone.
        pub sources_v6: u16,
        /// The first IPv6 address of the host behind which its packets appear (`--source6`); all zero where the route names it.
        pub source_v6: Addr,
        /// Explicit padding.
        pub _pad: u32,
        /// `SO_NETNS_COOKIE` of the namespace: never reused while the machine is up.
        pub netns_cookie: u64,
        /// Key of what else is known of it in the map `METADATA`, which no program has.
        pub metadata: u64,
    }
}

/// Most addresses of the host behind which one endpoint appears, of each family.
pub const SOURCES: u16 = 256;

/// Most addresses that are announced on a host: elements of the map `ANNOUNCED`.
pub const ANNOUNCED_ADDRESSES: usize = 1_024;

/// Bytes of a value of the map `METADATA`: JSON, padded with NUL. With what the kernel adds, an element takes a page.
pub const METADATA_LEN: usize = 4_000;
