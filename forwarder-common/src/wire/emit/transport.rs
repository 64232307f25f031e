//! What stands behind the headers of IPv4 or IPv6.

use alloc::vec::Vec;

use super::{Sum, put};
use crate::{
    types::checksum::UDP_LITE,
    wire::{
        icmp, icmpv6,
        l4::{Proto, field, tcp_flag},
    },
};

/// A TCP header (RFC 9293 §3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tcp {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// See [`tcp_flag`].
    pub flags: u8,
    /// Window.
    pub window: u16,
    /// Options, padded with zeros to whole words.
    pub options: Vec<u8>,
    /// Checksum.
    pub sum: Sum,
}

/// A UDP header (RFC 768).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Udp {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Length of the datagram as the header says; none for the right one. Of UDP-Lite, how much its checksum covers (RFC 3828 §3.1).
    pub length: Option<u16>,
    /// Checksum.
    pub sum: Sum,
}

/// An ICMP header (RFC 792, RFC 4443).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Icmp {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// What stands behind the checksum: identifier and sequence number of a query, the MTU of an error.
    pub rest: [u8; 4],
    /// Checksum.
    pub sum: Sum,
}

/// The header behind that of IP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp(Tcp),
    /// UDP.
    Udp(Udp),
    /// UDP-Lite.
    UdpLite(Udp),
    /// ICMP.
    Icmp(Icmp),
    /// ICMP for IPv6, whose checksum covers the pseudo-header too.
    Icmpv6(Icmp),
    /// Another protocol: its header is part of the payload.
    Other(u8),
}

impl Transport {
    /// The number of the protocol.
    #[must_use]
    pub const fn proto(&self) -> u8 {
        match self {
            Self::Tcp(_) => Proto::Tcp as u8,
            Self::Udp(_) => Proto::Udp as u8,
            Self::UdpLite(_) => UDP_LITE,
            Self::Icmp(_) => Proto::Icmp as u8,
            Self::Icmpv6(_) => icmpv6::PROTO,
            Self::Other(proto) => *proto,
        }
    }

    /// A segment that opens a connection.
    pub(super) const fn syn(src_port: u16, dst_port: u16) -> Self {
        let (seq, ack, flags, window) = (9, 0, tcp_flag::SYN, 0x2000);
        Self::Tcp(Tcp { src_port, dst_port, seq, ack, flags, window, options: Vec::new(), sum: Sum::Complete })
    }

    pub(super) const fn udp(src_port: u16, dst_port: u16) -> Self {
        Self::Udp(Udp { src_port, dst_port, length: None, sum: Sum::Complete })
    }

    /// The first of some queries.
    pub(super) const fn echo(id: u16) -> Self {
        let [high, low] = id.to_be_bytes();
        Self::Icmp(Icmp { kind: icmp::ECHO_REQUEST, code: 0, rest: [high, low, 0, 1], sum: Sum::Complete })
    }

    /// How its checksum is written; none where there is none.
    pub(super) const fn sum_mut(&mut self) -> Option<&mut Sum> {
        match self {
            Self::Tcp(Tcp { sum, .. }) | Self::Udp(Udp { sum, .. }) | Self::UdpLite(Udp { sum, .. }) => Some(sum),
            Self::Icmp(Icmp { sum, .. }) | Self::Icmpv6(Icmp { sum, .. }) => Some(sum),
            Self::Other(_) => None,
        }
    }

    /// The header and what follows, behind a pseudo-header that adds up to what `pseudo` says of its length.
    pub(super) fn emit(&self, pseudo: impl FnOnce(usize) -> [u8; 2], payload: &[u8]) -> Vec<u8> {
        let mut bytes = self.header(payload.len());
        bytes.extend(payload);
        let length = bytes.len();
        let pseudo = pseudo(length);
        let (at, pseudo, covered, sum) = match self {
            Self::Tcp(Tcp { sum, .. }) => (field::TCP_CHECK, pseudo, length, sum),
            Self::Udp(Udp { sum, .. }) => (field::UDP_CHECK, pseudo, length, sum),
            Self::UdpLite(Udp { sum, length: covered, .. }) => {
                // Zero is everything.
                let covered = covered.filter(|bytes| *bytes != 0).map_or(length, usize::from).min(length);
                (field::UDP_CHECK, pseudo, covered, sum)
            }
            Self::Icmp(Icmp { sum, .. }) => (icmp::field::CHECK, [0, 0], length, sum),
            Self::Icmpv6(Icmp { sum, .. }) => (icmpv6::field::CHECK, pseudo, length, sum),
            Self::Other(_) => return bytes,
        };
        let check = sum.over(pseudo, bytes.get(..covered).unwrap_or_default());
        // A sum that comes to zero says that there is none: it is sent as all ones (RFC 768).
        let has_zero_rule = matches!(self, Self::Udp(_) | Self::UdpLite(_)) && *sum == Sum::Complete;
        put(&mut bytes, at, if has_zero_rule && check == [0, 0] { [0xff, 0xff] } else { check });
        bytes
    }

    /// The header, its checksum zero, of `payload` bytes.
    fn header(&self, payload: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Self::Tcp(Tcp { src_port, dst_port, seq, ack, flags, window, options, sum: _ }) => {
                let mut options = options.clone();
                options.resize(options.len().next_multiple_of(4), 0);
                let words = (20_usize.saturating_add(options.len()) / 4) as u8;
                bytes.extend([src_port.to_be_bytes(), dst_port.to_be_bytes()].as_flattened());
                bytes.extend([seq.to_be_bytes(), ack.to_be_bytes()].as_flattened());
                bytes.extend([words << 4, *flags]);
                bytes.extend([window.to_be_bytes(), [0; 2], [0; 2]].as_flattened());
                bytes.extend(options);
            }
            Self::Udp(Udp { src_port, dst_port, length, sum: _ })
            | Self::UdpLite(Udp { src_port, dst_port, length, sum: _ }) => {
                let whole = u16::try_from(payload.saturating_add(8)).unwrap_or_default();
                let length = length.unwrap_or(whole);
                let words = [src_port.to_be_bytes(), dst_port.to_be_bytes(), length.to_be_bytes(), [0; 2]];
                bytes.extend(words.as_flattened());
            }
            Self::Icmp(Icmp { kind, code, rest, sum: _ }) | Self::Icmpv6(Icmp { kind, code, rest, sum: _ }) => {
                bytes.extend([*kind, *code, 0, 0]);
                bytes.extend(rest);
            }
            Self::Other(_) => {}
        }
        bytes
    }
}
