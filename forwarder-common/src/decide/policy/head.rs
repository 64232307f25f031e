//! What of a packet of IPv4 tells of which conversation it is. Its header was validated before: this reads no more than that, in few steps, because
//! the verifier follows each.

use super::conversation::Part;
use crate::{
    types::verdict::DropReason,
    wire::{
        icmp, ipv4,
        l4::{Proto, has_ports},
        packet::PacketBytes,
    },
};

/// What its transport header tells of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Source port, or the identifier of a query of ICMP.
    pub sport: [u8; 2],
    /// Destination port, or the identifier again.
    pub dport: [u8; 2],
    /// Which query of ICMP: see [`icmp::query`].
    pub query: u8,
    /// Of ICMP that is neither a query nor its answer [`Part::Alone`].
    pub part: Part,
    /// Flags of TCP.
    pub tcp_flags: u8,
}

/// Flags of TCP from the start of its header, bytes.
const FLAGS: usize = 13;
/// Bytes of a transport header that have to be there.
const SHORTEST: usize = 8;
const SHORTEST_OF_TCP: usize = 20;

/// Where the transport header is of a packet with the header `ip`, or, where none tells of its conversation, its part in that.
///
/// # Errors
/// [`DropReason::Truncated`] if it ends before its ports and flags: in fragments those would come later.
#[inline(always)]
pub fn transport(ip: &ipv4::Header) -> Result<Result<usize, Part>, DropReason> {
    if !has_ports(ip.proto) {
        return Ok(Err(Part::Speaks));
    }
    if ip.fragment_start() != 0 {
        return Ok(Err(Part::Aside));
    }
    let needed = ip.len.wrapping_add(if ip.proto == TCP { SHORTEST_OF_TCP } else { SHORTEST });
    // BIG TCP says nothing of its length: 0 wraps to the largest number.
    if usize::from(ip.total_len).wrapping_sub(1) < needed.wrapping_sub(1) {
        return Err(DropReason::Truncated);
    }
    Ok(Ok(ip.payload_off()))
}

const TCP: u8 = Proto::Tcp as u8;

/// Reads the transport header at `at` of a packet of a protocol that has ports.
///
/// # Errors
/// [`DropReason::Truncated`] if it is not there.
#[inline(always)]
pub fn read<P: PacketBytes>(packet: &P, proto: u8, at: usize) -> Result<Head, DropReason> {
    let [p0, p1, q0, q1, i0, i1, ..] = packet.load::<SHORTEST>(at)?;
    if proto == Proto::Icmp as u8 {
        let (kind, id) = (p0, [i0, i1]);
        let is_query = icmp::is_request(kind) || icmp::is_reply(kind);
        let part = if is_query { Part::with(proto, 0, kind, false) } else { Part::Alone };
        return Ok(Head { sport: id, dport: id, query: icmp::query(kind), part, tcp_flags: 0 });
    }
    let [flags] = if proto == TCP { packet.load::<1>(at.wrapping_add(FLAGS))? } else { [0] };
    Ok(Head { sport: [p0, p1], dport: [q0, q1], query: 0, part: Part::with(proto, flags, 0, false), tcp_flags: flags })
}

#[cfg(test)]
mod tests {
    use core::net::SocketAddrV4;
    use std::vec::Vec;

    use super::*;
    use crate::wire::{emit::Packet, l4::tcp_flag};

    const ENDS: [([u8; 4], u16); 2] = [([10, 77, 0, 2], 40_000), ([10, 77, 0, 3], 53)];

    fn packet(proto: Proto) -> Packet {
        let [from, to] = ENDS.map(|(address, port)| SocketAddrV4::new(address.into(), port));
        Packet::request(proto, from, to).payload(&[7; 40])
    }

    fn head(bytes: &[u8]) -> Result<Result<Head, Part>, DropReason> {
        let ip = ipv4::parse(&bytes, 0)?;
        match transport(&ip)? {
            Ok(at) => read(&bytes, ip.proto, at).map(Ok),
            Err(part) => Ok(Err(part)),
        }
    }

    fn part(packet: &Packet) -> Part {
        head(&packet.emit()).expect("it is whole").map_or_else(|part| part, |head| head.part)
    }

    #[test]
    fn ends_are_those_of_the_packet() {
        let [(_, sport), (_, dport)] = ENDS;
        for (proto, part, tcp_flags) in [(Proto::Tcp, Part::Asks, tcp_flag::SYN), (Proto::Udp, Part::Speaks, 0)] {
            let found = head(&packet(proto).options(&[1; 8]).emit());
            let (sport, dport) = (sport.to_be_bytes(), dport.to_be_bytes());
            assert_eq!(found, Ok(Ok(Head { sport, dport, query: 0, part, tcp_flags })));
        }
        let query = |packet: &Packet| head(&packet.emit()).expect("it is whole").expect("a query");
        let asked = query(&packet(Proto::Icmp));
        assert_eq!((asked.part, asked.sport, asked.query), (Part::Asks, asked.dport, 0));
        let timestamp = query(&packet(Proto::Icmp).icmp_type(14));
        assert_eq!((timestamp.part, timestamp.query), (Part::Answers, 13));
    }

    #[test]
    fn part_is_told_by_flags_types_and_fragments() {
        assert_eq!(part(&packet(Proto::Tcp).tcp_flags(tcp_flag::ACK)), Part::GoesOn);
        assert_eq!(part(&packet(Proto::Icmp).icmp_type(3)), Part::Alone);
        assert_eq!(part(&packet(Proto::Tcp).fragmentation(0x2000)), Part::Asks, "the first fragment");
        assert_eq!(part(&packet(Proto::Tcp).fragmentation(1)), Part::Aside);
        let mut other: Vec<u8> = packet(Proto::Udp).emit();
        other[9] = 47;
        assert_eq!(head(&other), Ok(Err(Part::Speaks)));
    }

    /// In fragments the flags might come later, behind a frame that pretends to have others.
    #[test]
    fn what_ends_before_its_flags_is_refused() {
        for (proto, least) in [(Proto::Tcp, 20), (Proto::Udp, 8), (Proto::Icmp, 8)] {
            let of = |length| head(&packet(proto).total_len(length).emit());
            assert_eq!(of(20 + least - 1), Err(DropReason::Truncated), "{proto:?}");
            assert!(of(20 + least).is_ok() && of(0).is_ok(), "{proto:?}");
        }
        assert_eq!(head(&packet(Proto::Tcp).emit()[..33]), Err(DropReason::Truncated));
    }
}
