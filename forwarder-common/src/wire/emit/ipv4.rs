//! IPv4 packets.

use alloc::vec::Vec;
use core::{
    net::{Ipv4Addr, SocketAddrV4},
    ops::Range,
};

use super::{
    Sum,
    link::Ethernet,
    put,
    transport::{Icmp, Tcp, Transport, Udp},
};
use crate::{
    types::checksum::pseudo_sum,
    wire::{
        ethernet::ethertype,
        icmp,
        ipv4::{MIN_LEN, field},
        l4::{Proto, tcp_flag},
    },
};

/// Don't fragment.
const DF: u16 = 0x4000;
/// More fragments follow.
const MF: u16 = 0x2000;

/// An IPv4 packet (RFC 791 §3.1): 64 hops to live, not to be fragmented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Source address.
    pub src: Ipv4Addr,
    /// Destination address.
    pub dst: Ipv4Addr,
    /// Type of service.
    pub tos: u8,
    /// Total length as the header says; none for the right one.
    pub total_len: Option<u16>,
    /// Identification.
    pub id: u16,
    /// Flags and fragment offset.
    pub fragmentation: u16,
    /// Time to live.
    pub ttl: u8,
    /// Options, padded with zeros to whole words.
    pub options: Vec<u8>,
    /// Header checksum.
    pub header_sum: Sum,
    /// The header that follows.
    pub transport: Transport,
    /// What follows that.
    pub payload: Vec<u8>,
}

/// Of each protocol.
impl Packet {
    /// A packet without payload.
    #[must_use]
    pub const fn new(src: Ipv4Addr, dst: Ipv4Addr, transport: Transport) -> Self {
        Self {
            src,
            dst,
            tos: 0,
            total_len: None,
            id: 0x1234,
            fragmentation: DF,
            ttl: 64,
            options: Vec::new(),
            header_sum: Sum::Complete,
            transport,
            payload: Vec::new(),
        }
    }

    /// The first packet of a conversation: a SYN, a datagram, or an echo request with the port of `from` as its identifier.
    #[must_use]
    pub const fn request(proto: Proto, from: SocketAddrV4, to: SocketAddrV4) -> Self {
        match proto {
            Proto::Tcp => Self::tcp(from, to),
            Proto::Udp => Self::udp(from, to),
            Proto::Icmp => Self::new(*from.ip(), *to.ip(), Transport::echo(from.port())),
        }
    }

    /// What answers that: a SYN-ACK, a datagram, or an echo reply with the port of `to` as its identifier.
    #[must_use]
    pub fn answer(proto: Proto, from: SocketAddrV4, to: SocketAddrV4) -> Self {
        match proto {
            Proto::Tcp => Self::tcp(from, to).tcp_flags(tcp_flag::SYN | tcp_flag::ACK),
            Proto::Udp => Self::udp(from, to),
            Proto::Icmp => Self::new(*from.ip(), *to.ip(), Transport::echo(to.port())).icmp_type(icmp::ECHO_REPLY),
        }
    }

    /// A segment that opens a connection.
    #[must_use]
    pub const fn tcp(from: SocketAddrV4, to: SocketAddrV4) -> Self {
        Self::new(*from.ip(), *to.ip(), Transport::syn(from.port(), to.port()))
    }

    /// A datagram.
    #[must_use]
    pub const fn udp(from: SocketAddrV4, to: SocketAddrV4) -> Self {
        Self::new(*from.ip(), *to.ip(), Transport::udp(from.port(), to.port()))
    }

    /// A datagram of UDP-Lite whose checksum covers its header only.
    #[must_use]
    pub const fn udp_lite(from: SocketAddrV4, to: SocketAddrV4) -> Self {
        let (src_port, dst_port) = (from.port(), to.port());
        let header = Udp { src_port, dst_port, length: Some(8), sum: Sum::Complete };
        Self::new(*from.ip(), *to.ip(), Transport::UdpLite(header))
    }

    /// An ICMP message.
    #[must_use]
    pub const fn icmp(src: Ipv4Addr, dst: Ipv4Addr, kind: u8, code: u8) -> Self {
        Self::new(src, dst, Transport::Icmp(Icmp { kind, code, rest: [0; 4], sum: Sum::Complete }))
    }

    /// An ICMP error about a packet, of which it embeds the given bytes.
    #[must_use]
    pub fn icmp_error(src: Ipv4Addr, dst: Ipv4Addr, kind: u8, code: u8, about: &[u8]) -> Self {
        Self::icmp(src, dst, kind, code).payload(about)
    }

    /// A packet of another protocol: what stands behind the IPv4 header is its payload.
    #[must_use]
    pub const fn other(src: Ipv4Addr, dst: Ipv4Addr, proto: u8) -> Self {
        Self::new(src, dst, Transport::Other(proto))
    }
}

/// The same packet, but for one thing.
impl Packet {
    /// With this payload.
    #[must_use]
    pub fn payload(self, payload: &[u8]) -> Self {
        Self { payload: payload.to_vec(), ..self }
    }

    /// With this time to live.
    #[must_use]
    pub fn ttl(self, ttl: u8) -> Self {
        Self { ttl, ..self }
    }

    /// With this identification.
    #[must_use]
    pub fn id(self, id: u16) -> Self {
        Self { id, ..self }
    }

    /// With these options of IPv4.
    #[must_use]
    pub fn options(self, options: &[u8]) -> Self {
        Self { options: options.to_vec(), ..self }
    }

    /// With these flags and this fragment offset, in one word.
    #[must_use]
    pub fn fragmentation(self, fragmentation: u16) -> Self {
        Self { fragmentation, ..self }
    }

    /// With a length that its header says.
    #[must_use]
    pub fn total_len(self, length: u16) -> Self {
        Self { total_len: Some(length), ..self }
    }

    /// With such a checksum in the IPv4 header.
    #[must_use]
    pub fn header_sum(self, header_sum: Sum) -> Self {
        Self { header_sum, ..self }
    }

    /// With such a checksum in the transport header, if that has one.
    #[must_use]
    pub fn sum(mut self, sum: Sum) -> Self {
        if let Some(own) = self.transport.sum_mut() {
            *own = sum;
        }
        self
    }

    /// Of TCP, with these flags.
    #[must_use]
    pub fn tcp_flags(self, flags: u8) -> Self {
        self.with_tcp(|tcp| tcp.flags = flags)
    }

    /// Of TCP, with these numbers.
    #[must_use]
    pub fn numbers(self, seq: u32, ack: u32) -> Self {
        self.with_tcp(|tcp| (tcp.seq, tcp.ack) = (seq, ack))
    }

    /// Of TCP, with these options.
    #[must_use]
    pub fn tcp_options(self, options: &[u8]) -> Self {
        self.with_tcp(|tcp| tcp.options = options.to_vec())
    }

    fn with_tcp(mut self, change: impl FnOnce(&mut Tcp)) -> Self {
        if let Transport::Tcp(tcp) = &mut self.transport {
            change(tcp);
        }
        self
    }

    /// Of ICMP, of this type.
    #[must_use]
    pub fn icmp_type(mut self, kind: u8) -> Self {
        if let Transport::Icmp(icmp) = &mut self.transport {
            icmp.kind = kind;
        }
        self
    }

    /// Of ICMP, with these bytes behind the checksum.
    #[must_use]
    pub fn icmp_rest(mut self, rest: [u8; 4]) -> Self {
        if let Transport::Icmp(icmp) = &mut self.transport {
            icmp.rest = rest;
        }
        self
    }
}

/// As bytes.
impl Packet {
    /// The packet.
    #[must_use]
    pub fn emit(&self) -> Vec<u8> {
        self.around(self.fragmentation, &self.transport())
    }

    /// The fragment of it that holds these bytes of what follows the IPv4 header; `more` says that others follow. An offset that is no
    /// multiple of 8 is rounded down.
    #[must_use]
    pub fn fragment(&self, range: Range<usize>, more: bool) -> Vec<u8> {
        let offset = u16::try_from(range.start / 8).unwrap_or_default();
        let whole = self.transport();
        let part = whole.get(range.start.min(whole.len())..range.end.min(whole.len())).unwrap_or_default();
        self.around(offset | if more { MF } else { 0 }, part)
    }

    /// The packet in an Ethernet frame.
    #[must_use]
    pub fn in_frame(&self, ethernet: &Ethernet) -> Vec<u8> {
        ethernet.around(ethertype::IPV4, &self.emit())
    }

    /// What follows the IPv4 header.
    fn transport(&self) -> Vec<u8> {
        let (src, dst, proto) = (self.src.octets(), self.dst.octets(), self.transport.proto());
        let sum = |length| pseudo_sum(src, dst, proto, u16::try_from(length).unwrap_or_default());
        self.transport.emit(sum, &self.payload)
    }

    fn around(&self, fragmentation: u16, payload: &[u8]) -> Vec<u8> {
        let mut options = self.options.clone();
        options.resize(options.len().next_multiple_of(4), 0);
        let length = MIN_LEN.saturating_add(options.len());
        // What is longer than a header can say has no length: BIG TCP.
        let total = u16::try_from(length.saturating_add(payload.len())).unwrap_or_default();
        let mut bytes = Vec::with_capacity(length.saturating_add(payload.len()));
        bytes.extend([0x40 | (length / 4) as u8 & 0x0f, self.tos]);
        let words = [self.total_len.unwrap_or(total), self.id, fragmentation].map(u16::to_be_bytes);
        bytes.extend(words.as_flattened());
        bytes.extend([self.ttl, self.transport.proto(), 0, 0]);
        bytes.extend([self.src.octets(), self.dst.octets()].as_flattened());
        bytes.extend(options);
        let check = self.header_sum.over([0, 0], &bytes);
        put(&mut bytes, field::CHECK, check);
        bytes.extend(payload);
        bytes
    }
}

/// Puts the right checksum into the header of an IPv4 packet that was changed, if the header is whole.
pub fn finish_header(packet: &mut [u8]) {
    let length = packet.first().map_or(0, |first| usize::from(first & 0x0f).saturating_mul(4));
    let Some(header) = packet.get_mut(..length) else { return };
    put(header, field::CHECK, [0, 0]);
    let check = Sum::Complete.over([0, 0], header);
    put(header, field::CHECK, check);
}
