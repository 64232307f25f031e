//! Packets of every header shape, from which the corpus and the random tests start.

use std::net::{Ipv4Addr, SocketAddrV4};

use forwarder_common::wire::emit::{Packet, Sum};

const INSIDE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
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
