//! Published ports: which packets from outside are for one, and what flow they begin.

use crate::{
    abi::{Endpoint, HostSocket, Internal, Publication, SocketSender, Tuple, endpoint_flags},
    wire::l4::Proto,
};

/// Where the map `PUBLISHED_PORTS` says whether `port` (host byte order) of `proto` is published: the element, and the bit in it. `None`
/// for a protocol whose ports are not published.
#[inline(always)]
#[must_use]
pub const fn place(proto: u8, port: u16) -> Option<(u32, u64)> {
    /// Elements for one protocol.
    const WORDS: u32 = 65_536 / 64;
    let first = if proto == Proto::Tcp as u8 {
        0
    } else if proto == Proto::Udp as u8 {
        WORDS
    } else {
        return None;
    };
    let word = first.wrapping_add(port as u32 >> 6);
    Some((word, 1_u64.wrapping_shl(port as u32 & 63)))
}

/// Whether ports of `addr`, a destination, may be published at all: it names one host, and from outside (RFC 1122 §3.2.1.3).
#[inline(always)]
#[must_use]
pub const fn is_host_address(addr: [u8; 4]) -> bool {
    let [first, ..] = addr;
    first != 0 && first != 127 && first < 224
}

/// The socket under which a packet with `tuple` is looked for: at its very address, or at all addresses.
#[inline(always)]
#[must_use]
pub const fn socket(tuple: &Tuple, at_all: bool) -> HostSocket {
    let addr = if at_all { [0; 4] } else { tuple.daddr };
    HostSocket { addr, proto: tuple.proto, _pad: 0, port: tuple.dport }
}

/// Whether `publication`, which was found for a packet with `tuple`, is really about it, and about `endpoint`: an entry may be taken out
/// and be another's while it is read, and a host-side veth's number may be given to another endpoint's. What the kernel's own NAT publishes is
/// left to it.
#[inline(always)]
#[must_use]
pub const fn is_for(publication: &Publication, tuple: &Tuple, endpoint: &Endpoint) -> bool {
    let port = u16::from_be_bytes(tuple.dport);
    let Publication { netns_cookie, addr, first, last, proto, .. } = *publication;
    let any = u32::from_ne_bytes(addr) == 0;
    let here = any || u32::from_ne_bytes(addr) == u32::from_ne_bytes(tuple.daddr);
    let by_kernel = endpoint.flags & endpoint_flags::KERNEL_DATAPATH != 0;
    let same = here && proto == tuple.proto && first <= port && port <= last && netns_cookie == endpoint.netns_cookie;
    same && !by_kernel
}

/// What is asked for where `sender` (network byte order) wants to use a publication that not all may use: its first socket stands for it.
#[inline(always)]
#[must_use]
pub const fn sent_by(publication: &Publication, sender: [u8; 4]) -> SocketSender {
    let Publication { addr, proto, first, .. } = *publication;
    SocketSender { socket: HostSocket { addr, proto, _pad: 0, port: first.to_be_bytes() }, sender, _pad: [0; 4] }
}

/// The socket inside that a packet with `tuple` is for, by a publication that [`is_for`] it; it seems to be at the destination of the packet.
#[inline(always)]
#[must_use]
pub const fn internal(publication: &Publication, tuple: &Tuple, endpoint: &Endpoint) -> Internal {
    let offset = u16::from_be_bytes(tuple.dport).wrapping_sub(publication.first);
    Internal {
        addr: endpoint.v4,
        nat_addr: tuple.daddr,
        endpoint: publication.endpoint,
        uplink: endpoint.uplink,
        port: publication.inside.wrapping_add(offset).to_be_bytes(),
        proto: tuple.proto,
        _pad: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::PUBLISHED_WORDS;
    use std::collections::HashSet;

    const TCP: u8 = Proto::Tcp as u8;
    const UDP: u8 = Proto::Udp as u8;

    fn endpoint() -> Endpoint {
        Endpoint {
            v4: [10, 77, 0, 2],
            network: 4,
            uplink: 3,
            counters: 1,
            mtu: 1500,
            mac: [2; 6],
            gateway_mac: [2; 6],
            flags: 0,
            v6: [0; 16],
            _pad: 0,
            netns_cookie: 99,
            metadata: 0,
        }
    }

    fn publication() -> Publication {
        Publication {
            netns_cookie: 99,
            endpoint: 5,
            addr: [0; 4],
            first: 8000,
            last: 8009,
            inside: 80,
            proto: TCP,
            senders: 0,
        }
    }

    fn came(port: u16) -> Tuple {
        Tuple {
            saddr: [192, 0, 2, 1],
            daddr: [198, 51, 100, 7],
            sport: 40_000_u16.to_be_bytes(),
            dport: port.to_be_bytes(),
            ifindex: 3,
            proto: TCP,
            query: 0,
            family: 0,
        }
    }

    #[test]
    fn every_port_has_a_bit_of_its_own() {
        let places: HashSet<_> =
            [TCP, UDP].into_iter().flat_map(|proto| (0..=u16::MAX).map(move |it| place(proto, it))).collect();
        assert_eq!(places.len(), 2 * 65_536);
        assert!(places.iter().flatten().all(|(word, _)| (*word as usize) < PUBLISHED_WORDS));
        assert_eq!(place(Proto::Icmp as u8, 80), None);
    }

    #[test]
    fn loopback_and_groups_are_no_address_to_publish_at() {
        for addr in [[0, 0, 0, 0], [127, 0, 0, 1], [224, 0, 0, 251], [255, 255, 255, 255]] {
            assert!(!is_host_address(addr), "{addr:?}");
        }
        assert!(is_host_address([198, 51, 100, 7]) && is_host_address([10, 0, 0, 1]));
    }

    #[test]
    fn ports_of_a_range_lead_to_ports_one_after_the_other() {
        let inside = internal(&publication(), &came(8003), &endpoint());
        assert_eq!((inside.addr, inside.port), ([10, 77, 0, 2], 83_u16.to_be_bytes()));
        assert_eq!((inside.nat_addr, inside.endpoint, inside.uplink), ([198, 51, 100, 7], 5, 3));
    }

    #[test]
    fn senders_are_known_by_the_first_port() {
        let socket = HostSocket { addr: [0; 4], proto: TCP, _pad: 0, port: 8000_u16.to_be_bytes() };
        let sender = [192, 0, 2, 1];
        assert_eq!(sent_by(&publication(), sender), SocketSender { socket, sender, _pad: [0; 4] });
    }

    #[test]
    fn publication_of_another_port_address_or_namespace_is_not_meant() {
        assert!(is_for(&publication(), &came(8000), &endpoint()) && is_for(&publication(), &came(8009), &endpoint()));
        assert!(!is_for(&publication(), &came(7999), &endpoint()) && !is_for(&publication(), &came(8010), &endpoint()));
        let elsewhere = Publication { addr: [198, 51, 100, 8], ..publication() };
        assert!(!is_for(&elsewhere, &came(8000), &endpoint()));
        assert!(is_for(&Publication { addr: [198, 51, 100, 7], ..publication() }, &came(8000), &endpoint()));
        assert!(!is_for(&Publication { proto: UDP, ..publication() }, &came(8000), &endpoint()));
        assert!(!is_for(&publication(), &came(8000), &Endpoint { netns_cookie: 98, ..endpoint() }));
        let by_kernel = Endpoint { flags: endpoint_flags::KERNEL_DATAPATH, ..endpoint() };
        assert!(!is_for(&publication(), &came(8000), &by_kernel));
    }
}
