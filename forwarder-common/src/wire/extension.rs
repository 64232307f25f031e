//! The chain of extension headers of IPv6 (RFC 8200 §4): a bounded walk to what stands behind it.
//!
//! What is signed or encrypted ends the chain, as it does for whoever has no key: AH and ESP are protocols like others here.

use crate::{
    types::verdict::DropReason,
    wire::{ipv6, packet::PacketBytes},
};

/// Numbers of the headers that are walked over.
pub mod header {
    use network_types::ip::IpProto;

    /// Options that every router reads (RFC 8200 §4.3).
    pub const HOP_BY_HOP: u8 = IpProto::HopOpt as u8;
    /// Routing (RFC 8200 §4.4).
    pub const ROUTING: u8 = IpProto::Ipv6Route as u8;
    /// Fragment (RFC 8200 §4.5).
    pub const FRAGMENT: u8 = IpProto::Ipv6Frag as u8;
    /// Options for the destination (RFC 8200 §4.6).
    pub const DESTINATION: u8 = IpProto::Ipv6Opts as u8;
    /// Nothing follows (RFC 8200 §4.7).
    pub const NONE: u8 = IpProto::Ipv6NoNxt as u8;
}

/// How many headers a chain may have. RFC 8200 §4.1 knows four kinds, one of which may stand twice; RFC 8504 §5.3 lets hosts refuse more
/// than they expect.
pub const MOST: u32 = 6;

/// How many bytes a chain may have, so that the transport header stays where the first bytes of a packet are.
pub const LONGEST: usize = 128;

/// Length of a fragment header, bytes.
pub const FRAGMENT_LEN: usize = 8;

/// Offset of the identification in a fragment header, bytes.
pub const FRAGMENT_ID: usize = 4;

/// More fragments follow, in the word of offset and flags.
pub const MORE: u16 = 0x0001;

/// The offset in that word, in bytes.
const OFFSET: u16 = 0xfff8;

/// What stands behind the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upper {
    /// The protocol, or [`header::NONE`]. Of a later fragment: what its fragment header says, which may be a header of the chain.
    pub proto: u8,
    /// Where its header begins, bytes from the start of the packet.
    pub off: usize,
    /// Whether the packet is a fragment (first or later) of a larger one. A fragment header that says it is whole (RFC 6946) makes it none.
    pub fragment: bool,
    /// Offset and flags of the fragment header, host byte order; 0 without.
    pub fragmentation: u16,
    /// Identification: the same in all fragments of a packet.
    pub id: u32,
    /// Where the fragment header begins, bytes from the start of the packet; 0 without.
    pub fragment_off: usize,
}

impl Upper {
    /// Where the payload of this fragment belongs in the whole packet's, in units of 8 bytes.
    #[inline(always)]
    #[must_use]
    pub const fn fragment_start(&self) -> u16 {
        self.fragmentation >> 3
    }

    /// Whether fragments follow behind this one.
    #[inline(always)]
    #[must_use]
    pub const fn more_fragments(&self) -> bool {
        self.fragmentation & MORE != 0
    }

    /// Whether the header of the protocol is in another fragment.
    #[inline(always)]
    #[must_use]
    pub const fn is_later_fragment(&self) -> bool {
        self.fragment_start() != 0
    }
}

/// Walks the chain behind the header `ip`, in a packet that ends at `end`.
///
/// # Errors
/// [`DropReason::ExtensionHeaders`] for a chain that is longer than [`MOST`] headers or [`LONGEST`] bytes, that has two fragment headers, or
/// that goes on behind the end of a first fragment (RFC 7112); [`DropReason::SourceRoute`] for a routing header that still leads
/// somewhere; [`DropReason::Malformed`] for hop-by-hop options elsewhere than at the start; [`DropReason::Truncated`].
#[inline(always)]
pub fn walk<P: PacketBytes>(packet: &P, ip: &ipv6::Header, end: usize) -> Result<Upper, DropReason> {
    let mut upper = Upper {
        proto: ip.next_header,
        off: ip.payload_off(),
        fragment: false,
        fragmentation: 0,
        id: 0,
        fragment_off: 0,
    };
    let (most, mut fragments, mut step) = (upper.off.wrapping_add(LONGEST), 0_u32, 0_u32);
    while step <= MOST {
        if !is_walked_over(upper.proto) {
            return if upper.off > most { Err(DropReason::ExtensionHeaders) } else { Ok(upper) };
        }
        if upper.off.wrapping_add(FRAGMENT_LEN) > end {
            return Err(if upper.fragment { DropReason::ExtensionHeaders } else { DropReason::Truncated });
        }
        let [next, length, third, fourth] = packet.load::<4>(upper.off)?;
        let mut length = usize::from(length).wrapping_add(1) << 3;
        match upper.proto {
            header::HOP_BY_HOP if step != 0 => return Err(DropReason::Malformed),
            header::ROUTING if fourth != 0 => return Err(DropReason::SourceRoute),
            header::FRAGMENT => {
                if fragments != 0 {
                    return Err(DropReason::ExtensionHeaders);
                }
                fragments = 1;
                // What stands in the place of a length is reserved.
                length = FRAGMENT_LEN;
                upper.fragmentation = u16::from_be_bytes([third, fourth]) & (OFFSET | MORE);
                upper.fragment = upper.fragmentation != 0;
                upper.fragment_off = upper.off;
                upper.id = u32::from_be_bytes(packet.load::<4>(upper.off.wrapping_add(FRAGMENT_ID))?);
            }
            _ => {}
        }
        upper.off = upper.off.wrapping_add(length);
        upper.proto = next;
        if upper.is_later_fragment() {
            return Ok(upper);
        }
        step = step.wrapping_add(1);
    }
    Err(DropReason::ExtensionHeaders)
}

/// Whether the walk goes over headers of this number.
#[inline(always)]
#[must_use]
pub const fn is_walked_over(number: u8) -> bool {
    matches!(number, header::HOP_BY_HOP | header::ROUTING | header::FRAGMENT | header::DESTINATION)
}
