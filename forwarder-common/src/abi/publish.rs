//! Published ports: those of the host's addresses that lead to an endpoint.

use crate::abi::{Addr, mapped, record};

/// In place of an address of the host: all of its addresses of IPv4.
pub const ALL_V4: Addr = mapped([0; 4]);
/// In place of an address of the host: all of its addresses of IPv6.
pub const ALL_V6: Addr = [0; 16];

record! {
    /// What a published port is called: a protocol and a socket of the host, in network byte order.
    #[derive(Default, Hash)]
    pub struct HostSocket {
        /// Address of the host; [`ALL_V4`] or [`ALL_V6`] for all of a family.
        pub addr: Addr,
        /// IP protocol: TCP or UDP, host byte order.
        pub proto: u32,
        /// Explicit padding: what an entry says begins at a multiple of eight bytes.
        pub _pad: u16,
        /// Port. Last, so that ports that begin with the same bits have a prefix in common.
        pub port: [u8; 2],
    }
}

/// Bits of a [`HostSocket`].
pub const HOST_SOCKET_BITS: u32 = 192;

record! {
    /// Key of the map `PUBLISHED`: the kernel's `struct bpf_lpm_trie_key`. A range of ports is as many of them as it takes to cover it
    /// with prefixes, thirty at most.
    pub struct PortPrefix {
        /// Its length, bits: all of address and protocol, and some of the port.
        pub length: u32,
        /// The first socket of it.
        pub socket: HostSocket,
    }
}

record! {
    /// Value of the map `PUBLISHED`: the same for all prefixes of a range.
    #[derive(Default, Hash)]
    pub struct Publication {
        /// `SO_NETNS_COOKIE` of the endpoint's namespace: the number of a host-side veth may be another's by now.
        pub netns_cookie: u64,
        /// Address of the host, as in [`HostSocket::addr`].
        pub addr: Addr,
        /// The endpoint, by its host-side veth.
        pub endpoint: u32,
        /// First port of the range, host byte order.
        pub first: u16,
        /// Last port of the range, host byte order.
        pub last: u16,
        /// Port inside that the first leads to, host byte order.
        pub inside: u16,
        /// IP protocol.
        pub proto: u8,
        /// Prefixes in the map `PUBLISHED_TO` of those who may use it; 0: all may.
        pub senders: u8,
        /// 1 if it is published at all addresses of both families, each of which has its entries: they come and go together. Otherwise 0.
        pub both_families: u32,
    }
}

record! {
    /// Who may use a publication.
    pub struct SocketSender {
        /// The publication, by its address and the first of its ports: no two have those in common.
        pub socket: HostSocket,
        /// Sender: an address of the family of the socket's.
        pub sender: Addr,
    }
}

record! {
    /// Key of the map `PUBLISHED_TO`: the kernel's `struct bpf_lpm_trie_key`.
    pub struct SenderPrefix {
        /// Its length, bits: all of the socket, and some of the sender's address.
        pub length: u32,
        /// The first of it.
        pub of: SocketSender,
    }
}

/// Elements of the map `PUBLISHED_PORTS`: a bit for each port of TCP, then one for each of UDP.
pub const PUBLISHED_WORDS: usize = 2 * 65_536 / 64;

record! {
    /// In the packet for the program `flush`, behind the endpoint and the first slot: ports that are published no more. All zero: it is about
    /// all flows of the endpoint.
    #[derive(Default)]
    pub struct Withdrawn {
        /// Address of the host as a word of memory, of IPv6 its fingerprint ([`crate::flow::ipv6::fingerprint`]); 0 for all of them.
        pub addr: u32,
        /// First port, host byte order.
        pub first: u16,
        /// Last port, host byte order.
        pub last: u16,
        /// IP protocol.
        pub proto: u8,
        /// 4 or 6: of which family they were published; 0: of both.
        pub family: u8,
        /// Explicit padding.
        pub _pad: [u8; 2],
    }
}

impl Withdrawn {
    /// From its bytes.
    #[inline(always)]
    #[must_use]
    pub const fn of(bytes: [u8; size_of::<Self>()]) -> Self {
        zerocopy::transmute!(bytes)
    }

    /// As bytes.
    #[must_use]
    pub const fn bytes(self) -> [u8; size_of::<Self>()] {
        zerocopy::transmute!(self)
    }
}

/// Published ports that one socket of the host can talk to and know them apart.
pub const HOST_PEERS: usize = 4;

record! {
    /// Where a socket of the host was led, and where it had meant to go. Addresses are of either family ([`mapped`]), as words of memory.
    #[derive(Default)]
    pub struct HostPeer {
        /// Address inside.
        pub inside: [u32; 4],
        /// Address that was asked for.
        pub asked: [u32; 4],
        /// Port inside, network byte order. 0: there is nothing.
        pub inside_port: [u8; 2],
        /// Port that was asked for, network byte order.
        pub asked_port: [u8; 2],
    }
}

record! {
    /// Value of the map `HOST_PEERS`: where a socket of the host was led instead of where it meant to go. As all zero there is nothing.
    #[derive(Default)]
    pub struct HostPeers {
        /// The last of them, in any order.
        pub peers: [HostPeer; HOST_PEERS],
        /// The place that is taken next, as a number that grows.
        pub next: u32,
    }
}
