//! What passes between a network and its uplink that is for a group (`--multicast`): names and services that programs look for (mDNS, LLMNR, SSDP),
//! what they send to routed groups, and which groups they want to hear.
//!
//! Of groups of one link those of names alone pass: by the others routers speak with each other (HSRP, VRRP, OSPF, RIP), and no namespace is to do that in
//! the host's name.

use crate::{
    abi::{Network, endpoint_flags},
    decide::validate::is_martian_source,
    types::direction::Direction,
    wire::{icmpv6, ipv4, ipv6},
};

/// Whether a packet passes, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Passage {
    /// It does not.
    Stays = 0,
    /// As it is: its group is one of the link, which the network belongs to for it (RFC 6762 §11 wants the hop limit kept).
    AsItIs = 1,
    /// One router further.
    OneHop = 2,
}

/// Types of IGMP (RFC 3376 §4, RFC 2236 §2).
mod igmp {
    pub(super) const PROTO: u8 = 2;
    pub(super) const QUERY: u8 = 0x11;
    pub(super) const REPORT_V1: u8 = 0x12;
    pub(super) const REPORT_V2: u8 = 0x16;
    pub(super) const LEAVE: u8 = 0x17;
    pub(super) const REPORT_V3: u8 = 0x22;
}

const UDP: u8 = 17;

/// What passes of the packet of IPv4 with the header `ip`, behind which stands the byte `kind`.
#[inline(always)]
#[must_use]
pub const fn of_v4(direction: Direction, ip: &ipv4::Header, kind: u8) -> Passage {
    let [first, second, third, last] = ip.dst;
    // Who has no address yet asks for members of groups all the same (RFC 4541 §2.1.1); nobody else is believed to be nobody.
    let from_nobody = u32::from_ne_bytes(ip.src) == 0 && ip.proto == igmp::PROTO;
    if !ipv4::is_multicast(ip.dst) || is_martian_source(ip.src) && !from_nobody {
        return Passage::Stays;
    }
    if ip.proto == igmp::PROTO {
        let passes = match direction {
            // A namespace is no router that asks who listens.
            Direction::Outbound => matches!(kind, igmp::REPORT_V1 | igmp::REPORT_V2 | igmp::LEAVE | igmp::REPORT_V3),
            // What others want to hear would keep a namespace from saying the same (RFC 2236 §3).
            Direction::Inbound => kind == igmp::QUERY,
        };
        return if passes { Passage::AsItIs } else { Passage::Stays };
    }
    if ip.proto != UDP {
        return Passage::Stays;
    }
    if first == 224 && second == 0 && third == 0 {
        // mDNS (RFC 6762 §3), LLMNR (RFC 4795 §2).
        return if matches!(last, 251 | 252) { Passage::AsItIs } else { Passage::Stays };
    }
    // By the internetwork control block (RFC 5771 §5) routers find one another (Auto-RP), and clocks agree (NTP, PTP).
    let is_control = first == 224 && second == 0 && third == 1;
    if is_control || ip.ttl_expires() { Passage::Stays } else { Passage::OneHop }
}

/// What passes of the packet of IPv6 with the header `ip`, whose last header is of the protocol `proto` and begins with the byte `kind`.
///
/// Out go groups of the link alone: to them belongs the one address of the uplink that every source can be replaced by.
#[inline(always)]
#[must_use]
pub const fn of_v6(direction: Direction, ip: &ipv6::Header, proto: u8, kind: u8) -> Passage {
    let [first, flags_and_scope, ..] = ip.dst;
    let scope = flags_and_scope & 0x0f;
    let nobodys = ipv6::is_unspecified(ip.src) || ipv6::is_loopback(ip.src) || ipv6::is_multicast(ip.src);
    if first != 0xff || scope < LINK || nobodys {
        return Passage::Stays;
    }
    if proto == icmpv6::PROTO {
        let passes = match direction {
            Direction::Outbound => icmpv6::is_listener_report(kind),
            Direction::Inbound => kind == icmpv6::kind::LISTENER_QUERY,
        };
        return if passes { Passage::AsItIs } else { Passage::Stays };
    }
    if proto != UDP {
        return Passage::Stays;
    }
    if scope == LINK {
        let named = ipv6::is_same(ip.dst, MDNS) || ipv6::is_same(ip.dst, LLMNR) || ipv6::is_same(ip.dst, SSDP);
        return if named { Passage::AsItIs } else { Passage::Stays };
    }
    match direction {
        Direction::Inbound if ip.hop_limit > 1 => Passage::OneHop,
        _ => Passage::Stays,
    }
}

/// The scope of a link (RFC 4291 §2.7).
const LINK: u8 = 2;
/// ff02::fb (RFC 6762 §3), ff02::1:3 (RFC 4795 §2), ff02::c (IANA's registry of multicast addresses).
const MDNS: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xfb];
const LLMNR: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 3];
const SSDP: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0c];

/// Whether a copy of what comes by the interface `uplink` for a group goes to `network`: it was asked for, and knows the family.
#[inline(always)]
#[must_use]
pub const fn hears(network: &Network, uplink: u32, is_ipv6: bool) -> bool {
    let prefix = if is_ipv6 { network.prefix_v6 } else { network.prefix_v4 };
    network.flags & endpoint_flags::MULTICAST != 0 && network.uplink == uplink && prefix != 0
}

/// Whether all who speak to a group do so by this port (both host byte order), whoever else on the host does: mDNS (RFC 6762 §5.2), LLMNR, SSDP. By any
/// other that a socket of the host has, a namespace would pass for the program that has it.
#[inline(always)]
#[must_use]
pub const fn is_shared_port(sport: u16, dport: u16) -> bool {
    sport == dport && matches!(sport, 5353 | 5355 | 1900)
}

/// Packets to groups that one namespace may send by the uplink in a second, because everybody on its link gets each, and that may come by one, because
/// all namespaces do.
pub const MOST_PER_SECOND: u32 = 1_000;

/// What is noted of a namespace, or of an uplink, once so many packets more have passed at the second `now`, where `noted` was: the second, and in the low half how many
/// in it. `None` if that is more than [`MOST_PER_SECOND`].
#[inline(always)]
#[must_use]
pub const fn admitted(noted: u64, now: u32, packets: u32) -> Option<u64> {
    let sent = if (noted >> 32) as u32 == now { noted as u32 } else { 0 };
    let sent = sent.saturating_add(packets);
    if sent > MOST_PER_SECOND { None } else { Some((now as u64) << 32 | sent as u64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: [u8; 4] = [192, 0, 2, 7];

    fn v4(direction: Direction, dst: [u8; 4], proto: u8, ttl: u8, kind: u8) -> Passage {
        v4_from(HOST, direction, dst, proto, ttl, kind)
    }

    fn v4_from(src: [u8; 4], direction: Direction, dst: [u8; 4], proto: u8, ttl: u8, kind: u8) -> Passage {
        let packet = [&[0x45, 0, 0, 20, 0, 0, 0, 0, ttl, proto, 0, 0][..], &src, &dst].concat();
        of_v4(direction, &ipv4::parse(&packet.as_slice(), 0).expect("a header"), kind)
    }

    fn v6(direction: Direction, dst: &str, proto: u8, hops: u8, kind: u8) -> Passage {
        v6_from("fe80::7", direction, dst, proto, hops, kind)
    }

    fn v6_from(src: &str, direction: Direction, dst: &str, proto: u8, hops: u8, kind: u8) -> Passage {
        let [src, dst] = [src, dst].map(|addr| addr.parse::<std::net::Ipv6Addr>().expect("an address").octets());
        let packet = [&[0x60, 0, 0, 0, 0, 0, proto, hops][..], &src, &dst].concat();
        of_v6(direction, &ipv6::parse(&packet.as_slice(), 0).expect("a header"), proto, kind)
    }

    #[test]
    fn names_pass_as_they_are_and_what_routers_speak_by_stays() {
        for direction in [Direction::Outbound, Direction::Inbound] {
            for ttl in [1, 255] {
                assert_eq!(v4(direction, [224, 0, 0, 251], UDP, ttl, 0), Passage::AsItIs);
                assert_eq!(v4(direction, [224, 0, 0, 252], UDP, ttl, 0), Passage::AsItIs);
                // HSRP, RIP, VRRP, all hosts.
                for (last, proto) in [(2, UDP), (9, UDP), (18, 112), (1, UDP), (5, 89)] {
                    assert_eq!(v4(direction, [224, 0, 0, last], proto, ttl, 0), Passage::Stays, "{last}");
                }
            }
            for group in ["ff02::fb", "ff02::1:3", "ff02::c"] {
                assert_eq!(v6(direction, group, UDP, 255, 0), Passage::AsItIs, "{group}");
            }
            for group in ["ff02::1", "ff02::66", "ff02::1:2", "ff01::fb", "ff00::fb", "2001:db8::fb"] {
                assert_eq!(v6(direction, group, UDP, 255, 0), Passage::Stays, "{group}");
            }
            assert_eq!(v4(direction, [198, 51, 100, 251], UDP, 255, 0), Passage::Stays);
            assert_eq!(v4(direction, [255; 4], UDP, 255, 0), Passage::Stays, "a broadcast");
        }
    }

    #[test]
    fn routed_groups_pass_one_router_further() {
        for direction in [Direction::Outbound, Direction::Inbound] {
            let ssdp = [239, 255, 255, 250];
            assert_eq!(
                (v4(direction, ssdp, UDP, 2, 0), v4(direction, ssdp, UDP, 1, 0)),
                (Passage::OneHop, Passage::Stays)
            );
            assert_eq!(v4(direction, ssdp, 6, 9, 0), Passage::Stays, "no protocol but UDP");
        }
        assert_eq!(
            v4(Direction::Outbound, [224, 0, 1, 40], UDP, 8, 0),
            Passage::Stays,
            "by which routers find one another"
        );
        assert_eq!(v6(Direction::Inbound, "ff05::c", UDP, 2, 0), Passage::OneHop);
        assert_eq!(v6(Direction::Inbound, "ff05::c", UDP, 1, 0), Passage::Stays);
        assert_eq!(v6(Direction::Outbound, "ff05::c", UDP, 2, 0), Passage::Stays);
    }

    #[test]
    fn reports_go_out_and_questions_who_listens_come_in() {
        for kind in 0..=u8::MAX {
            let (report, query) = (matches!(kind, 0x12 | 0x16 | 0x17 | 0x22), kind == 0x11);
            for (direction, passes) in [(Direction::Outbound, report), (Direction::Inbound, query)] {
                let expected = if passes { Passage::AsItIs } else { Passage::Stays };
                assert_eq!(v4(direction, [224, 0, 0, 22], 2, 1, kind), expected, "{direction:?} {kind:#x}");
            }
            let (report, query) = (matches!(kind, 131 | 132 | 143), kind == 130);
            for (direction, passes) in [(Direction::Outbound, report), (Direction::Inbound, query)] {
                let expected = if passes { Passage::AsItIs } else { Passage::Stays };
                assert_eq!(v6(direction, "ff02::16", icmpv6::PROTO, 1, kind), expected, "{direction:?} {kind}");
            }
        }
    }

    #[test]
    fn nothing_passes_from_an_address_that_nobody_has() {
        let (inbound, mdns) = (Direction::Inbound, [224, 0, 0, 251]);
        for src in [[0; 4], [127, 0, 0, 1], [0, 1, 2, 3], [224, 0, 0, 251], [255; 4]] {
            assert_eq!(v4_from(src, inbound, mdns, UDP, 255, 0), Passage::Stays, "{src:?}");
            let asks = v4_from(src, inbound, [224, 0, 0, 1], igmp::PROTO, 1, igmp::QUERY);
            assert_eq!(asks == Passage::AsItIs, src == [0; 4], "{src:?}");
        }
        for src in ["::", "::1", "ff02::fb"] {
            assert_eq!(v6_from(src, inbound, "ff02::fb", UDP, 255, 0), Passage::Stays, "{src}");
            assert_eq!(v6_from(src, inbound, "ff02::1", icmpv6::PROTO, 1, 130), Passage::Stays, "{src}");
        }
    }

    #[test]
    fn networks_hear_what_comes_by_their_uplink_of_families_that_they_have() {
        const UPLINK: u32 = 7;
        let network = |flags, prefix_v4, prefix_v6| Network {
            uplink: UPLINK,
            flags,
            prefix_v4,
            prefix_v6,
            ..zerocopy::FromZeros::new_zeroed()
        };
        let both = network(endpoint_flags::MULTICAST, 24, 64);
        assert!(hears(&both, UPLINK, false) && hears(&both, UPLINK, true) && !hears(&both, 8, true));
        let (v4, v6) = (network(endpoint_flags::MULTICAST, 24, 0), network(endpoint_flags::MULTICAST, 0, 64));
        assert!(hears(&v4, UPLINK, false) && !hears(&v4, UPLINK, true));
        assert!(!hears(&v6, UPLINK, false) && hears(&v6, UPLINK, true));
        assert!(!hears(&network(0, 24, 64), UPLINK, false), "it was not asked for");
    }

    #[test]
    fn ports_that_everybody_speaks_by_are_shared_and_others_are_whose_they_are() {
        for port in [5353, 5355, 1900] {
            assert!(is_shared_port(port, port) && !is_shared_port(port, 5405) && !is_shared_port(5405, port));
        }
        assert!(!is_shared_port(5405, 5405) && !is_shared_port(0, 0));
    }

    #[test]
    fn so_many_packets_are_admitted_each_second() {
        let mut noted = 0;
        for _ in 0..MOST_PER_SECOND {
            noted = admitted(noted, 7, 1).expect("within the limit");
        }
        assert_eq!(admitted(noted, 7, 1), None);
        assert_eq!(admitted(noted, 8, 64), Some(8 << 32 | 64), "the next second");
        assert_eq!(admitted(0, 0, u32::MAX), None, "segments of one packet are as many packets");
    }
}
