//! Published ports: which packets from outside are for one, and what flow they begin.

use crate::{
    abi::{
        ALL_V4, ALL_V6, Addr, Endpoint, HostSocket, Internal, Publication, SocketSender, Tuple, endpoint_flags,
        mapped_words,
    },
    wire::{ipv6, l4::Proto},
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

/// As [`is_host_address`], of IPv6: it is unicast, and of more than one link (RFC 4291 §2.4).
#[inline(always)]
#[must_use]
pub const fn is_host_address_v6(addr: Addr) -> bool {
    let nobodys = ipv6::is_unspecified(addr) || ipv6::is_loopback(addr) || ipv6::is_mapped(addr);
    !nobodys && !ipv6::is_multicast(addr) && !ipv6::is_link_local(addr)
}

/// Whether `addr` is announced for `endpoint`, which appears behind it: one of its addresses from the first on.
#[inline(always)]
#[must_use]
pub const fn announces(endpoint: &Endpoint, addr: [u8; 4]) -> bool {
    let place = u32::from_be_bytes(addr).wrapping_sub(u32::from_be_bytes(endpoint.source));
    endpoint.flags & endpoint_flags::ANNOUNCED != 0 && is_place(place, endpoint.sources)
}

/// The same of IPv6.
#[inline(always)]
#[must_use]
pub const fn announces_v6(endpoint: &Endpoint, addr: Addr) -> bool {
    let ([a, b, c, last], [d, e, f, first]) = (ipv6::words(addr), ipv6::words(endpoint.source_v6));
    let same = a == d && b == e && c == f;
    // They differ in the last four bytes alone.
    let place = u32::from_be(last).wrapping_sub(u32::from_be(first));
    endpoint.flags & endpoint_flags::ANNOUNCED_V6 != 0 && same && is_place(place, endpoint.sources_v6)
}

/// Whether so many addresses, of which 0 is one, have this place among them.
#[inline(always)]
const fn is_place(place: u32, count: u16) -> bool {
    place == 0 || place < count as u32
}

impl HostSocket {
    /// The socket of IPv4 that a packet with `tuple` is sent to.
    #[inline(always)]
    #[must_use]
    pub const fn sent_to(tuple: &Tuple) -> Self {
        let addr = ipv6::of_words(mapped_words(u32::from_ne_bytes(tuple.daddr)));
        Self { addr, proto: tuple.proto as u32, _pad: 0, port: tuple.dport }
    }

    /// The same port at all addresses of that family.
    #[inline(always)]
    #[must_use]
    pub const fn at_all(self) -> Self {
        let addr = if ipv6::is_mapped(self.addr) { ALL_V4 } else { ALL_V6 };
        Self { addr, ..self }
    }
}

/// Whether `publication`, which was found under the name of `socket`, is really about that, and about `endpoint`: an entry may be taken out
/// and be another's while it is read, and a host-side veth's number may be given to another endpoint's. Nobody is reached by a family that
/// the endpoint does not have. What the kernel's own NAT publishes is left to it.
#[inline(always)]
#[must_use]
pub const fn is_for(publication: &Publication, socket: &HostSocket, endpoint: &Endpoint) -> bool {
    let port = u16::from_be_bytes(socket.port);
    let Publication { netns_cookie, addr, first, last, proto, .. } = *publication;
    let here = ipv6::is_same(addr, socket.addr);
    let reached = if ipv6::is_mapped(socket.addr) {
        u32::from_ne_bytes(endpoint.v4) != 0
    } else {
        !ipv6::is_unspecified(endpoint.v6)
    };
    let by_kernel = endpoint.flags & endpoint_flags::KERNEL_DATAPATH != 0;
    let same =
        here && proto as u32 == socket.proto && first <= port && port <= last && netns_cookie == endpoint.netns_cookie;
    same && reached && !by_kernel
}

/// What is asked for where `sender` wants to use a publication that not all may use: its first socket stands for it.
#[inline(always)]
#[must_use]
pub const fn sent_by(publication: &Publication, sender: Addr) -> SocketSender {
    let Publication { addr, proto, first, .. } = *publication;
    // By whole words: byte by byte it is a call for the programs.
    let addr = ipv6::of_words(ipv6::words(addr));
    SocketSender { socket: HostSocket { addr, proto: proto as u32, _pad: 0, port: first.to_be_bytes() }, sender }
}

/// The port inside that a packet to `port` is for, by a publication that [`is_for`] it; both in network byte order.
#[inline(always)]
#[must_use]
pub const fn port_inside(publication: &Publication, port: [u8; 2]) -> [u8; 2] {
    let offset = u16::from_be_bytes(port).wrapping_sub(publication.first);
    publication.inside.wrapping_add(offset).to_be_bytes()
}

/// The socket inside that a packet with `tuple` is for, by a publication that [`is_for`] it; it seems to be at the destination of the packet.
#[inline(always)]
#[must_use]
pub const fn internal(publication: &Publication, tuple: &Tuple, endpoint: &Endpoint) -> Internal {
    Internal {
        addr: endpoint.v4,
        nat_addr: tuple.daddr,
        endpoint: publication.endpoint,
        uplink: endpoint.uplink,
        port: port_inside(publication, tuple.dport),
        proto: tuple.proto,
        _pad: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::{PUBLISHED_WORDS, mapped};
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
            source: [0; 4],
            sources: 0,
            sources_v6: 0,
            source_v6: [0; 16],
            _pad: 0,
            netns_cookie: 99,
            metadata: 0,
        }
    }

    #[test]
    fn an_endpoint_announces_the_address_behind_which_it_appears_if_it_was_told_to() {
        let behind = |flags| Endpoint { flags, source: [192, 0, 2, 7], ..endpoint() };
        assert!(announces(&behind(endpoint_flags::ANNOUNCED), [192, 0, 2, 7]));
        assert!(!announces(&behind(endpoint_flags::ANNOUNCED), [192, 0, 2, 8]), "another's");
        assert!(!announces(&behind(0), [192, 0, 2, 7]), "the host's own");
        let range = Endpoint { sources: 3, ..behind(endpoint_flags::ANNOUNCED) };
        for (last, is_one) in [(6, false), (7, true), (9, true), (10, false)] {
            assert_eq!(announces(&range, [192, 0, 2, last]), is_one, "{last}");
        }
        let (mut first, flags) =
            ([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff], endpoint_flags::ANNOUNCED_V6);
        let range = Endpoint { source_v6: first, sources_v6: 2, flags, ..endpoint() };
        assert!(announces_v6(&range, first) && !announces_v6(&Endpoint { flags: 0, ..range }, first));
        first[14..].copy_from_slice(&[1, 0]);
        assert!(announces_v6(&range, first), "the next one");
        first[15] = 1;
        assert!(!announces_v6(&range, first));
        first[15] = 0;
        first[0] = 0xfd;
        assert!(!announces_v6(&range, first), "of another prefix");
    }

    fn publication() -> Publication {
        Publication {
            netns_cookie: 99,
            endpoint: 5,
            addr: ALL_V4,
            first: 8000,
            last: 8009,
            inside: 80,
            proto: TCP,
            senders: 0,
            both_families: 0,
        }
    }

    /// The socket that a packet for TCP to `port` is sent to.
    fn asked(port: u16) -> HostSocket {
        HostSocket::sent_to(&came(port))
    }

    const OWN: Addr = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];

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
        let socket = HostSocket { addr: ALL_V4, proto: TCP.into(), _pad: 0, port: 8000_u16.to_be_bytes() };
        let sender = mapped([192, 0, 2, 1]);
        assert_eq!(sent_by(&publication(), sender), SocketSender { socket, sender });
    }

    #[test]
    fn publication_of_another_port_address_or_namespace_is_not_meant() {
        let asked = |port| asked(port).at_all();
        assert!(is_for(&publication(), &asked(8000), &endpoint()) && is_for(&publication(), &asked(8009), &endpoint()));
        assert!(
            !is_for(&publication(), &asked(7999), &endpoint()) && !is_for(&publication(), &asked(8010), &endpoint())
        );
        let at_one = Publication { addr: mapped([198, 51, 100, 7]), ..publication() };
        assert!(
            !is_for(&at_one, &asked(8000), &endpoint())
                && !is_for(&publication(), &super::tests::asked(8000), &endpoint())
        );
        assert!(is_for(&at_one, &super::tests::asked(8000), &endpoint()));
        assert!(!is_for(&Publication { proto: UDP, ..publication() }, &asked(8000), &endpoint()));
        assert!(!is_for(&publication(), &asked(8000), &Endpoint { netns_cookie: 98, ..endpoint() }));
        let by_kernel = Endpoint { flags: endpoint_flags::KERNEL_DATAPATH, ..endpoint() };
        assert!(!is_for(&publication(), &asked(8000), &by_kernel));
    }

    #[test]
    fn families_are_published_apart_and_lead_to_who_has_them() {
        let asked6 = HostSocket { addr: OWN, ..asked(8000) };
        assert_eq!((asked6.at_all().addr, asked(8000).at_all().addr), (ALL_V6, ALL_V4));
        let (dual, single) = (Endpoint { v6: [9; 16], ..endpoint() }, endpoint());
        let [all, one] = [ALL_V6, OWN].map(|addr| Publication { addr, ..publication() });
        for (publication, socket) in [(&all, asked6.at_all()), (&one, asked6)] {
            assert!(is_for(publication, &socket, &dual), "{publication:?}");
            assert!(!is_for(publication, &socket, &single), "it has no IPv6: {publication:?}");
            assert!(!is_for(publication, &asked(8000).at_all(), &dual), "that is IPv4: {publication:?}");
        }
        let asked = asked(8000).at_all();
        assert!(!is_for(&publication(), &asked6.at_all(), &dual) && is_for(&publication(), &asked, &dual));
        assert!(!is_for(&publication(), &asked, &Endpoint { v4: [0; 4], ..dual }), "it has no IPv4");
        assert_eq!(port_inside(&all, 8003_u16.to_be_bytes()), 83_u16.to_be_bytes());
    }

    #[test]
    fn addresses_of_ipv6_that_name_no_host_from_outside_are_none_to_publish_at() {
        let mut link = OWN;
        link[..2].copy_from_slice(&[0xfe, 0x80]);
        let mut group = OWN;
        group[0] = 0xff;
        for addr in [ALL_V6, ALL_V4, 1_u128.to_be_bytes(), mapped([192, 0, 2, 1]), link, group] {
            assert!(!is_host_address_v6(addr), "{addr:?}");
        }
        assert!(is_host_address_v6(OWN) && is_host_address_v6([0xfd; 16]));
    }
}
