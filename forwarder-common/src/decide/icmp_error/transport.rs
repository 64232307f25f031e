//! The transport header of the packet that an ICMP error of either family embeds.

use crate::{
    types::verdict::DropReason,
    wire::{
        icmp,
        l4::{self, Proto},
        packet::PacketBytes,
    },
};

const TCP: u8 = Proto::Tcp as u8;
const UDP: u8 = Proto::Udp as u8;

/// Ports or identifier, and the checksum: what translation changes behind the embedded IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmbeddedTransport {
    /// Source port or identifier; zero for a protocol without ports.
    pub src_port: [u8; 2],
    /// Destination port or identifier; zero for a protocol without ports.
    pub dst_port: [u8; 2],
    /// Type of an embedded ICMP message, 0 for others.
    pub icmp_type: u8,
    /// Offset of the checksum; 0 if it is not there, or not used.
    pub check_off: usize,
    /// The checksum.
    pub check: [u8; 2],
}

impl EmbeddedTransport {
    /// Reads the header at `off` of a packet that ends at `end`. `icmp_proto` is the ICMP of the packet's family, of which only messages
    /// of the types that `is_query` says are translated.
    ///
    /// # Errors
    /// [`DropReason::IcmpType`] if it is ICMP of another type, [`DropReason::Truncated`] if less than eight bytes of it are there.
    #[inline(always)]
    pub(super) fn parse<P: PacketBytes>(
        packet: &P,
        proto: u8,
        (off, end): (usize, usize),
        icmp_proto: u8,
        is_query: impl Fn(u8) -> bool,
    ) -> Result<Self, DropReason> {
        if off.wrapping_add(8) > end {
            return Err(DropReason::Truncated);
        }
        let [p0, p1, q0, q1, id0, id1, c0, c1] = packet.load::<8>(off)?;
        let mut header = Self { src_port: [p0, p1], dst_port: [q0, q1], icmp_type: 0, check_off: 0, check: [0, 0] };
        if proto == UDP {
            header.check = [c0, c1];
            // Zero is "not used" (RFC 768; of IPv6, RFC 6935) and stays so.
            if c0 | c1 != 0 {
                header.check_off = off.wrapping_add(l4::field::UDP_CHECK);
            }
        } else if proto == TCP {
            let check_off = off.wrapping_add(l4::field::TCP_CHECK);
            if check_off.wrapping_add(2) <= end
                && let Ok(check) = packet.load::<2>(check_off)
            {
                header.check = check;
                header.check_off = check_off;
            }
        } else if proto == icmp_proto {
            if !is_query(p0) {
                return Err(DropReason::IcmpType);
            }
            (header.src_port, header.dst_port) = ([id0, id1], [id0, id1]);
            header.icmp_type = p0;
            header.check = [q0, q1];
            header.check_off = off.wrapping_add(icmp::field::CHECK);
        } else {
            (header.src_port, header.dst_port) = ([0, 0], [0, 0]);
        }
        Ok(header)
    }
}
