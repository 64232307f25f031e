//! Errors of ICMPv6 (RFC 4443 §3), as those of ICMP in [`super`]. Their checksum covers a pseudo-header, and the embedded header has no
//! checksum that would take up what changes in it: so the outer checksum sees every change.

mod rewrite;
#[cfg(test)]
mod tests;

use crate::{
    types::verdict::DropReason,
    wire::{
        extension::{self, Upper},
        icmpv6::{self, kind},
        ipv6,
        l4::{self, Proto},
        packet::PacketBytes,
    },
};

pub use rewrite::EmbeddedRewrite;

const TCP: u8 = Proto::Tcp as u8;
const UDP: u8 = Proto::Udp as u8;

/// What the embedded packet says: its addresses and ports, and where they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// The embedded IPv6 header.
    pub ip: ipv6::Header,
    /// What stands behind its chain.
    pub upper: Upper,
    /// Source port or identifier; zero for a protocol without ports.
    pub src_port: [u8; 2],
    /// Destination port or identifier; zero for a protocol without ports.
    pub dst_port: [u8; 2],
    /// Type of an embedded ICMPv6 message, 0 for others.
    pub icmp_type: u8,
    /// Offset of the embedded transport checksum; 0 if it is not there, or not used.
    pub l4_check_off: usize,
    /// The embedded transport checksum.
    pub l4_check: [u8; 2],
    /// Offset of the outer ICMPv6 header, bytes.
    pub icmp_off: usize,
    /// Checksum of the outer ICMPv6 message.
    pub icmp_check: [u8; 2],
}

/// Whether messages of this type are errors about flows that are translated: those of RFC 4443 §3.
#[inline(always)]
#[must_use]
pub const fn is_translated(icmp_type: u8) -> bool {
    matches!(icmp_type, kind::UNREACHABLE | kind::TOO_BIG | kind::TIME_EXCEEDED | kind::PARAMETER_PROBLEM)
}

/// The embedded IPv6 header of the error behind the chain that ends at `upper`, of a packet that ends at `end`.
///
/// # Errors
/// [`DropReason::IcmpType`] if it is no error that [`is_translated`], or cut into fragments, as nobody does; [`DropReason::Truncated`] and
/// [`DropReason::Malformed`].
#[inline(always)]
pub fn embedded_header<P: PacketBytes>(packet: &P, upper: &Upper, end: usize) -> Result<ipv6::Header, DropReason> {
    if upper.fragment || upper.proto != icmpv6::PROTO {
        return Err(DropReason::IcmpType);
    }
    let [icmp_type] = packet.load::<1>(upper.off)?;
    if !is_translated(icmp_type) {
        return Err(DropReason::IcmpType);
    }
    let off = upper.off.wrapping_add(icmpv6::LEN);
    if off.wrapping_add(ipv6::LEN) > end {
        return Err(DropReason::Truncated);
    }
    ipv6::parse(packet, off)
}

/// Reads what stands behind the header `inner` that is embedded in the error at `icmp_off`, of a packet that ends at `end`.
///
/// # Errors
/// [`DropReason::Fragment`] if it is a fragment other than the first, [`DropReason::IcmpType`] if it is ICMPv6 other than echo,
/// [`DropReason::Truncated`] if less than eight bytes of the transport header are there, and what [`extension::walk`] says of the chain.
#[inline(always)]
pub fn parse<P: PacketBytes>(
    packet: &P,
    icmp_off: usize,
    end: usize,
    inner: ipv6::Header,
) -> Result<Embedded, DropReason> {
    let icmp_check = packet.load::<2>(icmp_off.wrapping_add(icmpv6::field::CHECK))?;
    let upper = extension::walk(packet, &inner, end)?;
    if upper.is_later_fragment() {
        return Err(DropReason::Fragment);
    }
    let off = upper.off;
    if off.wrapping_add(8) > end {
        return Err(DropReason::Truncated);
    }
    let [p0, p1, q0, q1, id0, id1, c0, c1] = packet.load::<8>(off)?;
    let mut embedded = Embedded {
        ip: inner,
        upper,
        src_port: [p0, p1],
        dst_port: [q0, q1],
        icmp_type: 0,
        l4_check_off: 0,
        l4_check: [0, 0],
        icmp_off,
        icmp_check,
    };
    match upper.proto {
        UDP => {
            embedded.l4_check = [c0, c1];
            // Zero stays so: some tunnels use none (RFC 6935).
            if c0 | c1 != 0 {
                embedded.l4_check_off = off.wrapping_add(l4::field::UDP_CHECK);
            }
        }
        TCP => {
            let check_off = off.wrapping_add(l4::field::TCP_CHECK);
            if check_off.wrapping_add(2) <= end
                && let Ok(check) = packet.load::<2>(check_off)
            {
                embedded.l4_check = check;
                embedded.l4_check_off = check_off;
            }
        }
        icmpv6::PROTO => {
            if !icmpv6::is_echo(p0) {
                return Err(DropReason::IcmpType);
            }
            (embedded.src_port, embedded.dst_port) = ([id0, id1], [id0, id1]);
            embedded.icmp_type = p0;
            embedded.l4_check = [q0, q1];
            embedded.l4_check_off = off.wrapping_add(icmpv6::field::CHECK);
        }
        _ => (embedded.src_port, embedded.dst_port) = ([0, 0], [0, 0]),
    }
    Ok(embedded)
}

impl Embedded {
    /// Whether this is an echo request (`request`) or the answer to one, or no ICMPv6 at all: requests have left by the uplink, answers have
    /// come by it.
    #[inline(always)]
    #[must_use]
    pub const fn is_none_or(&self, request: bool) -> bool {
        self.upper.proto != icmpv6::PROTO || (self.icmp_type == kind::ECHO_REQUEST) == request
    }
}
