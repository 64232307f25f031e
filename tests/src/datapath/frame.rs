//! Builds frames: Ethernet, IPv4, and TCP, UDP or ICMP echo, with checksums.

use std::net::SocketAddrV4;

use forwarder_common::{types::checksum, wire::l4::Proto};

/// Bytes of payload behind the transport header.
const PAYLOAD: &[u8] = b"forwarded between namespaces";

/// A frame to be built.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    proto: Proto,
    from: SocketAddrV4,
    to: SocketAddrV4,
    ttl: u8,
    options: usize,
    tcp_flags: u8,
    icmp_type: u8,
    checksum: bool,
}

impl Frame {
    /// A packet of `proto`; of ICMP, an echo request whose identifier is the port of `from`.
    pub(super) fn new(proto: Proto, from: SocketAddrV4, to: SocketAddrV4) -> Self {
        Self { proto, from, to, ttl: 64, options: 0, tcp_flags: 0x02, icmp_type: 8, checksum: true }
    }

    /// The packet that answers: ends swapped, SYN-ACK, echo reply.
    pub(super) fn reply(proto: Proto, from: SocketAddrV4, to: SocketAddrV4) -> Self {
        Self { tcp_flags: 0x12, icmp_type: 0, ..Self::new(proto, from, to) }
    }

    pub(super) fn ttl(self, ttl: u8) -> Self {
        Self { ttl, ..self }
    }

    /// So many 32-bit words of IP options (no-operations).
    pub(super) fn options(self, options: usize) -> Self {
        Self { options, ..self }
    }

    pub(super) fn tcp_flags(self, tcp_flags: u8) -> Self {
        Self { tcp_flags, ..self }
    }

    /// UDP without a checksum (RFC 768: zero).
    pub(super) fn without_checksum(self) -> Self {
        Self { checksum: false, ..self }
    }

    /// The bytes.
    pub(super) fn build(&self) -> Vec<u8> {
        let l4 = self.transport();
        let header = 20 + 4 * self.options;
        let mut frame = vec![2, 0x66, 10, 77, 0, 1, 2, 0x77, 10, 77, 0, 2, 0x08, 0x00];
        let total = u16::try_from(header + l4.len()).expect("the packet is small").to_be_bytes();
        let version = 0x45 + u8::try_from(self.options).expect("few options");
        frame.extend([version, 0, total[0], total[1], 0x12, 0x34, 0x40, 0, self.ttl, self.proto as u8, 0, 0]);
        frame.extend(self.from.ip().octets());
        frame.extend(self.to.ip().octets());
        frame.extend(std::iter::repeat_n(1, 4 * self.options));
        let check = checksum::full(&frame[14..]);
        frame[24..26].copy_from_slice(&check);
        frame.extend(l4);
        frame
    }

    fn transport(&self) -> Vec<u8> {
        let (from, to) = (self.from.port().to_be_bytes(), self.to.port().to_be_bytes());
        let (mut l4, check) = match self.proto {
            Proto::Tcp => {
                let ports = [from[0], from[1], to[0], to[1]];
                let rest = [0, 0, 0, 9, 0, 0, 0, 0, 0x50, self.tcp_flags, 0x20, 0, 0, 0, 0, 0];
                ([&ports[..], &rest].concat(), 16)
            }
            Proto::Udp => {
                let length = u16::try_from(8 + PAYLOAD.len()).expect("short").to_be_bytes();
                (vec![from[0], from[1], to[0], to[1], length[0], length[1], 0, 0], 6)
            }
            Proto::Icmp => {
                let id = if self.icmp_type == 0 { to } else { from };
                (vec![self.icmp_type, 0, 0, 0, id[0], id[1], 0, 1], 2)
            }
        };
        l4.extend(PAYLOAD);
        if self.checksum {
            let sum = checksum::full(&[self.pseudo_header(l4.len()), l4.clone()].concat());
            l4[check..check + 2].copy_from_slice(&sum);
        }
        l4
    }

    /// What the checksum covers besides (RFC 9293 §3.1); nothing for ICMP.
    fn pseudo_header(&self, length: usize) -> Vec<u8> {
        if self.proto == Proto::Icmp {
            return Vec::new();
        }
        let length = u16::try_from(length).expect("short").to_be_bytes();
        [&self.from.ip().octets()[..], &self.to.ip().octets(), &[0, self.proto as u8, length[0], length[1]]].concat()
    }
}

/// The socket that a frame without IP options comes from; for an ICMP echo, the identifier stands for the port.
pub(super) fn source(frame: &[u8]) -> SocketAddrV4 {
    let port = if frame[23] == Proto::Icmp as u8 { &frame[38..40] } else { &frame[34..36] };
    socket(&frame[26..30], port)
}

/// The socket that it goes to.
pub(super) fn destination(frame: &[u8]) -> SocketAddrV4 {
    let port = if frame[23] == Proto::Icmp as u8 { &frame[38..40] } else { &frame[36..38] };
    socket(&frame[30..34], port)
}

fn socket(address: &[u8], port: &[u8]) -> SocketAddrV4 {
    let address: [u8; 4] = address.try_into().expect("four bytes");
    SocketAddrV4::new(address.into(), u16::from_be_bytes([port[0], port[1]]))
}

/// Whether the IP checksum and, unless it is an unused UDP one, the transport checksum of `frame` are right.
#[track_caller]
pub(super) fn assert_checksums(frame: &[u8]) {
    let ip = &frame[14..];
    let header = usize::from(ip[0] & 0x0f) * 4;
    assert_eq!(checksum::full(&ip[..header]), [0, 0], "IP checksum of {frame:02x?}");
    let l4 = &ip[header..];
    let (proto, length) = (ip[9], u16::try_from(l4.len()).expect("short").to_be_bytes());
    if proto == 17 && l4[6..8] == [0, 0] {
        return;
    }
    let pseudo = if proto == 1 { vec![] } else { [&ip[12..20], &[0, proto, length[0], length[1]]].concat() };
    assert_eq!(checksum::full(&[&pseudo, l4].concat()), [0, 0], "transport checksum of {frame:02x?}");
}
