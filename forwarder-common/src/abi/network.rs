//! Networks and uplinks.

use crate::abi::{Addr, IfName, Name, record};

record! {
    /// Value of the map `NETWORKS`, keyed by the ifindex of the bridge (`u32`).
    pub struct Network {
        /// IPv4 gateway: the bridge's address, network byte order; zero when there is none.
        pub gateway_v4: [u8; 4],
        /// Length of the IPv4 prefix, bits; 0 when there is none.
        pub prefix_v4: u32,
        /// ifindex of the uplink; 0 where the network is internal.
        pub uplink: u32,
        /// MTU, bytes.
        pub mtu: u32,
        /// MAC of the bridge. Namespaces see another one where programs forward: see [`super::Endpoint::gateway_mac`].
        pub gateway_mac: [u8; 6],
        /// Explicit padding.
        pub _pad: [u8; 2],
        /// Index of the block in `COUNTERS` for what the kernel sends into the network (`to_network`); 0 while no program does.
        pub counters: u32,
        /// IPv6 gateway, all zero when there is none.
        pub gateway_v6: Addr,
        /// Length of the IPv6 prefix, bits.
        pub prefix_v6: u32,
        /// The last four bytes of the address handed out last, network byte order: allocation goes on after it. It is of IPv4, or of IPv6
        /// where the network has no IPv4.
        pub last: [u8; 4],
        /// See [`super::endpoint_flags`]: those of the network.
        pub flags: u32,
        /// Name of the network.
        pub name: Name,
        /// Name of the bridge.
        pub bridge: IfName,
    }
}

record! {
    /// Key of the map `SUBNETS`: the kernel's `struct bpf_lpm_trie_key`.
    pub struct Prefix {
        /// Its length, bits.
        pub length: u32,
        /// IPv4 address, network byte order.
        pub addr: [u8; 4],
    }
}

record! {
    /// Key of the map `REACHES`: two networks of which the first reaches the second. Each has allowed the other.
    pub struct NetworkPair {
        /// ifindex of the bridge of the sender's network.
        pub from: u32,
        /// ifindex of the bridge of the receiver's.
        pub to: u32,
    }
}

/// What comes before the address in a key of `ROUTE_MTUS`, bits.
pub const ROUTE_INTERFACE_BITS: u32 = 32;

/// Tells routes of IPv6 from those of IPv4: no interface has such a number.
pub const ROUTE_OF_IPV6: u32 = 1 << 31;

record! {
    /// Key of the map `ROUTE_MTUS`, as [`Prefix`]: the same destination by two interfaces is two routes.
    pub struct RoutePrefix {
        /// [`ROUTE_INTERFACE_BITS`], and the length of the prefix.
        pub length: u32,
        /// ifindex of the interface that the route leaves by; of IPv6 with [`ROUTE_OF_IPV6`].
        pub ifindex: u32,
        /// Address, network byte order: of IPv4 in the first four bytes.
        pub addr: Addr,
    }
}

/// Bits of [`Uplink::flags`].
pub mod uplink_flags {
    /// The host takes from it only what it would send by it (`rp_filter` 1, RFC 3704 §2.2).
    pub const STRICT: u32 = 1 << 0;
    /// It has no link-layer header: a tunnel.
    pub const TUNNEL: u32 = 1 << 1;
    /// Both programs are attached: networks that follow the host's routes may leave by it.
    pub const GUARDED: u32 = 1 << 2;
    /// It was asked for (`fwd uplink add`): it stays one until it is removed by a command, or nothing is up.
    pub const ASKED: u32 = 1 << 3;
    /// The host forwards what arrives there only because `fwd` has switched it on: for namespaces, and for nobody else.
    pub const NO_TRANSIT: u32 = 1 << 4;
    /// `fwd` has had it take what is for any group (`IFF_ALLMULTI`).
    pub const ALLMULTI: u32 = 1 << 5;
    /// Its programs stand behind those of others at TCX (`--tcx-order last`).
    pub const BEHIND_OTHERS: u32 = 1 << 6;
}

record! {
    /// Key of the map `SUBNETS_V6`: the same of IPv6.
    pub struct PrefixV6 {
        /// Its length, bits.
        pub length: u32,
        /// IPv6 address, network byte order.
        pub addr: Addr,
    }
}

record! {
    /// Value of the map `UPLINKS`, keyed by the uplink's ifindex (`u32`).
    pub struct Uplink {
        /// Address behind which endpoints appear when the kernel cannot choose it per route (network byte order).
        pub v4: [u8; 4],
        /// Index of the block in `COUNTERS` for packets that arrive (`from_uplink`).
        pub counters_in: u32,
        /// Index of the block in `COUNTERS` for packets that leave (`to_uplink`).
        pub counters_out: u32,
        /// See [`uplink_flags`].
        pub flags: u32,
        /// Its hardware address, as it was at the last command; zero where it has none.
        pub mac: [u8; 6],
        /// Explicit padding.
        pub _pad: [u8; 2],
        /// Its address of the link (`fe80::/10`), as it was at the last command that found a network with [`MULTICAST`](super::endpoint_flags::MULTICAST); zero where it has
        /// none.
        pub link_local: Addr,
        /// Name of the uplink.
        pub ifname: IfName,
    }
}
