//! Builds frames with right checksums.

use std::net::SocketAddrV4;

use forwarder_common::types::checksum;

/// TCP.
pub(crate) const TCP: u8 = 6;
/// UDP.
pub(crate) const UDP: u8 = 17;
/// ICMP.
pub(crate) const ICMP: u8 = 1;
/// The TTL of every frame: enough for 200 runs that each take one.
pub(crate) const TTL: u8 = 255;

/// Both ends of a frame on its link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Macs {
    pub(crate) to: [u8; 6],
    pub(crate) from: [u8; 6],
}

/// A TCP segment with `flags`, a UDP datagram, or an ICMP echo of type `flags` with the identifier `from.port()`.
pub(crate) fn transport(proto: u8, flags: u8, from: SocketAddrV4, to: SocketAddrV4) -> Vec<u8> {
    let ports = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
    let (mut bytes, check) = match proto {
        TCP => ([&ports[..], &[0, 0, 0, 9, 0, 0, 0, 9, 0x50, flags, 0x20, 0, 0, 0, 0, 0]].concat(), 16),
        UDP => ([&ports[..], &[0, 8 + 22, 0, 0]].concat(), 6),
        _ => ([&[flags, 0, 0, 0][..], &ports[..2], &[0, 1]].concat(), 2),
    };
    bytes.extend([0x55; 22]);
    let pseudo = match proto {
        ICMP => Vec::new(),
        _ => [&from.ip().octets()[..], &to.ip().octets(), &[0, proto, 0, bytes.len() as u8]].concat(),
    };
    let sum = checksum::full(&[pseudo, bytes.clone()].concat());
    bytes[check..check + 2].copy_from_slice(&sum);
    bytes
}

/// An IPv4 packet around `payload`. `fragment` is the field of flags and offset.
pub(crate) fn packet(proto: u8, from: SocketAddrV4, to: SocketAddrV4, fragment: [u8; 2], payload: &[u8]) -> Vec<u8> {
    let total = ((20 + payload.len()) as u16).to_be_bytes();
    let mut header = vec![0x45, 0, total[0], total[1], 0x12, 0x34, fragment[0], fragment[1], TTL, proto, 0, 0];
    header.extend(from.ip().octets());
    header.extend(to.ip().octets());
    let check = checksum::full(&header);
    header[10..12].copy_from_slice(&check);
    header.extend(payload);
    header
}

/// An ICMP error of `kind` and `code` about `packet`, of which it carries the header and 8 bytes.
pub(crate) fn error(kind: u8, code: u8, packet: &[u8]) -> Vec<u8> {
    let mut bytes = [&[kind, code, 0, 0, 0, 0, 0, 0], &packet[..28]].concat();
    let sum = checksum::full(&bytes);
    bytes[2..4].copy_from_slice(&sum);
    bytes
}

/// The frame that carries `packet`.
pub(crate) fn frame(macs: Macs, packet: &[u8]) -> Vec<u8> {
    [&macs.to[..], &macs.from, &[0x08, 0x00], packet].concat()
}
