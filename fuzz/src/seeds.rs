//! Packets of every header shape, from which the corpus and the random tests start.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

use forwarder_common::wire::{
    emit::{Discovery, Extension, Ipv6Packet, Packet, Sum, mac_option},
    icmpv6,
    ndisc::{kind, option},
};

const INSIDE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// The endpoint's MAC and address of IPv6.
pub(crate) const MAC: [u8; 6] = [2, 0x77, 10, 77, 0, 2];
pub(crate) const INSIDE_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xf3d, 1, 0, 0, 0, 0, 2);
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x77, 0xaff, 0xfe4d, 2);
const OUTSIDE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);
const GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const FROM: SocketAddrV4 = SocketAddrV4::new(INSIDE, 40_000);
/// A checksum that is most probably wrong.
const SUM: Sum = Sum::Exact([0x12, 0x34]);

fn tcp(flags: u8) -> Packet {
    Packet::tcp(FROM, SocketAddrV4::new(OUTSIDE, 80)).tcp_flags(flags).sum(SUM).payload(b"data")
}

fn udp(check: [u8; 2]) -> Packet {
    Packet::udp(FROM, SocketAddrV4::new(OUTSIDE, 53)).sum(Sum::Exact(check)).payload(b"data")
}

fn icmp(kind: u8, payload: &[u8]) -> Packet {
    Packet::icmp(INSIDE, OUTSIDE, kind, 0).icmp_rest([0, 7, 0, 1]).sum(SUM).payload(payload)
}

/// IPv4 packets: TCP with its flags, UDP with and without checksum, ICMP echoes and errors, options, fragments, protocols
/// without ports, and packets that are cut short.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<_> = [0x02, 0x12, 0x10, 0x11, 0x14].map(tcp).into();
    seeds.extend([[0x12, 0x34], [0, 0], [0xff, 0xff]].map(udp));
    seeds.extend([8, 0, 13].map(|kind| icmp(kind, b"echo")));
    for about in [tcp(2), udp([1, 2]).options(&[1; 4]), icmp(8, b"")] {
        let about = about.emit();
        seeds.extend([3, 11, 12].map(|kind| icmp(kind, &about[..about.len().min(36)])));
    }
    seeds.extend([1, 10].map(|words| tcp(0x10).options(&vec![1; 4 * words])));
    seeds.extend([0x2000, 0x2005, 0x0005, 0x3fff].map(|fragmentation| udp([1, 2]).fragmentation(fragmentation)));
    // As if UDP's header were theirs.
    let datagram = &udp([1, 2]).emit()[20..];
    seeds.extend([132, 47, 50, 136].map(|proto| Packet::other(INSIDE, OUTSIDE, proto).payload(datagram)));
    // Ports in the padding behind the end of the packet.
    seeds.push(udp([1, 2]).total_len(24));
    let mut seeds: Vec<_> = seeds.iter().map(Packet::emit).collect();
    seeds.extend([1, 19, 21, 27].map(|length| tcp(2).emit()[..length].to_vec()));
    seeds
}

fn discovery(from: Ipv6Addr, kind: u8, target: Ipv6Addr, options: &[u8]) -> Ipv6Packet {
    Ipv6Packet::discovery(from, GROUP, &Discovery::new(kind, target, options))
}

/// IPv6 packets of an endpoint: TCP, UDP, ICMPv6, neighbour discovery that is honest and that lies, chains of extension headers,
/// fragments, and packets that are cut short.
#[must_use]
pub fn seeds_v6() -> Vec<Vec<u8>> {
    let (from, to) = (SocketAddrV6::new(INSIDE_V6, 40_000, 0, 0), SocketAddrV6::new(OUTSIDE_V6, 53, 0, 0));
    let udp = || Ipv6Packet::udp(from, to).payload(b"data");
    let own_mac = [option::SOURCE_MAC, option::TARGET_MAC].map(|kind| mac_option(kind, MAC)).concat();
    let mut seeds = vec![Ipv6Packet::tcp(from, to), udp(), Ipv6Packet::echo(INSIDE_V6, OUTSIDE_V6, 7)];
    for kind in kind::ROUTER_SOLICITATION..=kind::REDIRECT {
        for (from, target) in [(INSIDE_V6, INSIDE_V6), (LINK_LOCAL, LINK_LOCAL), (INSIDE_V6, OUTSIDE_V6)] {
            seeds.push(discovery(from, kind, target, &own_mac));
        }
    }
    seeds.push(discovery(Ipv6Addr::UNSPECIFIED, kind::NEIGHBOUR_SOLICITATION, INSIDE_V6, &[14, 1, 1, 2, 3, 4, 5, 6]));
    let report = Ipv6Packet::icmp(LINK_LOCAL, GROUP, icmpv6::kind::LISTENER_REPORT_V2, 0).payload(&[0; 20]);
    seeds.push(report.extension(Extension::HopByHop(vec![5, 2, 0, 0, 1, 0])));
    let fragment = |start, more| Extension::Fragment { start, more, id: 1 };
    let routing = |segments_left| Extension::Routing { kind: 4, segments_left, data: vec![0; 20] };
    let chained = [fragment(0, false), fragment(0, true), fragment(9, false), routing(0), routing(1)];
    seeds.extend(chained.map(|extension| udp().extension(Extension::Destination(vec![])).extension(extension)));
    let lie = discovery(INSIDE_V6, kind::NEIGHBOUR_ADVERTISEMENT, OUTSIDE_V6, &own_mac);
    seeds.push(lie.extension(Extension::Destination(vec![0; 14])).extension(fragment(0, true)));
    seeds.push(Ipv6Packet::other(INSIDE_V6, OUTSIDE_V6, 59));
    for about in [
        udp(),
        Ipv6Packet::tcp(from, to),
        Ipv6Packet::echo(INSIDE_V6, OUTSIDE_V6, 7),
        udp().extension(fragment(0, true)),
    ] {
        let about = about.emit();
        let error = |kind| Ipv6Packet::icmp(OUTSIDE_V6, INSIDE_V6, kind, 0);
        seeds.push(error(icmpv6::kind::TIME_EXCEEDED).payload(&about));
        seeds.push(error(icmpv6::kind::TOO_BIG).payload(&about[..about.len().min(56)]));
    }
    let mut seeds: Vec<_> = seeds.iter().map(Ipv6Packet::emit).collect();
    seeds.extend([1, 39, 41, 47].map(|length| udp().emit()[..length].to_vec()));
    seeds
}
