//! Errors of ICMPv6 (RFC 4443 §3), as those of ICMP in [`super`]. Their checksum covers a pseudo-header, and the embedded header has no
//! checksum that would take up what changes in it: so the outer checksum sees every change.

mod rewrite;
#[cfg(test)]
mod tests;

use super::EmbeddedTransport;
use crate::{
    types::verdict::DropReason,
    wire::{
        extension::{self, Upper},
        icmpv6::{self, kind},
        ipv6,
        packet::PacketBytes,
    },
};

pub use rewrite::EmbeddedRewrite;

/// What the embedded packet says: its addresses and ports, and where they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// The embedded IPv6 header.
    pub ip: ipv6::Header,
    /// What stands behind its chain.
    pub upper: Upper,
    /// Its transport header.
    pub l4: EmbeddedTransport,
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
    let l4 = EmbeddedTransport::parse(packet, upper.proto, (upper.off, end), icmpv6::PROTO, icmpv6::is_echo)?;
    Ok(Embedded { ip: inner, upper, l4, icmp_off, icmp_check })
}

impl Embedded {
    /// Whether this is an echo request (`request`) or the answer to one, or no ICMPv6 at all: requests have left by the uplink, answers have
    /// come by it.
    #[inline(always)]
    #[must_use]
    pub const fn is_none_or(&self, request: bool) -> bool {
        self.upper.proto != icmpv6::PROTO || (self.l4.icmp_type == kind::ECHO_REQUEST) == request
    }
}
