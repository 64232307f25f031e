//! ICMP errors embed the packet that they are about (RFC 792; NAT of it: RFC 5508 §4). The embedded headers are translated
//! with it.

pub mod ipv6;
pub mod notice;
mod rewrite;
#[cfg(test)]
mod tests;
mod transport;

use crate::{
    abi::Tuple,
    types::verdict::DropReason,
    wire::{icmp, ipv4, l4, packet::PacketBytes},
};

pub use self::{rewrite::EmbeddedRewrite, transport::EmbeddedTransport};

const ICMP: u8 = l4::Proto::Icmp as u8;
const TCP: u8 = l4::Proto::Tcp as u8;
const UDP: u8 = l4::Proto::Udp as u8;

/// What the embedded packet says: its addresses and ports, and where they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// The embedded IPv4 header.
    pub ip: ipv4::Header,
    /// Its transport header.
    pub l4: EmbeddedTransport,
    /// Offset of the outer ICMP header, bytes.
    pub icmp_off: usize,
    /// Checksum of the outer ICMP message.
    pub icmp_check: [u8; 2],
}

/// The embedded IPv4 header of the error behind the outer header `ip`.
///
/// # Errors
/// [`DropReason::IcmpType`] if it is no ICMP error, [`DropReason::Truncated`] and [`DropReason::Malformed`].
#[inline(always)]
pub fn embedded_header<P: PacketBytes>(packet: &P, ip: &ipv4::Header) -> Result<ipv4::Header, DropReason> {
    let [icmp_type] = packet.load::<1>(ip.payload_off())?;
    if !icmp::is_error(icmp_type) {
        return Err(DropReason::IcmpType);
    }
    ipv4::parse(packet, ip.payload_off().wrapping_add(icmp::LEN))
}

/// Whether an endpoint with address `addr` may tell what an ICMP message behind the outer header `ip` says, where that is about no flow: no
/// error, or one about what the receiver has sent to this very address (RFC 1122 §3.2.2). Whoever else speaks of what others were sent
/// takes himself for a router, and the receiver would believe him. Nor does anybody cut an error into fragments.
///
/// # Errors
/// [`DropReason::IcmpType`], [`DropReason::Truncated`].
#[inline(always)]
pub fn of_own<P: PacketBytes>(packet: &P, ip: &ipv4::Header, addr: [u8; 4]) -> Result<(), DropReason> {
    let off = ip.payload_off();
    let [icmp_type] = packet.load::<1>(off)?;
    if !icmp::embeds(icmp_type) {
        return Ok(());
    }
    if ip.fragment {
        return Err(DropReason::IcmpType);
    }
    // The kernel reads an embedded header by its place alone, whatever else is wrong with it.
    let embedded = off.wrapping_add(icmp::LEN);
    let sent_by = packet.load::<4>(embedded.wrapping_add(ipv4::field::SRC))?;
    let sent_to = packet.load::<4>(embedded.wrapping_add(ipv4::field::DST))?;
    if sent_by != ip.dst || sent_to != addr { Err(DropReason::IcmpType) } else { Ok(()) }
}

/// Reads the transport header of the packet `inner` that is embedded behind the outer header `ip`.
///
/// # Errors
/// [`DropReason::Fragment`] if it is a fragment other than the first, [`DropReason::IcmpType`] if it is ICMP other than a query,
/// [`DropReason::Truncated`] if less than eight bytes of it are there.
#[inline(always)]
pub fn parse<P: PacketBytes>(packet: &P, ip: &ipv4::Header, inner: ipv4::Header) -> Result<Embedded, DropReason> {
    let icmp_off = ip.payload_off();
    let icmp_check = packet.load::<2>(icmp_off.wrapping_add(icmp::field::CHECK))?;
    if inner.fragment_start() != 0 {
        return Err(DropReason::Fragment);
    }
    // The frame may be padded: the outer header says what is there.
    let end = ip.off.wrapping_add(usize::from(ip.total_len));
    let is_query = |icmp_type| icmp::is_request(icmp_type) || icmp::is_reply(icmp_type);
    let l4 = EmbeddedTransport::parse(packet, inner.proto, (inner.payload_off(), end), ICMP, is_query)?;
    Ok(Embedded { ip: inner, l4, icmp_off, icmp_check })
}

impl Embedded {
    /// The tuple of the packet that answers the embedded one, as it enters by `ifindex`: it names the flow.
    #[inline(always)]
    #[must_use]
    pub const fn answer(&self, ifindex: u32) -> Tuple {
        Tuple {
            saddr: self.ip.dst,
            daddr: self.ip.src,
            sport: self.l4.dst_port,
            dport: self.l4.src_port,
            ifindex,
            proto: self.ip.proto,
            query: icmp::query(self.l4.icmp_type),
            family: 0,
        }
    }

    /// Whether this is a query (`request`) or the answer to one, or no ICMP at all: queries have left by the uplink, answers have
    /// come by it.
    #[inline(always)]
    #[must_use]
    pub const fn is_none_or(&self, request: bool) -> bool {
        self.ip.proto != ICMP || icmp::is_request(self.l4.icmp_type) == request
    }

    /// Whether the embedded packet is translated by port or identifier, and not by its address alone.
    #[inline(always)]
    const fn has_ports(&self) -> bool {
        matches!(self.ip.proto, TCP | UDP | ICMP)
    }
}
