//! ICMP errors carry the packet that they are about (RFC 792; NAT of it: RFC 5508 §4). The embedded headers are translated
//! with it.

use crate::{
    checksum,
    packet::PacketBytes,
    rewrite::Side,
    verdict::DropReason,
    wire::{icmp, ipv4, l4},
};

/// What the embedded packet says: its addresses and ports, and where they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// The embedded IPv4 header.
    pub ip: ipv4::Header,
    /// Source port or identifier.
    pub src_port: [u8; 2],
    /// Destination port or identifier.
    pub dst_port: [u8; 2],
    /// Offset of the outer ICMP header, bytes.
    pub icmp_off: usize,
    /// Checksum of the outer ICMP message.
    pub icmp_check: [u8; 2],
}

/// What changes: four writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmbeddedRewrite {
    /// Offset and new value of the embedded address.
    pub addr: (usize, [u8; 4]),
    /// Offset and new value of the embedded port or identifier.
    pub port: (usize, [u8; 2]),
    /// Offset and new value of the embedded IP checksum.
    pub ip_check: (usize, [u8; 2]),
    /// Offset and new value of the outer ICMP checksum.
    pub icmp_check: (usize, [u8; 2]),
}

/// Reads the error behind the outer header `ip`.
///
/// # Errors
/// [`DropReason::IcmpType`] if it is no ICMP error, [`DropReason::Protocol`] or [`DropReason::Fragment`] if the embedded
/// packet has no ports, [`DropReason::Truncated`] and [`DropReason::Malformed`].
#[inline(always)]
pub fn parse<P: PacketBytes>(packet: &P, ip: &ipv4::Header) -> Result<Embedded, DropReason> {
    let icmp_off = ip.payload_off();
    let [icmp_type, _code, check_hi, check_lo] = packet.load::<4>(icmp_off)?;
    if !icmp::is_error(icmp_type) {
        return Err(DropReason::IcmpType);
    }
    let inner = ipv4::parse(packet, icmp_off.wrapping_add(icmp::LEN))?;
    if inner.fragment {
        return Err(DropReason::Fragment);
    }
    let l4 = packet.load::<8>(inner.payload_off())?;
    let [p0, p1, q0, q1, id0, id1, ..] = l4;
    let (src_port, dst_port) = match inner.proto {
        6 | 17 => ([p0, p1], [q0, q1]),
        1 => ([id0, id1], [id0, id1]),
        _ => return Err(DropReason::Protocol),
    };
    Ok(Embedded { ip: inner, src_port, dst_port, icmp_off, icmp_check: [check_hi, check_lo] })
}

impl Embedded {
    /// Replaces one side of the embedded packet. The embedded transport checksum stays: it may be unfinished (checksum
    /// offload), and receivers find the socket by addresses and ports.
    #[inline(always)]
    #[must_use]
    pub fn rewrite(&self, side: Side, addr: [u8; 4], port: [u8; 2]) -> EmbeddedRewrite {
        let (old_addr, old_port, addr_field, port_field) = match side {
            Side::Source => (self.ip.src, self.src_port, ipv4::field::SRC, l4::field::SRC_PORT),
            Side::Destination => (self.ip.dst, self.dst_port, ipv4::field::DST, l4::field::DST_PORT),
        };
        let port_field = if self.ip.proto == l4::Proto::Icmp as u8 { icmp::field::ID } else { port_field };
        EmbeddedRewrite {
            addr: (self.ip.off.wrapping_add(addr_field), addr),
            port: (self.ip.payload_off().wrapping_add(port_field), port),
            ip_check: (
                self.ip.off.wrapping_add(ipv4::field::CHECK),
                checksum::update(self.ip.check, old_addr, addr, [0; 2], [0; 2]),
            ),
            // The embedded header still sums to the same with its own checksum updated: only the port changes the outer one.
            icmp_check: (
                self.icmp_off.wrapping_add(icmp::field::CHECK),
                checksum::update16(self.icmp_check, old_port, port),
            ),
        }
    }
}
