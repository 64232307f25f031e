//! IPv6 packets, their extension headers, and messages of neighbour discovery.

use alloc::{vec, vec::Vec};
use core::net::{Ipv6Addr, SocketAddrV6};

use super::{
    Sum,
    link::Ethernet,
    transport::{Icmp, Transport},
};
use crate::{
    types::checksum::pseudo_sum_v6,
    wire::{
        ethernet::ethertype,
        extension::{MORE, header},
        icmpv6, ndisc,
    },
};

/// An extension header (RFC 8200 §4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extension {
    /// Options that every router reads, padded with zeros (Pad1) to whole units of 8 bytes.
    HopByHop(Vec<u8>),
    /// Options for the destination, padded likewise.
    Destination(Vec<u8>),
    /// Routing: its type, how many of its segments are left, and what follows, padded likewise.
    Routing {
        /// Type.
        kind: u8,
        /// Segments that are left.
        segments_left: u8,
        /// What follows.
        data: Vec<u8>,
    },
    /// Fragment.
    Fragment {
        /// Offset in units of 8 bytes.
        start: u16,
        /// Whether more follow.
        more: bool,
        /// Identification.
        id: u32,
    },
}

impl Extension {
    /// The number by which the header in front names it.
    #[must_use]
    pub const fn number(&self) -> u8 {
        match self {
            Self::HopByHop(_) => header::HOP_BY_HOP,
            Self::Destination(_) => header::DESTINATION,
            Self::Routing { .. } => header::ROUTING,
            Self::Fragment { .. } => header::FRAGMENT,
        }
    }

    fn emit(&self, next: u8) -> Vec<u8> {
        let (mut bytes, rest) = match self {
            Self::HopByHop(options) | Self::Destination(options) => (vec![next, 0], options.as_slice()),
            Self::Routing { kind, segments_left, data } => (vec![next, 0, *kind, *segments_left], data.as_slice()),
            Self::Fragment { start, more, id } => {
                let word = start << 3 | if *more { MORE } else { 0 };
                return [&[next, 0][..], &word.to_be_bytes(), &id.to_be_bytes()].concat();
            }
        };
        bytes.extend(rest);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        let units = (bytes.len() / 8).saturating_sub(1) as u8;
        if let Some(length) = bytes.get_mut(1) {
            *length = units;
        }
        bytes
    }
}

/// An IPv6 packet (RFC 8200 §3): 64 hops to live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ipv6Packet {
    /// Source address.
    pub src: Ipv6Addr,
    /// Destination address.
    pub dst: Ipv6Addr,
    /// Traffic class.
    pub traffic_class: u8,
    /// Flow label, 20 bits.
    pub flow_label: u32,
    /// Hop limit.
    pub hop_limit: u8,
    /// Length of what follows the header, as the header says; none for the right one.
    pub payload_len: Option<u16>,
    /// Extension headers, the first one first.
    pub extensions: Vec<Extension>,
    /// The header behind them.
    pub transport: Transport,
    /// What follows that.
    pub payload: Vec<u8>,
}

/// Of each protocol.
impl Ipv6Packet {
    /// A packet without payload.
    #[must_use]
    pub const fn new(src: Ipv6Addr, dst: Ipv6Addr, transport: Transport) -> Self {
        Self {
            src,
            dst,
            traffic_class: 0,
            flow_label: 0,
            hop_limit: 64,
            payload_len: None,
            extensions: Vec::new(),
            transport,
            payload: Vec::new(),
        }
    }

    /// A segment that opens a connection.
    #[must_use]
    pub const fn tcp(from: SocketAddrV6, to: SocketAddrV6) -> Self {
        Self::new(*from.ip(), *to.ip(), Transport::syn(from.port(), to.port()))
    }

    /// A datagram.
    #[must_use]
    pub const fn udp(from: SocketAddrV6, to: SocketAddrV6) -> Self {
        Self::new(*from.ip(), *to.ip(), Transport::udp(from.port(), to.port()))
    }

    /// An ICMPv6 message.
    #[must_use]
    pub const fn icmp(src: Ipv6Addr, dst: Ipv6Addr, kind: u8, code: u8) -> Self {
        Self::new(src, dst, Transport::Icmpv6(Icmp { kind, code, rest: [0; 4], sum: Sum::Complete }))
    }

    /// An echo request.
    #[must_use]
    pub const fn echo(src: Ipv6Addr, dst: Ipv6Addr, id: u16) -> Self {
        Self::query(src, dst, icmpv6::kind::ECHO_REQUEST, id)
    }

    /// The answer to one.
    #[must_use]
    pub const fn echo_reply(src: Ipv6Addr, dst: Ipv6Addr, id: u16) -> Self {
        Self::query(src, dst, icmpv6::kind::ECHO_REPLY, id)
    }

    const fn query(src: Ipv6Addr, dst: Ipv6Addr, kind: u8, id: u16) -> Self {
        let [high, low] = id.to_be_bytes();
        let rest = [high, low, 0, 1];
        Self::new(src, dst, Transport::Icmpv6(Icmp { kind, code: 0, rest, sum: Sum::Complete }))
    }

    /// A packet of another protocol: what stands behind the headers is its payload.
    #[must_use]
    pub const fn other(src: Ipv6Addr, dst: Ipv6Addr, proto: u8) -> Self {
        Self::new(src, dst, Transport::Other(proto))
    }

    /// A message of neighbour discovery, which has passed no router.
    #[must_use]
    pub fn discovery(src: Ipv6Addr, dst: Ipv6Addr, message: &Discovery) -> Self {
        let Discovery { kind, flags, .. } = *message;
        let transport = Transport::Icmpv6(Icmp { kind, code: 0, rest: [flags, 0, 0, 0], sum: Sum::Complete });
        Self::new(src, dst, transport).payload(&message.body()).hop_limit(ndisc::HOP_LIMIT)
    }
}

/// The same packet, but for one thing.
impl Ipv6Packet {
    /// With this payload.
    #[must_use]
    pub fn payload(self, payload: &[u8]) -> Self {
        Self { payload: payload.to_vec(), ..self }
    }

    /// With this hop limit.
    #[must_use]
    pub fn hop_limit(self, hop_limit: u8) -> Self {
        Self { hop_limit, ..self }
    }

    /// With a length that its header says.
    #[must_use]
    pub fn payload_len(self, length: u16) -> Self {
        Self { payload_len: Some(length), ..self }
    }

    /// With one extension header more, behind the others.
    #[must_use]
    pub fn extension(mut self, extension: Extension) -> Self {
        self.extensions.push(extension);
        self
    }

    /// With such a checksum in the transport header, if that has one.
    #[must_use]
    pub fn sum(mut self, sum: Sum) -> Self {
        if let Some(own) = self.transport.sum_mut() {
            *own = sum;
        }
        self
    }
}

/// As bytes.
impl Ipv6Packet {
    /// The packet. What is longer than a header can say has the length 0: BIG TCP.
    #[must_use]
    pub fn emit(&self) -> Vec<u8> {
        let proto = self.transport.proto();
        let (src, dst) = (self.src.octets(), self.dst.octets());
        let sum = |length| pseudo_sum_v6(src, dst, proto, u32::try_from(length).unwrap_or_default());
        let mut behind = self.transport.emit(sum, &self.payload);
        let mut next = proto;
        for extension in self.extensions.iter().rev() {
            behind = [extension.emit(next), behind].concat();
            next = extension.number();
        }
        let first = 6 << 28 | u32::from(self.traffic_class) << 20 | self.flow_label & 0xf_ffff;
        let length = self.payload_len.unwrap_or_else(|| u16::try_from(behind.len()).unwrap_or_default());
        let mut bytes = first.to_be_bytes().to_vec();
        bytes.extend(length.to_be_bytes());
        bytes.extend([next, self.hop_limit]);
        bytes.extend([src, dst].as_flattened());
        bytes.extend(behind);
        bytes
    }

    /// The packet in an Ethernet frame.
    #[must_use]
    pub fn in_frame(&self, ethernet: &Ethernet) -> Vec<u8> {
        ethernet.around(ethertype::IPV6, &self.emit())
    }
}

/// A message of neighbour discovery (RFC 4861 §4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// See [`ndisc::kind`].
    pub kind: u8,
    /// See [`ndisc::flag`].
    pub flags: u8,
    /// Whom a neighbour's message or a redirect is about.
    pub target: Ipv6Addr,
    /// The destination that a redirect redirects.
    pub destination: Ipv6Addr,
    /// Options, as they are: [`mac_option`].
    pub options: Vec<u8>,
}

impl Discovery {
    /// A message of this type about `target`, with the options `options`.
    #[must_use]
    pub fn new(kind: u8, target: Ipv6Addr, options: &[u8]) -> Self {
        Self { kind, flags: 0, target, destination: Ipv6Addr::UNSPECIFIED, options: options.to_vec() }
    }

    /// What stands behind the first eight bytes.
    fn body(&self) -> Vec<u8> {
        let body = match self.kind {
            ndisc::kind::ROUTER_SOLICITATION => vec![],
            ndisc::kind::ROUTER_ADVERTISEMENT => vec![0; 8],
            ndisc::kind::REDIRECT => [self.target.octets(), self.destination.octets()].concat(),
            _ => self.target.octets().to_vec(),
        };
        [body, self.options.clone()].concat()
    }
}

/// An option with a hardware address: see [`ndisc::option`].
#[must_use]
pub const fn mac_option(kind: u8, [a, b, c, d, e, f]: [u8; 6]) -> [u8; 8] {
    [kind, 1, a, b, c, d, e, f]
}
