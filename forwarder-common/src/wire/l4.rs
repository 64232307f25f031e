//! TCP (RFC 9293 §3.1), UDP (RFC 768) and queries of ICMP (RFC 792) as far as NAT reads them; behind IPv6 in [`ipv6`].

pub mod ipv6;

use network_types::{ip::IpProto, tcp::TcpHdr, udp::UdpHdr};

use crate::{
    types::verdict::DropReason,
    wire::{icmp, ipv4, packet::PacketBytes},
};

/// Offsets of fields from the start of the transport header, bytes.
pub mod field {
    use core::mem::offset_of;

    use super::{TcpHdr, UdpHdr};

    /// Source port of TCP and UDP.
    pub const SRC_PORT: usize = offset_of!(TcpHdr, source);
    /// Destination port of TCP and UDP.
    pub const DST_PORT: usize = offset_of!(TcpHdr, dest);
    /// Checksum of TCP.
    pub const TCP_CHECK: usize = offset_of!(TcpHdr, check);
    /// Length of a UDP datagram with its header.
    pub const UDP_LEN: usize = offset_of!(UdpHdr, len);
    /// Checksum of UDP.
    pub const UDP_CHECK: usize = offset_of!(UdpHdr, check);
}

/// Bits of the TCP flags byte.
pub mod tcp_flag {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Opens a connection.
    pub const SYN: u8 = 0x02;
    /// Resets a connection.
    pub const RST: u8 = 0x04;
    /// The acknowledgement number counts.
    pub const ACK: u8 = 0x10;
}

/// A protocol that is translated by port or identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Proto {
    /// ICMP queries, by their identifier; echo of ICMPv6 too, which has another number on the wire.
    Icmp = IpProto::Icmp as u8,
    /// TCP.
    Tcp = IpProto::Tcp as u8,
    /// UDP.
    Udp = IpProto::Udp as u8,
}

const ICMP: u8 = Proto::Icmp as u8;
const TCP: u8 = Proto::Tcp as u8;
const UDP: u8 = Proto::Udp as u8;

/// Whether `proto` is translated by port or identifier: TCP, UDP, ICMP.
#[inline(always)]
#[must_use]
pub const fn has_ports(proto: u8) -> bool {
    matches!(proto, ICMP | TCP | UDP)
}

/// Whether ports, or an identifier, stand in the packet with header `ip`.
#[inline(always)]
#[must_use]
pub const fn shows_ports(ip: &ipv4::Header) -> bool {
    has_ports(ip.proto) && ip.fragment_start() == 0
}

/// Bytes of the transport header that a translation reads and writes.
#[inline(always)]
const fn needed(proto: u8) -> usize {
    if proto == TCP { 20 } else { 8 }
}

/// What is read of a transport header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Protocol.
    pub proto: Proto,
    /// Source port, or the identifier of a query.
    pub src_port: [u8; 2],
    /// Destination port, or the identifier of a query.
    pub dst_port: [u8; 2],
    /// TCP flags; 0 for others.
    pub tcp_flags: u8,
    /// Type of ICMP or ICMPv6; 0 for others.
    pub icmp_type: u8,
    /// Length of this header, bytes.
    pub len: usize,
}

impl Header {
    /// Whether this TCP segment opens a connection: SYN without ACK.
    #[inline(always)]
    #[must_use]
    pub const fn opens(&self) -> bool {
        self.tcp_flags & (tcp_flag::SYN | tcp_flag::ACK) == tcp_flag::SYN
    }
}

/// Makes sure that the packet, as long as its IP header says, holds `bytes` of transport header: what follows in the frame is
/// padding, and no ports. BIG TCP says nothing of its length.
#[inline(always)]
const fn ends_behind(ip: &ipv4::Header, bytes: usize) -> Result<(), DropReason> {
    // A total length of 0 wraps to the largest number.
    if (ip.total_len as usize).wrapping_sub(1) < ip.len.wrapping_add(bytes).wrapping_sub(1) {
        return Err(DropReason::Truncated);
    }
    Ok(())
}

/// Reads the transport header behind `ip`.
///
/// # Errors
/// [`DropReason::Fragment`] for fragments, [`DropReason::Protocol`] for other protocols, [`DropReason::IcmpType`] for ICMP
/// other than queries and their answers, [`DropReason::Truncated`] and [`DropReason::Malformed`].
#[inline(always)]
pub fn parse<P: PacketBytes>(packet: &P, ip: &ipv4::Header) -> Result<Header, DropReason> {
    if ip.fragment {
        return Err(DropReason::Fragment);
    }
    read(packet, ip)
}

/// As [`parse`], also of a first fragment. Its checksum covers the whole packet, and is updated like any other.
///
/// # Errors
/// [`DropReason::Fragment`] for later fragments, [`DropReason::FragmentTiny`] if a first one does not hold the whole header
/// (RFC 1858 §3), otherwise as [`parse`].
#[inline(always)]
pub fn parse_first<P: PacketBytes>(packet: &P, ip: &ipv4::Header) -> Result<Header, DropReason> {
    if ip.fragment {
        if ip.fragment_start() != 0 {
            return Err(DropReason::Fragment);
        }
        if ip.payload_len() < needed(ip.proto) {
            return Err(DropReason::FragmentTiny);
        }
    }
    read(packet, ip)
}

#[inline(always)]
fn read<P: PacketBytes>(packet: &P, ip: &ipv4::Header) -> Result<Header, DropReason> {
    let off = ip.payload_off();
    match ip.proto {
        TCP => {
            ends_behind(ip, 20)?;
            tcp(packet, off)
        }
        UDP => {
            ends_behind(ip, 8)?;
            udp(packet, off)
        }
        ICMP => {
            ends_behind(ip, 8)?;
            let [icmp_type, _, _, _, id0, id1, ..] = packet.load::<8>(off)?;
            if !icmp::is_request(icmp_type) && !icmp::is_reply(icmp_type) {
                return Err(DropReason::IcmpType);
            }
            let id = [id0, id1];
            Ok(Header { proto: Proto::Icmp, src_port: id, dst_port: id, tcp_flags: 0, icmp_type, len: 8 })
        }
        _ => Err(DropReason::Protocol),
    }
}

/// Reads a header of TCP at `off`.
#[inline(always)]
fn tcp<P: PacketBytes>(packet: &P, off: usize) -> Result<Header, DropReason> {
    let [s0, s1, d0, d1] = packet.load::<4>(off)?;
    let [data_off, tcp_flags] = packet.load::<2>(off.wrapping_add(12))?;
    let len = usize::from(data_off >> 4) << 2;
    if len < 20 {
        return Err(DropReason::Malformed);
    }
    Ok(Header { proto: Proto::Tcp, src_port: [s0, s1], dst_port: [d0, d1], tcp_flags, icmp_type: 0, len })
}

/// Reads a header of UDP at `off`.
#[inline(always)]
fn udp<P: PacketBytes>(packet: &P, off: usize) -> Result<Header, DropReason> {
    let [s0, s1, d0, d1, ..] = packet.load::<8>(off)?;
    Ok(Header { proto: Proto::Udp, src_port: [s0, s1], dst_port: [d0, d1], tcp_flags: 0, icmp_type: 0, len: 8 })
}
