//! Reads a packet from the headers that a record of the traced programs shows. Lenient: what is wrong about a packet is no reason not
//! to show it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::protocol;

const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const UDP_LITE: u8 = 136;
const ICMPV6: u8 = 58;
/// Options of IPv6 in front of the transport header.
const HOP_BY_HOP: u8 = 0;
/// Bits of the field with the offset of a fragment: more follow, and where it begins.
const MORE_FRAGMENTS: u16 = 0x2000;
const FRAGMENT_OFFSET: u16 = 0x1fff;

/// A packet, as far as its headers were seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// Ethernet type.
    pub ethertype: u16,
    /// IP protocol.
    pub proto: Option<u8>,
    /// Source address; of ARP the sender's.
    pub src: Option<IpAddr>,
    /// Destination address; of ARP the one that is asked for.
    pub dst: Option<IpAddr>,
    /// Source port.
    pub src_port: Option<u16>,
    /// Destination port.
    pub dst_port: Option<u16>,
    /// Flags of a TCP segment: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128.
    pub tcp_flags: Option<u8>,
    /// Type and code of an ICMP message.
    pub icmp: Option<(u8, u8)>,
    /// Identifier of an ICMP query or its answer.
    pub icmp_id: Option<u16>,
    /// Operation of ARP.
    pub arp: Option<u16>,
    /// Identification of IPv4.
    pub ip_id: Option<u16>,
    /// Time to live.
    pub ttl: Option<u8>,
    /// Where a fragment begins in its packet, bytes; none if it is the whole packet.
    pub fragment: Option<u16>,
}

/// Who speaks with whom: protocol, and both ends with their ports. An ICMP query has its identifier in both.
pub type Tuple = (u8, (IpAddr, u16), (IpAddr, u16));

impl Packet {
    /// The packet with these headers behind the link-layer header, which says that it is of `ethertype`.
    #[must_use]
    pub fn read(ethertype: u16, headers: &[u8]) -> Self {
        let mut packet = Self { ethertype, ..Self::default() };
        // What is not there stays unknown.
        let _ = match ethertype {
            IPV4 => packet.ipv4(headers),
            IPV6 => packet.ipv6(headers),
            ARP => packet.arp(headers),
            _ => None,
        };
        packet
    }

    fn ipv4(&mut self, headers: &[u8]) -> Option<()> {
        let length = usize::from(headers.first()? & 0x0f) * 4;
        let fragment = be16(headers, 6)?;
        self.ip_id = be16(headers, 4);
        self.ttl = headers.get(8).copied();
        self.proto = headers.get(9).copied();
        self.src = v4(headers, 12);
        self.dst = v4(headers, 16);
        let offset = (fragment & FRAGMENT_OFFSET) * 8;
        self.fragment = (fragment & (MORE_FRAGMENTS | FRAGMENT_OFFSET) != 0).then_some(offset);
        if offset == 0 {
            self.transport(headers.get(length..)?)?;
        }
        Some(())
    }

    fn ipv6(&mut self, headers: &[u8]) -> Option<()> {
        let v6 = |at: usize| Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(headers.get(at..at + 16)?).ok()?)));
        self.proto = headers.get(6).copied();
        self.ttl = headers.get(7).copied();
        self.src = v6(8);
        self.dst = v6(24);
        let mut rest = headers.get(40..)?;
        if self.proto == Some(HOP_BY_HOP) {
            self.proto = rest.first().copied();
            rest = rest.get(8 + usize::from(*rest.get(1)?) * 8..)?;
        }
        self.transport(rest)
    }

    fn arp(&mut self, headers: &[u8]) -> Option<()> {
        self.arp = be16(headers, 6);
        self.src = v4(headers, 14);
        self.dst = v4(headers, 24);
        Some(())
    }

    fn transport(&mut self, l4: &[u8]) -> Option<()> {
        match self.proto? {
            TCP => {
                self.tcp_flags = l4.get(13).copied();
                (self.src_port, self.dst_port) = (be16(l4, 0), be16(l4, 2));
            }
            UDP | UDP_LITE => (self.src_port, self.dst_port) = (be16(l4, 0), be16(l4, 2)),
            ICMP => {
                let kind = *l4.first()?;
                self.icmp = Some((kind, *l4.get(1)?));
                // Queries and their answers (RFC 792, RFC 950).
                self.icmp_id = if matches!(kind, 0 | 8 | 13..=18) { be16(l4, 4) } else { None };
            }
            ICMPV6 => self.icmp = Some((*l4.first()?, *l4.get(1)?)),
            _ => {}
        }
        Some(())
    }

    /// Who speaks with whom, if the packet says so; ports that it does not have are 0.
    #[must_use]
    pub fn tuple(&self) -> Option<Tuple> {
        let port = |port: Option<u16>| port.or(self.icmp_id).unwrap_or(0);
        Some((self.proto?, (self.src?, port(self.src_port)), (self.dst?, port(self.dst_port))))
    }

    /// `tcp`, `icmp`, `arp`, `ipv6-icmp`, the number of an IP protocol, or `0x88cc`.
    #[must_use]
    pub fn protocol(&self) -> String {
        match (self.proto, self.ethertype) {
            (Some(ICMPV6), IPV6) => "icmp6".into(),
            (Some(proto), _) => protocol::name(proto),
            (None, ARP) => "arp".into(),
            (None, IPV4) => "ipv4".into(),
            (None, IPV6) => "ipv6".into(),
            (None, other) => format!("{other:#06x}"),
        }
    }

    /// `SA` for SYN and ACK; `.` for ACK alone, as tcpdump writes it.
    #[must_use]
    pub fn flags(&self) -> Option<String> {
        let flags = self.tcp_flags?;
        let names = ["F", "S", "R", "P", "A", "U", "E", "W"];
        let set = names.iter().zip(0..).filter(|(_, bit)| flags >> bit & 1 != 0);
        Some(set.map(|(name, _)| *name).collect())
    }

    /// `echo`, `echo reply`, `time exceeded`, `type 42 code 0`; of ARP `request` or `reply`.
    #[must_use]
    pub fn message(&self) -> Option<String> {
        if let Some((kind, code)) = self.icmp {
            let named = if self.proto == Some(ICMP) { icmp(kind, code) } else { icmpv6(kind) };
            return Some(named.map_or_else(|| format!("type {kind} code {code}"), Into::into));
        }
        self.arp.map(|operation| match operation {
            1 => "request".into(),
            2 => "reply".into(),
            operation => format!("operation {operation}"),
        })
    }
}

/// What a message of ICMP is called (RFC 792).
fn icmp(kind: u8, code: u8) -> Option<&'static str> {
    Some(match (kind, code) {
        (0, _) => "echo reply",
        (3, 4) => "too big",
        (3, _) => "unreachable",
        (8, _) => "echo",
        (11, _) => "time exceeded",
        _ => return None,
    })
}

/// What a message of ICMPv6 is called (RFC 4443, RFC 4861, RFC 3810).
fn icmpv6(kind: u8) -> Option<&'static str> {
    Some(match kind {
        1 => "unreachable",
        2 => "too big",
        3 => "time exceeded",
        128 => "echo",
        129 => "echo reply",
        133 => "router solicitation",
        134 => "router advertisement",
        135 => "neighbour solicitation",
        136 => "neighbour advertisement",
        143 => "multicast report",
        _ => return None,
    })
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(<[u8; 2]>::try_from(bytes.get(at..at + 2)?).ok()?))
}

fn v4(bytes: &[u8], at: usize) -> Option<IpAddr> {
    Some(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok()?)))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV4;

    use forwarder_common::wire::{emit, l4::Proto};

    use super::*;

    const FROM: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 2), 12345);
    const TO: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 1), 443);

    #[test]
    fn segment_is_read() {
        let packet = Packet::read(IPV4, &emit::Packet::answer(Proto::Tcp, FROM, TO).emit());
        assert_eq!(packet.protocol(), "tcp");
        assert_eq!((packet.src_port, packet.dst_port, packet.ip_id), (Some(12345), Some(443), Some(0x1234)));
        assert_eq!((packet.flags().as_deref(), packet.fragment), (Some("SA"), None));
        let (proto, src, dst) = packet.tuple().expect("it has one");
        assert_eq!((proto, src.1, dst.1, dst.0), (TCP, 12345, 443, IpAddr::from([203, 0, 113, 1])));
    }

    #[test]
    fn query_has_its_identifier_on_both_sides() {
        let packet = Packet::read(IPV4, &emit::Packet::icmp(*FROM.ip(), *TO.ip(), 8, 0).icmp_rest([0, 7, 0, 1]).emit());
        assert_eq!((packet.message().as_deref(), packet.icmp_id), (Some("echo"), Some(7)));
        assert_eq!(packet.tuple().map(|(_, src, dst)| (src.1, dst.1)), Some((7, 7)));
    }

    #[test]
    fn what_is_cut_short_is_shown_as_far_as_it_goes() {
        let whole = emit::Packet::tcp(FROM, TO).emit();
        for length in 0..whole.len() {
            let packet = Packet::read(IPV4, &whole[..length]);
            assert_eq!(packet.src.is_some(), length >= 16, "{length}");
            assert!(!packet.protocol().is_empty());
        }
        assert_eq!(Packet::read(0x88cc, &[]).protocol(), "0x88cc");
    }

    #[test]
    fn later_fragment_has_no_ports() {
        let packet = Packet::read(IPV4, &emit::Packet::udp(FROM, TO).fragmentation(185).emit());
        assert_eq!((packet.fragment, packet.src_port), (Some(1480), None));
    }

    #[test]
    fn question_of_arp_names_who_asks_for_whom() {
        let question = emit::Arp::question(([2; 6], [10, 77, 0, 2]), [10, 77, 0, 1]);
        let packet = Packet::read(ARP, &question.emit());
        assert_eq!((packet.protocol().as_str(), packet.message().as_deref()), ("arp", Some("request")));
        assert_eq!(packet.dst, Some(IpAddr::from([10, 77, 0, 1])));
    }
}
