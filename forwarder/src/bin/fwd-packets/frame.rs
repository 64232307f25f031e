//! The packets that are measured.

use std::net::{SocketAddrV4, SocketAddrV6};

use forwarder_common::wire::emit::{Ipv6Packet, Packet, Transport};

/// TCP.
pub(crate) const TCP: u8 = 6;
/// UDP.
pub(crate) const UDP: u8 = 17;
/// ICMP.
pub(crate) const ICMP: u8 = 1;
/// The TTL of every packet: enough for 200 runs that each take one.
pub(crate) const TTL: u8 = 255;

/// A TCP segment with `flags`, a UDP datagram, or an ICMP echo of type `flags` with the identifier `from.port()`.
pub(crate) fn packet(proto: u8, flags: u8, from: SocketAddrV4, to: SocketAddrV4) -> Packet {
    let packet = match proto {
        TCP => Packet::tcp(from, to).numbers(9, 9).tcp_flags(flags),
        UDP => Packet::udp(from, to),
        _ => {
            let [high, low] = from.port().to_be_bytes();
            Packet::icmp(*from.ip(), *to.ip(), flags, 0).icmp_rest([high, low, 0, 1])
        }
    };
    packet.ttl(TTL).payload(&[0x55; 22])
}

/// The same of IPv6, of TCP or UDP.
pub(crate) fn packet_v6(proto: u8, flags: u8, from: SocketAddrV6, to: SocketAddrV6) -> Ipv6Packet {
    let mut packet = if proto == TCP { Ipv6Packet::tcp(from, to) } else { Ipv6Packet::udp(from, to) };
    if let Transport::Tcp(tcp) = &mut packet.transport {
        (tcp.seq, tcp.ack, tcp.flags) = (9, 9, flags);
    }
    packet.hop_limit(TTL).payload(&[0x55; 22])
}
