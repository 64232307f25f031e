//! IPv4 (RFC 791 §3.1).

use network_types::ip::Ipv4Hdr;

use crate::{
    types::{checksum, verdict::DropReason},
    wire::packet::PacketBytes,
};

/// Offsets of the fields from the start of the header, bytes.
pub mod field {
    use core::mem::offset_of;

    use super::Ipv4Hdr;

    /// Type of service: DSCP and ECN.
    pub const TOS: usize = offset_of!(Ipv4Hdr, tos);
    /// Total length of the packet, bytes.
    pub const TOTAL_LEN: usize = offset_of!(Ipv4Hdr, tot_len);
    /// Identification.
    pub const ID: usize = offset_of!(Ipv4Hdr, id);
    /// Time to live.
    pub const TTL: usize = offset_of!(Ipv4Hdr, ttl);
    /// Header checksum.
    pub const CHECK: usize = offset_of!(Ipv4Hdr, check);
    /// Source address.
    pub const SRC: usize = offset_of!(Ipv4Hdr, src_addr);
    /// Destination address.
    pub const DST: usize = offset_of!(Ipv4Hdr, dst_addr);
}

/// Shortest header, bytes.
pub const MIN_LEN: usize = Ipv4Hdr::LEN;

/// What is read of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Source address.
    pub src: [u8; 4],
    /// Destination address.
    pub dst: [u8; 4],
    /// Protocol of the payload.
    pub proto: u8,
    /// Time to live.
    pub ttl: u8,
    /// Header checksum.
    pub check: [u8; 2],
    /// Offset of this header from the start of the packet, bytes.
    pub off: usize,
    /// Length of this header, bytes: 20 to 60.
    pub len: usize,
    /// Total length as the header says, bytes; 0 is BIG TCP's.
    pub total_len: u16,
    /// Whether this is a fragment (first or later) of a larger packet.
    pub fragment: bool,
    /// Identification: the same in all fragments of a packet.
    pub id: [u8; 2],
    /// Flags and fragment offset, host byte order.
    pub fragmentation: u16,
}

impl Header {
    /// Offset of the payload from the start of the packet, bytes.
    #[inline(always)]
    #[must_use]
    pub const fn payload_off(&self) -> usize {
        self.off.wrapping_add(self.len)
    }

    /// Where the payload of this fragment belongs in the whole packet's, in units of 8 bytes.
    #[inline(always)]
    #[must_use]
    pub const fn fragment_start(&self) -> u16 {
        self.fragmentation & 0x1fff
    }

    /// Whether no router may cut it.
    #[inline(always)]
    #[must_use]
    pub const fn dont_fragment(&self) -> bool {
        self.fragmentation & 0x4000 != 0
    }

    /// Whether fragments follow behind this one.
    #[inline(always)]
    #[must_use]
    pub const fn more_fragments(&self) -> bool {
        self.fragmentation & 0x2000 != 0
    }

    /// Length of the payload as the header says, bytes; 0 for BIG TCP.
    #[inline(always)]
    #[must_use]
    pub const fn payload_len(&self) -> usize {
        (self.total_len as usize).saturating_sub(self.len)
    }

    /// The sum over the pseudo-header of TCP and UDP.
    #[inline(always)]
    #[must_use]
    pub const fn pseudo_sum(&self) -> [u8; 2] {
        checksum::pseudo_sum(self.src, self.dst, self.proto, self.payload_len() as u16)
    }

    /// Whether a router may not forward it any further (RFC 1812 §5.3.1).
    #[inline(always)]
    #[must_use]
    pub const fn ttl_expires(&self) -> bool {
        self.ttl <= 1
    }
}

/// Reads the header at `off`.
///
/// # Errors
/// [`DropReason::Truncated`], or [`DropReason::Malformed`] for another version, a header length below 20 bytes, or a total
/// length below the header's.
#[inline(always)]
pub fn parse<P: PacketBytes>(packet: &P, off: usize) -> Result<Header, DropReason> {
    let [
        version_ihl,
        _tos,
        total_hi,
        total_lo,
        id_hi,
        id_lo,
        frag_hi,
        frag_lo,
        ttl,
        proto,
        check_hi,
        check_lo,
        s0,
        s1,
        s2,
        s3,
        d0,
        d1,
        d2,
        d3,
    ] = packet.load::<MIN_LEN>(off)?;
    let len = usize::from(version_ihl & 0x0f) << 2;
    if version_ihl >> 4 != 4 || len < MIN_LEN {
        return Err(DropReason::Malformed);
    }
    let total_len = u16::from_be_bytes([total_hi, total_lo]);
    if total_len != 0 && usize::from(total_len) < len {
        return Err(DropReason::Malformed);
    }
    Ok(Header {
        src: [s0, s1, s2, s3],
        dst: [d0, d1, d2, d3],
        proto,
        ttl,
        check: [check_hi, check_lo],
        off,
        len,
        total_len,
        // More-fragments flag and offset; the reserved and the don't-fragment bits do not matter.
        fragment: (frag_hi & 0x3f) | frag_lo != 0,
        id: [id_hi, id_lo],
        fragmentation: u16::from_be_bytes([frag_hi, frag_lo]),
    })
}

/// Whether `addr` is multicast (224.0.0.0/4).
#[inline(always)]
#[must_use]
pub const fn is_multicast(addr: [u8; 4]) -> bool {
    addr[0] & 0xf0 == 224
}

/// Whether `addr` is multicast or the limited broadcast: never routed to an uplink.
#[inline(always)]
#[must_use]
pub const fn is_multicast_or_broadcast(addr: [u8; 4]) -> bool {
    is_multicast(addr) || u32::from_be_bytes(addr) == u32::MAX
}
